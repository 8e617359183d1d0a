"""Local gradient matching: of a linear classifier against its closed form, of networks against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from noisymodel.baselines import local_gradient_matching
from reference import neighbours

TARGETS = torch.tensor([0, 2, 1, 2, 0])


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear() -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(gaussian(3, 4, seed=5))
        layer.bias.copy_(gaussian(3, seed=6))
    return layer


def test_of_a_linear_classifier_against_the_closed_form() -> None:
    layer, features, moved = linear(), gaussian(5, 4), gaussian(5, 4, seed=1)
    value = local_gradient_matching(layer, features, TARGETS, perturbed=moved)
    weight, bias = (parameter.detach().numpy() for parameter in (layer.weight, layer.bias))
    expected = neighbours.local_gradient_matching(features.numpy(), moved.numpy(), weight, bias, TARGETS.tolist())
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert local_gradient_matching(layer, features, TARGETS, perturbed=features) == 0


def test_gradient_by_the_parameters_is_that_of_finite_differences() -> None:
    features, moved = gaussian(5, 4), gaussian(5, 4, seed=1)

    def value(weight: Tensor, bias: Tensor) -> Tensor:
        def network(rows: Tensor) -> Tensor:
            return torch.tanh(rows @ weight.T + bias) @ weight[:, :3] + bias

        return local_gradient_matching(network, features, TARGETS, perturbed=moved)

    torch.autograd.gradcheck(value, (gaussian(3, 4, seed=5).requires_grad_(), gaussian(3, seed=6).requires_grad_()))


def test_perturbation_follows_the_scale_and_the_generator() -> None:
    features = gaussian(2000, 4)
    seen: list[Tensor] = []

    def classify(rows: Tensor) -> Tensor:
        seen.append(rows.detach())
        return rows[:, :3]

    def noise(scale: float, std: float, seed: int) -> Tensor:
        seen.clear()
        targets = torch.zeros(2000, dtype=torch.long)
        generator = torch.Generator().manual_seed(seed)
        local_gradient_matching(classify, scale * features, targets, noise_std=std, generator=generator)
        clean, moved = seen
        assert torch.equal(clean, scale * features)
        return (moved - clean) / scale

    one = noise(1, 0.1, 0)
    assert (one.std() / features.square().mean().sqrt()).item() == pytest.approx(0.1, rel=0.05)
    torch.testing.assert_close(noise(100, 0.1, 0), one)
    torch.testing.assert_close(noise(1, 0.3, 0), 3 * one)
    assert not torch.equal(noise(1, 0.1, 1), one)
    assert torch.equal(noise(1, 0.0, 1), torch.zeros_like(one))


def test_shapes_probabilities_and_precision() -> None:
    layer, features, moved = linear(), gaussian(6, 4), gaussian(6, 4, seed=1)
    targets = torch.arange(6) % 3
    flat = local_gradient_matching(layer, features, targets, perturbed=moved)
    shaped = local_gradient_matching(
        layer, features.reshape(2, 3, 4), targets.reshape(2, 3), perturbed=moved.reshape(2, 3, 4)
    )
    assert torch.equal(flat, shaped)
    soft = local_gradient_matching(layer, features, torch.eye(3)[targets], perturbed=moved)
    torch.testing.assert_close(soft, flat)
    half = linear().bfloat16()
    value = local_gradient_matching(half, features.bfloat16(), targets, perturbed=moved.bfloat16())
    assert value.dtype == torch.float32
    value.backward()
    assert half.weight.grad.isfinite().all()


def test_features_get_no_gradient_and_no_grad_does_not_stop_it() -> None:
    layer, features = linear(), gaussian(5, 4).requires_grad_()
    local_gradient_matching(layer, features, TARGETS, perturbed=gaussian(5, 4, seed=1)).backward()
    assert features.grad is None
    assert layer.weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert local_gradient_matching(layer, features, TARGETS, perturbed=gaussian(5, 4, seed=1)) > 0


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"`features` must have at least one row, got shape \(0, 4\)"):
        local_gradient_matching(linear(), gaussian(0, 4), TARGETS[:0])
    with pytest.raises(ValueError, match=r"`perturbed` must have the shape of `features`, \(5, 4\), got \(4, 4\)"):
        local_gradient_matching(linear(), gaussian(5, 4), TARGETS, perturbed=gaussian(4, 4))
    with pytest.raises(ValueError, match=r"`noise_std` must be in \[0, inf\), got -0\.1"):
        local_gradient_matching(linear(), gaussian(5, 4), TARGETS, noise_std=-0.1)
    with pytest.raises(ValueError, match=r"`targets` must be class ids of shape \(5,\)"):
        local_gradient_matching(linear(), gaussian(5, 4), TARGETS[:4], noise_std=0.0, generator=torch.Generator())
