"""One node for all regularizers: what it returns is what the functions that tracers see return."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from noisymodel.losses import NMTuneTerms, nmtune_regularization

WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}
SHAPES = [(6, 15), (15, 6), (9, 9)]


class Watching(TorchDispatchMode):
    """Sees everything and changes nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def rows(shape: tuple[int, int], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()


def terms_and_gradients(
    shape: tuple[int, int], dtype: torch.dtype, name: str, **options: object
) -> tuple[NMTuneTerms, list[Tensor]]:
    tuned, reference = rows(shape, 0, dtype), rows(shape, 1, dtype)
    terms = nmtune_regularization(tuned, reference, top_k=2, **{**WEIGHTS, **options})  # type: ignore[arg-type]
    gradients = torch.autograd.grad(2.5 * getattr(terms, name), [tuned, reference], allow_unused=True)
    return terms, [z if g is None else g for z, g in zip((tuned * 0, reference * 0), gradients, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("name", ["total", "consistency", "covariance", "dominant"])
@pytest.mark.parametrize("shape", SHAPES)
def test_terms_and_gradients_are_those_of_the_traced_functions(
    shape: tuple[int, int], name: str, dtype: torch.dtype
) -> None:
    plain, plain_gradients = terms_and_gradients(shape, dtype, name, reduction="batchmean")
    with Watching():
        traced, traced_gradients = terms_and_gradients(shape, dtype, name, reduction="batchmean")
    assert "PlainTerms" in type(plain.total.grad_fn).__name__
    assert "PlainTerms" not in type(traced.total.grad_fn).__name__
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-6, "atol": 1e-7}
    torch.testing.assert_close(torch.stack(plain), torch.stack(traced), **tolerance)
    if dtype == torch.float16:
        tolerance = {"rtol": 2e-3, "atol": 1e-4}
    for got, wanted in zip(plain_gradients, traced_gradients, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got, wanted, **tolerance)


def test_several_terms_may_be_differentiated_together() -> None:
    tuned, reference = rows((6, 15), 0, torch.float64), rows((6, 15), 1, torch.float64)
    terms = nmtune_regularization(tuned, reference, **WEIGHTS)
    (together,) = torch.autograd.grad(terms.total + 2 * terms.covariance - terms.consistency, tuned, retain_graph=True)
    parts = [
        torch.autograd.grad(t, tuned, retain_graph=True)[0] for t in (terms[0], terms.covariance, terms.consistency)
    ]
    torch.testing.assert_close(together, parts[0] + 2 * parts[1] - parts[2], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("by", ["tuned", "reference"])
def test_a_second_derivative_is_an_error(by: str) -> None:
    inputs = {"tuned": rows((6, 15), 0, torch.float64), "reference": rows((6, 15), 1, torch.float64)}
    total = nmtune_regularization(**inputs, **WEIGHTS).total
    (gradient,) = torch.autograd.grad(total, inputs[by], create_graph=True)
    with pytest.raises(NotImplementedError, match="the regularizers have no second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_without_gradients_no_eigenvectors_are_made(
    shape: tuple[int, int], watched: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = rows(shape, 0, dtype)
    wanted = nmtune_regularization(tuned, None, top_k=2, **WEIGHTS)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("eigenvectors were asked for")

    monkeypatch.setattr(torch.linalg, "eigh", refused)
    monkeypatch.setattr(torch.linalg, "svd", refused)
    with torch.no_grad(), Watching() if watched else torch.no_grad():
        terms = nmtune_regularization(tuned, None, top_k=2, **WEIGHTS)
    torch.testing.assert_close(torch.stack(terms), torch.stack(wanted).detach(), rtol=1e-6, atol=1e-7)


def test_weights_that_are_tensors_are_differentiated() -> None:
    weight = torch.tensor(0.3, requires_grad=True)
    terms = nmtune_regularization(rows((6, 15), 0, torch.float32), None, **{**WEIGHTS, "covariance_weight": weight})
    terms.total.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(terms.covariance.item())
