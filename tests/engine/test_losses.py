"""Each loss against the paper's formula in float64, and its gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blend_daemon.engine.network import losses

RANDOM = np.random.default_rng(0)


def tensor(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RANDOM.normal(size=shape))


def plain_laplacian(image: np.ndarray) -> np.ndarray:
    out = np.zeros_like(image)
    h, w = image.shape[-2:]
    for y in range(h):
        for x in range(w):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                v, u = min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)
                out[..., y, x] += image[..., v, u] - image[..., y, x]
    return out


def plain_gram(features: np.ndarray, weight: np.ndarray) -> np.ndarray:
    n, m = features.shape[1], features.shape[2] * features.shape[3]
    f, w = features.reshape(n, m), weight.reshape(m)
    g = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            g[i, j] = sum(f[i, k] * f[j, k] * w[k] for k in range(m))
    return g / w.sum()


def test_gradient_loss_is_equation_6():
    blend, wanted = tensor(1, 3, 5, 6), tensor(1, 3, 5, 6)
    plain = ((plain_laplacian(blend.numpy()) - wanted.numpy()) ** 2).sum() / (2 * 5 * 6)
    assert losses.gradient_loss(blend, wanted).item() == pytest.approx(plain, rel=1e-12)


def test_content_loss_is_equation_7():
    features, wanted, weight = tensor(1, 4, 3, 5), tensor(1, 4, 3, 5), torch.rand(1, 1, 3, 5, dtype=torch.float64)
    plain = ((features.numpy() * weight.numpy() - wanted.numpy() * weight.numpy()) ** 2).sum() / (2 * 4 * 15)
    assert losses.content_loss(features, wanted, weight).item() == pytest.approx(plain, rel=1e-6)


def test_style_loss_is_equation_8():
    features, target, weight = tensor(1, 4, 3, 5), tensor(1, 4, 3, 5), torch.rand(1, 1, 3, 5, dtype=torch.float64)
    plain = ((plain_gram(features.numpy(), weight.numpy()) - plain_gram(target.numpy(), weight.numpy())) ** 2).sum() / (2 * 4 * 4)
    ours = losses.style_loss(losses.gram(features, weight), losses.gram(target, weight)).item()
    assert ours == pytest.approx(plain, rel=1e-5)


def test_gram_without_weights_counts_every_position_once():
    features = tensor(1, 4, 3, 5)
    assert torch.allclose(losses.gram(features), losses.gram(features, torch.ones(1, 1, 3, 5)), rtol=1e-5)


def test_histogram_match_has_the_targets_values_in_the_order_of_the_features():
    features, target = tensor(4, 50), tensor(4, 50).sort(dim=1).values
    matched = losses.histogram_match(features, target)
    assert torch.equal(matched.sort(dim=1).values, target)
    assert torch.equal(matched.argsort(dim=1), features.argsort(dim=1))


def test_histogram_loss_is_equation_11():
    features, target = tensor(3, 20), tensor(3, 20).sort(dim=1).values
    plain = 0.0
    for i in range(3):
        order = sorted(range(20), key=lambda k, i=i: features[i, k].item())
        plain += sum((features[i, k].item() - target[i, rank].item()) ** 2 for rank, k in enumerate(order))
    assert losses.histogram_loss(features, target).item() == pytest.approx(plain, rel=1e-12)


def test_sorted_features_keep_the_extremes_at_another_count():
    values = losses.sorted_features(tensor(1, 2, 6, 7), 10)
    assert values.shape == (2, 10)
    assert (values.diff(dim=1) >= 0).all()


def test_total_variation_is_equation_12():
    image = tensor(1, 2, 4, 5)
    a = image.numpy()
    plain = np.abs(a[..., 1:, :] - a[..., :-1, :]).sum() + np.abs(a[..., 1:] - a[..., :-1]).sum()
    assert losses.total_variation(image).item() == pytest.approx(plain, rel=1e-12)


FEATURES, TARGET = tensor(1, 3, 3, 4), tensor(1, 3, 3, 4)
SORTED = tensor(3, 12).sort(dim=1).values


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.gradient_loss(x, TARGET),
        lambda x: losses.total_variation(x),
        lambda x: ((x - TARGET) ** 2).sum() * 0 + losses.histogram_loss(x.flatten(2)[0], SORTED),
    ],
    ids=["gradient", "variation", "histogram"],
)
def test_gradients_agree_with_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, (FEATURES.clone().requires_grad_(True),), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.content_loss(x, TARGET.to(x)),
        lambda x: losses.style_loss(losses.gram(x), losses.gram(TARGET.to(x))),
    ],
    ids=["content", "style"],
)
def test_gradients_of_losses_summed_in_float32_agree_with_finite_differences(loss):
    x = FEATURES.float().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(x), x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    step = 1e-2
    with torch.no_grad():
        slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=2e-2)
