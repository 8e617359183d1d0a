"""All three regularizers together: their sum, their weights, precision, memory, and devices without float64."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from noisymodel.losses import (
    NMTuneTerms,
    batch,
    consistency_loss,
    covariance_loss,
    dominant_singular_value_loss,
    nmtune_regularization,
    spectral,
)
from reference.matrices import conditioned, gaussian, value_and_gradient

WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}
NAMES = ("consistency", "covariance", "dominant")


@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
@pytest.mark.parametrize("top_k", [1, 4])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_nmtune_regularization_is_its_three_parts(shape: tuple[int, int], top_k: int, reduction: str) -> None:
    tuned, reference = gaussian(*shape), gaussian(*shape, seed=1)
    parts = {
        "consistency": lambda z: consistency_loss(z, reference, reduction=reduction),
        "covariance": covariance_loss,
        "dominant": lambda z: dominant_singular_value_loss(z, top_k=top_k),
    }
    separate = {name: value_and_gradient(part, tuned) for name, part in parts.items()}
    leaf = tuned.clone().requires_grad_()
    terms = nmtune_regularization(leaf, reference, top_k=top_k, reduction=reduction, **WEIGHTS)
    terms.total.backward()
    assert isinstance(terms, NMTuneTerms)
    assert all(term.shape == () for term in terms)
    for name, (value, _) in separate.items():
        assert getattr(terms, name).item() == pytest.approx(value, rel=1e-12)
    assert terms.task.item() == 0
    total = sum(WEIGHTS[f"{name}_weight"] * value for name, (value, _) in separate.items())
    assert terms.total.item() == pytest.approx(total, rel=1e-12)
    gradient = sum(WEIGHTS[f"{name}_weight"] * gradient for name, (_, gradient) in separate.items())
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=1e-10, atol=1e-14)


def test_without_reference_there_is_no_consistency_term() -> None:
    terms = nmtune_regularization(gaussian(5, 9), None, **WEIGHTS)
    assert terms.consistency.item() == 0
    assert terms.total.item() == pytest.approx(0.3 * terms.covariance.item() + 0.5 * terms.dominant.item())


def test_one_term_alone_may_be_differentiated() -> None:
    for name in ("covariance", "dominant", "consistency"):
        leaf = gaussian(5, 9).requires_grad_()
        getattr(nmtune_regularization(leaf, gaussian(5, 9, 1), **WEIGHTS), name).backward()
        assert leaf.grad is not None
        assert leaf.grad.abs().max() > 0


def test_weights_may_be_tensors() -> None:
    numbers = nmtune_regularization(gaussian(5, 9), gaussian(5, 9, 1), **WEIGHTS)
    tensors = {name: torch.tensor(weight, dtype=torch.float64) for name, weight in WEIGHTS.items()}
    assert nmtune_regularization(gaussian(5, 9), gaussian(5, 9, 1), **tensors).total == numbers.total


def test_leading_dimensions_are_rows() -> None:
    tuned, reference = gaussian(12, 7), gaussian(12, 7, 1)
    flat = nmtune_regularization(tuned, reference, **WEIGHTS)
    leaf = tuned.reshape(3, 2, 2, 7).clone().requires_grad_()
    shaped = nmtune_regularization(leaf, reference.reshape(3, 2, 2, 7), **WEIGHTS)
    assert shaped == flat
    shaped.total.backward()
    assert leaf.grad is not None
    assert leaf.grad.shape == leaf.shape


def total(tuned: Tensor, reference: Tensor) -> Tensor:
    return nmtune_regularization(tuned, reference, top_k=2, **WEIGHTS).total


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (2, 3)])
def test_gradcheck(shape: tuple[int, int]) -> None:
    inputs = gaussian(*shape).requires_grad_(), gaussian(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_half_precision_is_computed_as_if_it_were_single(shape: tuple[int, int], dtype: torch.dtype) -> None:
    tuned, reference = gaussian(*shape).to(dtype), gaussian(*shape, seed=1).to(dtype)
    half = value_and_gradient(lambda z: total(z, reference), tuned)
    single = value_and_gradient(lambda z: total(z, reference.float()), tuned.float())
    assert half[0] == single[0]
    assert np.linalg.norm(half[1] - single[1]) <= torch.finfo(dtype).eps * np.linalg.norm(single[1])
    assert total(tuned, reference).dtype == torch.float32
    assert covariance_loss(300 * tuned).isfinite()  # float16 ends at 65504


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    tuned, reference = gaussian(8, 20).float(), gaussian(8, 20, 1).float()
    outside = value_and_gradient(lambda z: total(z, reference), tuned)
    with torch.autocast("cpu", dtype=dtype):
        inside = value_and_gradient(lambda z: total(z, reference), tuned)
    assert inside[0] == outside[0]
    np.testing.assert_array_equal(inside[1], outside[1])


def test_gradient_scaling_of_half_precision_training() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    leaf = gaussian(8, 20).half().requires_grad_()
    scaler.scale(covariance_loss(leaf)).backward()
    assert leaf.grad is not None
    wanted = value_and_gradient(covariance_loss, leaf.detach().float())[1]
    np.testing.assert_allclose(leaf.grad.double().numpy() / 2**10, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_a_scaled_step_under_autocast_is_the_unscaled_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """The layer's products are half; the statistics, and what the scaler unscales, are those of its output."""
    features = gaussian(*shape).float()
    layer = torch.nn.utils.skip_init(torch.nn.Linear, shape[1], shape[1], bias=False)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(shape[1]))
    with torch.autocast("cpu", dtype=dtype):
        tuned = layer(features)
        loss = total(tuned, features.flip(0))
    assert tuned.dtype == dtype
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(total(tuned.detach().double(), features.double().flip(0)).item(), rel=1e-6)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    _, gradient = value_and_gradient(lambda z: total(z, features.flip(0)), tuned.detach().float())
    wanted = torch.eye(shape[1], dtype=torch.float64) - 0.5 * torch.from_numpy(gradient).T @ features.double()
    step = wanted - torch.eye(shape[1])
    assert (layer.weight.detach() - wanted).norm() <= 4 * torch.finfo(dtype).eps * step.norm()


@pytest.mark.parametrize("kind", [int, float, np.float32])
def test_a_term_of_weight_0_is_not_computed_and_is_0(kind: type) -> None:
    tuned, reference = gaussian(5, 9), gaussian(5, 9, 1)
    whole = nmtune_regularization(tuned, reference, **WEIGHTS)
    for name in NAMES:
        weights = WEIGHTS | {f"{name}_weight": kind(0)}
        terms = nmtune_regularization(tuned, reference, **weights)
        others = [other for other in NAMES if other != name]
        assert getattr(terms, name).item() == 0
        assert all(getattr(terms, other) == getattr(whole, other) for other in others)
        total = sum(WEIGHTS[f"{other}_weight"] * getattr(whole, other).item() for other in others)
        assert terms.total.item() == pytest.approx(total)


def test_what_is_not_computed_cannot_fail() -> None:
    nothing = dict.fromkeys(WEIGHTS, 0.0)
    row, huge = gaussian(1, 5), 1e30 * gaussian(6, 5).float()
    assert nmtune_regularization(row, row, **(WEIGHTS | {"covariance_weight": 0})).total.isfinite()
    assert nmtune_regularization(huge, huge.flip(0), **(WEIGHTS | {"covariance_weight": 0})).total.isfinite()
    assert nmtune_regularization(row, None, top_k=4, **(nothing | {"consistency_weight": 1})).total == 0
    assert not any(nmtune_regularization(row * math.nan, row, **nothing))
    with pytest.raises(ValueError, match="`top_k` must be at most"):
        nmtune_regularization(row, None, top_k=4, **(nothing | {"dominant_weight": 1}))


def test_without_covariance_and_dominant_term_there_is_no_gram_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral._SpectralTerms, "apply", None)
    weights = {"consistency_weight": 1.0, "covariance_weight": 0.0, "dominant_weight": 0}
    assert nmtune_regularization(gaussian(5, 9), gaussian(5, 9, 1), **weights).total > 0


def test_finite_features_whose_covariance_float32_cannot_hold_are_visibly_infinite() -> None:
    features = 1e11 * gaussian(60, 6).float()
    assert covariance_loss(features) == math.inf
    terms = nmtune_regularization(features, features.flip(0), **WEIGHTS)
    assert terms.total == terms.covariance == math.inf
    assert terms.dominant.isfinite()


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_checked(name: str) -> None:
    rows = gaussian(5, 9)
    for bad in (-1, -0.1, math.nan, math.inf, np.float64("nan"), -math.inf):
        with pytest.raises(ValueError, match=rf"`{name}` must be in \[0, inf\), got"):
            nmtune_regularization(rows, None, **(WEIGHTS | {name: bad}))
    for bad in (True, np.True_, b"0.5", "0.5", None, [1.0], torch.tensor([1.0]), torch.tensor(True)):
        with pytest.raises(TypeError, match=f"`{name}` must be a number"):
            nmtune_regularization(rows, None, **(WEIGHTS | {name: bad}))


def test_weights_that_are_tensors_are_differentiated() -> None:
    weight = torch.tensor(0.3, requires_grad=True)
    terms = nmtune_regularization(gaussian(6, 15).float(), None, **{**WEIGHTS, "covariance_weight": weight})
    terms.total.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(terms.covariance.item())
    assert terms.total.dtype == torch.float32


def test_bad_arguments_are_named() -> None:
    rows = gaussian(5, 3)
    with pytest.raises(ValueError, match="`tuned` must have at least two rows for a covariance, got 1"):
        nmtune_regularization(rows[:1], rows[:1], **WEIGHTS)
    with pytest.raises(TypeError, match=r"`top_k` must be an integer, got 1\.5"):
        nmtune_regularization(rows, None, top_k=1.5, **WEIGHTS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`reduction` must be one of 'mean', 'batchmean', got 'sum'"):
        nmtune_regularization(rows, None, reduction="sum", **WEIGHTS)
    with pytest.raises(ValueError, match=r"`reference` must have the shape of `tuned`, \(5, 3\), got \(3, 5\)"):
        nmtune_regularization(rows, rows.mT, **(WEIGHTS | {"consistency_weight": 0}))


class LargestTensor(TorchDispatchMode):
    """Remembers the largest side of a square tensor, but for the vectors' own, and the most elements of any."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else [out]:
            if isinstance(part, Tensor):
                self.elements = max(self.elements, part.numel())
        return out


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(6, 3000), (3000, 6)])
def test_no_matrix_of_the_larger_side(shape: tuple[int, int], dtype: torch.dtype) -> None:
    tuned, reference = gaussian(*shape).to(dtype).requires_grad_(), gaussian(*shape, seed=1).to(dtype)
    with LargestTensor() as largest:
        total(tuned, reference).backward()
    assert 0 < largest.elements <= tuned.numel()


def test_gather_without_a_process_group_changes_nothing() -> None:
    z, f = gaussian(5, 9), gaussian(5, 9, 1)
    assert nmtune_regularization(z, f, gather=True, **WEIGHTS) == nmtune_regularization(z, f, **WEIGHTS)


def test_inputs_are_not_changed() -> None:
    z, f = gaussian(5, 9), gaussian(5, 9, 1)
    before = z.clone(), f.clone()
    total(z.requires_grad_(), f).backward()
    assert torch.equal(z, before[0])
    assert torch.equal(f, before[1])


def test_defaults_are_the_same_everywhere() -> None:
    def default(function: Callable[..., object], name: str) -> object:
        return inspect.signature(function).parameters[name].default

    assert default(nmtune_regularization, "top_k") == default(dominant_singular_value_loss, "top_k") == 1
    assert default(nmtune_regularization, "reduction") == default(consistency_loss, "reduction") == "mean"
    functions = (covariance_loss, dominant_singular_value_loss, consistency_loss, nmtune_regularization)
    assert all(default(function, "gather") is False for function in functions)


class SecondDevice(torch.Tensor):
    """Float32 rows that say they are on a device without float64, and are copied to the CPU and back."""

    @staticmethod
    def __new__(cls, rows: Tensor) -> SecondDevice:
        return torch.Tensor._make_wrapper_subclass(cls, rows.shape, dtype=rows.dtype, device="meta")

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain, options = (
            torch.utils._pytree.tree_map_only(SecondDevice, lambda found: found.rows, part)
            for part in (args, kwargs or {})
        )
        away = func is torch.ops.aten._to_copy.default and options.get("device") == torch.device("cpu")
        if options.get("device") == torch.device("meta"):
            options["device"] = torch.device("cpu")
        result = func(*plain, **options)
        if away:
            return result
        assert result.dtype != torch.float64, f"{func} of float64 on a device that has none"
        return SecondDevice(result)


class ToSecondDevice(TorchDispatchMode):
    """What is copied to the device "meta" arrives there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        options = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and options.get("device") == torch.device("meta"):
            options.pop("device")
            return SecondDevice(func(*args, **options))
        return func(*args, **options)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_where_a_device_has_no_float64_the_statistics_are_made_on_the_cpu(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "has_float64", lambda device: device.type != "meta")
    monkeypatch.setattr(batch, "check_rows", lambda features, name: features)
    plain, reference = conditioned(*shape).float(), gaussian(*shape, seed=1).float()
    rows = SecondDevice(plain).requires_grad_()
    with ToSecondDevice():
        wanted = value_and_gradient(lambda z: nmtune_regularization(z, reference, **WEIGHTS).total, plain)
        total = nmtune_regularization(rows, SecondDevice(reference), **WEIGHTS).total
        (gradient,) = torch.autograd.grad(total, rows)
    assert isinstance(total, SecondDevice)
    assert isinstance(gradient, SecondDevice)
    assert total.rows.item() == wanted[0]
    np.testing.assert_array_equal(gradient.rows.numpy(), wanted[1])
