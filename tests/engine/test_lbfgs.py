from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from blend_daemon.engine.optimise.lbfgs import LBFGS


def rosenbrock(x):
    x = x.detach().requires_grad_(True)
    f = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return f.detach(), torch.autograd.grad(f, x)[0]


def test_it_reaches_the_minimum_of_rosenbrocks_function():
    optimiser = LBFGS(rosenbrock, torch.full((20,), -1.2))
    for _ in range(250):
        optimiser.iterate()
    assert torch.allclose(optimiser.x, torch.ones(20), atol=1e-3)


def test_the_value_never_rises():
    optimiser, values = LBFGS(rosenbrock, torch.full((20,), -1.2)), []
    for _ in range(100):
        optimiser.iterate()
        values.append(optimiser.f.item())
    assert values == sorted(values, reverse=True)


def test_the_direction_is_that_of_the_textbook_recursion():
    scale = torch.logspace(0, 2, 30)
    m, pairs = 5, []
    optimiser = LBFGS(lambda x: (0.5 * (scale * x * x).sum(), scale * x), torch.ones(30), history=m)
    for _ in range(12):
        x, g = optimiser.x.clone(), optimiser.gradient.clone()
        optimiser.iterate()
        s, y = optimiser.x - x, optimiser.gradient - g
        if s.abs().max() > 0:
            pairs = [*pairs, (s.double(), y.double())][-m:]
    q, alphas = optimiser.gradient.double(), []
    for s, y in reversed(pairs):
        alphas.append(s.dot(q) / y.dot(s))
        q = q - alphas[-1] * y
    s, y = pairs[-1]
    r = q * s.dot(y) / y.dot(y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - y.dot(r) / y.dot(s))
    assert torch.allclose(optimiser._direction.double(), -r, rtol=1e-3, atol=1e-6)


def test_a_value_that_is_not_a_number_is_refused():
    def wall(x):
        f, g = 0.5 * (x * x).sum(), x.clone()
        return (torch.where((x < 0).any(), torch.nan, f), g)

    optimiser = LBFGS(wall, torch.ones(4))
    for _ in range(30):
        optimiser.iterate()
    assert torch.isfinite(optimiser.f)
    assert torch.isfinite(optimiser.x).all()


class Reads(TorchDispatchMode):
    """Counts the calls that make the host wait for a number of the device's."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.is_nonzero.default):
            Reads.count += 1
        return function(*args, **(kwargs or {}))


def test_an_iteration_never_waits_for_the_device():
    scale = torch.logspace(0, 2, 30)
    optimiser = LBFGS(lambda x: (0.5 * (scale * x * x).sum(), scale * x), torch.ones(30))
    Reads.count = 0
    with Reads():
        torch.ones(1).item()
        assert Reads.count == 1, "the counter does not count"
        for _ in range(15):
            optimiser.iterate()
    assert Reads.count == 1


class Wide(TorchDispatchMode):
    """Stands in for a device without float64, as MPS is one: fails where a tensor of it is made."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        assert not (isinstance(made, torch.Tensor) and made.dtype == torch.float64), f"{function} makes float64"
        return made


def test_it_runs_on_a_device_without_float64():
    with pytest.raises(AssertionError, match="makes float64"), Wide():
        torch.ones(3).double()
    with Wide():
        optimiser = LBFGS(rosenbrock, torch.full((20,), -1.2))
        for _ in range(15):
            optimiser.iterate()
    assert torch.isfinite(optimiser.x).all()
