"""The regularizers against naive float64, their laws, and what they do with degenerate input."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from noisymodel import _gram
from noisymodel.losses import (
    NMTuneTerms,
    consistency_loss,
    covariance_loss,
    dominant_singular_value_loss,
    nmtune_regularization,
)
from reference import losses as naive

SHAPES = [(8, 20), (12, 12), (20, 8), (2, 5), (2, 2), (5, 2)]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}


def gaussian(rows: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_singular_values(rows: int, features: int, values: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(gaussian(rows, features, 3), full_matrices=False)
    return (u * values) @ vh


def conditioned(rows: int, features: int) -> Tensor:
    return with_singular_values(rows, features, torch.logspace(0, -4, min(rows, features), dtype=torch.float64))


def repeated(rows: int, features: int) -> Tensor:
    values = torch.full((min(rows, features),), 0.5, dtype=torch.float64)
    values[0] = 2
    return with_singular_values(rows, features, values)


def shifted(rows: int, features: int) -> Tensor:
    return gaussian(rows, features) + 1e4 * gaussian(1, features, 5).sign()


def collapsed(rows: int, features: int) -> Tensor:
    return gaussian(1, features, 6) + 1e-4 * gaussian(rows, features)


KINDS = {"gaussian": gaussian, "condition 1e4": conditioned, "repeated": repeated, "collapsed": collapsed}


def value_and_gradient(function: Callable[[Tensor], Tensor], features: Tensor) -> tuple[float, np.ndarray]:
    leaf = features.detach().clone().requires_grad_()
    value = function(leaf)
    value.backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == features.dtype
    assert leaf.grad.shape == features.shape
    return value.item(), leaf.grad.double().numpy()


def assert_close(got: tuple[float, np.ndarray], value: float, gradient: np.ndarray, tolerance: float) -> None:
    assert got[0] == pytest.approx(value, rel=tolerance, abs=1e-14)
    assert np.linalg.norm(got[1] - gradient) <= tolerance * np.linalg.norm(gradient) + 1e-14


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", [*KINDS, "shifted"])
@pytest.mark.parametrize("shape", SHAPES)
def test_covariance_is_the_naive_one(shape: tuple[int, int], kind: str, dtype: torch.dtype) -> None:
    features = {**KINDS, "shifted": shifted}[kind](*shape).to(dtype)
    exact = features.double().numpy()
    got = value_and_gradient(covariance_loss, features)
    assert_close(got, naive.covariance(exact), naive.covariance_gradient(exact), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_dominant_singular_value_is_the_naive_one_for_every_top_k(
    shape: tuple[int, int], kind: str, dtype: torch.dtype
) -> None:
    features = KINDS[kind](*shape).to(dtype)
    exact = features.double().numpy()
    for top_k in range(1, min(shape) + 1):
        if kind == "repeated" and 1 < top_k < min(shape):
            continue  # the k-th and the next are equal: not differentiable
        got = value_and_gradient(lambda z, k=top_k: dominant_singular_value_loss(z, top_k=k), features)
        wanted = naive.dominant(exact, top_k), naive.dominant_gradient(exact, top_k)
        assert_close(got, *wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (64, 128)])
def test_dominant_with_a_mean_of_10000_standard_deviations(shape: tuple[int, int]) -> None:
    for dtype, tolerance in TOLERANCE.items():
        features = shifted(*shape).to(dtype)
        exact = features.double().numpy()
        got = value_and_gradient(dominant_singular_value_loss, features)
        assert_close(got, naive.dominant(exact, 1), naive.dominant_gradient(exact, 1), tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (9, 9)])
def test_rank_deficient_features_get_the_subgradient_of_smallest_norm(
    shape: tuple[int, int], top_k: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    factors = [torch.randint(-3, 4, size, generator=generator).to(dtype) for size in ((shape[0], 3), (3, shape[1]))]
    features = factors[0] @ factors[1]  # exact: integers
    exact = features.double().numpy()
    got = value_and_gradient(lambda z: dominant_singular_value_loss(z, top_k=top_k), features)
    assert_close(got, naive.dominant(exact, top_k), naive.dominant_gradient(exact, top_k, rank=3), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("reduction", ["mean", "batchmean"])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 4)])
def test_consistency_is_the_naive_one(shape: tuple[int, int], reduction: str, dtype: torch.dtype) -> None:
    for distance in (1.0, 1e-3):
        tuned = gaussian(*shape).to(dtype)
        reference = (tuned.double() + distance * gaussian(*shape, seed=1)).to(dtype)
        z, f = tuned.double().numpy(), reference.double().numpy()
        for arguments, others in (((z, f), (tuned, reference)), ((f, z), (reference, tuned))):
            got = value_and_gradient(lambda x, o=others: consistency_loss(x, o[1], reduction=reduction), others[0])
            wanted = naive.consistency(*arguments, reduction), naive.consistency_gradient(*arguments, reduction)
            assert_close(got, *wanted, TOLERANCE[dtype])
        got = value_and_gradient(lambda x, t=tuned: consistency_loss(t, x, reduction=reduction), reference)
        assert_close(got, naive.consistency(z, f, reduction), naive.consistency_gradient(f, z, reduction), 1e-4)


def test_values_known_by_hand() -> None:
    diagonal = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    assert dominant_singular_value_loss(diagonal).item() == pytest.approx(-0.4)
    assert dominant_singular_value_loss(diagonal, top_k=2).item() == pytest.approx(-0.35)
    assert dominant_singular_value_loss(torch.eye(5)).item() == pytest.approx(-1 / 5)
    assert dominant_singular_value_loss(torch.ones(6, 3)).item() == pytest.approx(-1.0)
    plane = torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])  # C_12 = C_21 = 2, N − 1 = 1, D = 3
    assert covariance_loss(plane).item() == pytest.approx(8 / 3)
    assert covariance_loss(plane[:, :1]).item() == 0.0  # one feature has no off-diagonal
    assert consistency_loss(diagonal, diagonal).item() == 0.0
    assert consistency_loss(diagonal, -3 * diagonal, reduction="batchmean").item() == pytest.approx(4.0)


def test_one_varying_feature_has_no_covariance_not_even_a_negative_one() -> None:
    for seed in range(40):
        features = torch.zeros(4, 9, dtype=torch.float64)
        features[:, 2] = gaussian(4, 1, seed)[:, 0]
        assert 0 <= covariance_loss(features).item() < 1e-15


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


class LargestTensor(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor that any operation returned."""

    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else [out]:
            if isinstance(part, Tensor):
                self.nbytes = max(self.nbytes, part.numel() * part.itemsize)
        return out


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(6, 3000), (3000, 6)])
def test_no_matrix_of_the_larger_side_and_no_float64_copy_of_the_rows(
    shape: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gram, "BLOCK", 1200)
    tuned, reference = gaussian(*shape).to(dtype).requires_grad_(), gaussian(*shape, seed=1).to(dtype)
    with LargestTensor() as largest:
        total(tuned, reference).backward()
    assert 0 < largest.nbytes <= tuned.nbytes


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
    monkeypatch.setattr(_gram, "has_float64", lambda device: device.type != "meta")
    plain, reference = conditioned(*shape).float(), gaussian(*shape, seed=1).float()
    rows = SecondDevice(plain).requires_grad_()
    with ToSecondDevice():  # for both: what a dispatch mode sees is added up in another order
        wanted = value_and_gradient(lambda z: nmtune_regularization(z, reference, **WEIGHTS).total, plain)
        total = nmtune_regularization(rows, SecondDevice(reference), **WEIGHTS).total
        (gradient,) = torch.autograd.grad(total, rows)
    assert isinstance(total, SecondDevice)
    assert isinstance(gradient, SecondDevice)
    assert total.rows.item() == wanted[0]
    np.testing.assert_array_equal(gradient.rows.numpy(), wanted[1])
