"""Limited-memory BFGS that never asks the device for a number.

The two-loop recursion (Nocedal 1980; Nocedal and Wright, Numerical Optimization, algorithm 7.4) is carried out on coefficients
of the stored pairs and the gradient, so that all work on long vectors is a few matrix-vector products (Chen, Wang, Zhou,
"Large-scale L-BFGS using MapReduce", NIPS 2014). Accepting or refusing a step is a `torch.where`, not an `if`: on an accelerator the
host can queue evaluation after evaluation without waiting for one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SUFFICIENT_DECREASE = 1e-4
FIRST_MOVE = 0.02  # largest change of any variable in the first step, about five 8-bit levels


class LBFGS:
    """Minimises f over a vector, one evaluation at a time, never leaving the best point behind.

    Parameters
    ----------
    evaluate : function from x of shape (n,) to (f, gradient), f a scalar tensor and gradient of shape (n,), both on x's device
    x : (n,) float32, the start
    history : number of (s, y) pairs kept

    Attributes
    ----------
    x, f, gradient : the best point so far, its value and gradient
    """

    def __init__(self, evaluate: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, history: int = 10) -> None:
        self._evaluate = evaluate
        self._history = history
        self.x = x
        self.f, self.gradient = evaluate(x)
        self._pairs = x.new_zeros(2 * history, len(x))  # rows 0..m-1 are s, rows m..2m-1 are y
        self._products = x.new_zeros(2 * history, 2 * history)
        self._stored = torch.zeros(history, dtype=torch.bool, device=x.device)
        self._oldest = torch.zeros((), dtype=torch.long, device=x.device)
        self._refused = torch.zeros((), device=x.device)
        self._restart()

    def _restart(self) -> None:
        self._direction = -self.gradient
        self._step = FIRST_MOVE / self.gradient.abs().amax().clamp(min=1e-20)

    def iterate(self) -> Tensor:
        """Evaluate once and go on from the better point. Returns f at the point tried."""
        m = self._history
        trial = self.x + self._step * self._direction
        f, gradient = self._evaluate(trial)
        slope = self._step * torch.dot(self.gradient, self._direction)
        accepted = torch.isfinite(f) & (f <= self.f + SUFFICIENT_DECREASE * slope)

        s, y = trial - self.x, gradient - self.gradient
        # Curvature that is not positive would make the inverse Hessian indefinite; such a pair is not kept.
        keep = accepted & (torch.dot(s, y) > 1e-8 * torch.dot(s, s))
        slot = self._oldest
        old = self._pairs.index_select(0, torch.stack((slot, slot + m)))
        self._pairs.index_copy_(0, torch.stack((slot, slot + m)), torch.where(keep, torch.stack((s, y)), old))
        self._stored = self._stored.index_fill(0, slot[None], True) & (keep | self._stored)
        new = self._pairs.index_select(0, torch.stack((slot, slot + m)))
        rows = self._pairs @ new.T
        self._products.index_copy_(1, torch.stack((slot, slot + m)), rows)
        self._products.index_copy_(0, torch.stack((slot, slot + m)), rows.T)
        self._oldest = torch.where(keep, (slot + 1) % m, slot)

        # A parabola through f, its slope and the refused value; at least a tenth of the step is kept.
        parabola = -0.5 * slope / (f - self.f - slope).clamp(min=1e-20)
        shorter = self._step * torch.nan_to_num(parabola, nan=0.1).clamp(0.1, 0.5)
        self._refused = torch.where(accepted, 0.0, self._refused + 1)
        self.x = torch.where(accepted, trial, self.x)
        self.gradient = torch.where(accepted, gradient, self.gradient)
        self.f = torch.where(accepted, f, self.f)

        # Several refusals in a row mean that the stored curvature misleads here: forget it and go down the gradient.
        lost = self._refused >= 5
        self._stored = self._stored & ~lost
        newton = self._two_loop()
        downhill = torch.dot(newton, self.gradient) < 0
        empty = ~self._stored.any() | ~downhill
        first = FIRST_MOVE / self.gradient.abs().amax().clamp(min=1e-20)
        renewed = accepted | lost
        self._direction = torch.where(renewed, torch.where(empty, -self.gradient, newton), self._direction)
        self._step = torch.where(renewed, torch.where(empty, torch.where(lost, 0.1 * first, first), torch.ones_like(first)), shorter)
        self._refused = torch.where(lost, 0.0, self._refused)
        return f

    def _two_loop(self) -> Tensor:
        """-H g in coefficients of the rows of `_pairs` and the gradient."""
        m = self._history
        order = (self._oldest + torch.arange(m, device=self.x.device)) % m  # oldest first
        both = torch.cat((order, order + m))
        b = self._products.index_select(0, both).index_select(1, both)
        g = (self._pairs @ self.gradient).index_select(0, both)
        stored = self._stored.index_select(0, order)
        sy = b.diagonal(m)
        rho = torch.where(stored, 1 / torch.where(stored, sy, 1.0), 0.0)
        coefficients = self.x.new_zeros(2 * m)  # of s and y; the gradient's is 1, then gamma
        unit = torch.eye(2 * m, device=self.x.device)
        alpha = []
        for i in reversed(range(m)):
            a = rho[i] * (torch.dot(b[i], coefficients) + g[i])
            alpha.append(a)
            coefficients = coefficients - a * unit[m + i]
        alpha.reverse()
        yy = b[2 * m - 1, 2 * m - 1]
        gamma = torch.where(stored[m - 1], sy[m - 1] / yy.clamp(min=1e-30), 1.0)
        coefficients = coefficients * gamma
        for i in range(m):
            beta = rho[i] * (torch.dot(b[m + i], coefficients) + gamma * g[m + i])
            coefficients = coefficients + (alpha[i] - beta) * unit[i]
        back = torch.zeros_like(coefficients).index_copy(0, both, coefficients)
        return -(back @ self._pairs + gamma * self.gradient)
