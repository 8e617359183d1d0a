"""Another default dtype, or another default device, changes nothing that the core computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from noisymodel import NMTune, NMTuneLoss
from noisymodel.baselines import (
    batch_spectral_shrinkage,
    embedding_distortion,
    l2_sp_penalty,
    local_gradient_matching,
    whitening,
)
from noisymodel.losses import (
    consistency_loss,
    covariance_loss,
    dominant_singular_value_loss,
    matrix_products,
    nmtune_regularization,
)
from reference.matrices import gaussian

WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.3, "dominant_weight": 0.5}
TARGETS = torch.tensor([0, 2, 1, -100, 2, 1, 0, 2])
HEAD = NMTune(6, 3, generator=torch.Generator().manual_seed(0), input_noise=0.0)


@contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def by_products(z: Tensor, f: Tensor) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_products, "is_taken", lambda _: True)
        return [dominant_singular_value_loss(z, top_k=k) for k in (1, 2)]


def criterion(z: Tensor, f: Tensor) -> object:
    return NMTuneLoss(label_smoothing=0.1)(z[:, :3], TARGETS, tuned=z, reference=f, sample_weight=f[:, 0].abs())


CALLS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "covariance": lambda z, f: covariance_loss(z),
    "dominant": lambda z, f: dominant_singular_value_loss(z, top_k=2),
    "consistency": lambda z, f: consistency_loss(z, f),
    "all": lambda z, f: nmtune_regularization(z, f, **WEIGHTS),
    "one": lambda z, f: nmtune_regularization(z, f, **(WEIGHTS | {"covariance_weight": 0})),
    "by products": by_products,
    "criterion": criterion,
    "head": lambda z, f: HEAD.loss(z, TARGETS),
    "shrinkage": lambda z, f: batch_spectral_shrinkage(z, num_smallest=2),
    "distortion": lambda z, f: embedding_distortion(z, f),
    "L2-SP": lambda z, f: l2_sp_penalty({"a": z, "b": f}, {"a": f}),
    "matching": lambda z, f: local_gradient_matching(
        lambda rows: rows[:, :3] ** 2, z, TARGETS, generator=torch.Generator("cpu").manual_seed(0)
    ),
    "whitening": lambda z, f: whitening(z),
}


def results(name: str, dtype: torch.dtype) -> list[Tensor]:
    z, f = (gaussian(8, 6, seed).to(dtype).requires_grad_() for seed in (0, 1))
    found = CALLS[name](z, f)
    values = list(found) if isinstance(found, tuple | list) else [found]
    if values[0].requires_grad:
        values[0].backward()
        values.append(z.grad)
    return [value.detach() for value in values if value is not None]


@pytest.mark.parametrize("default", ["float64", "meta"])
@pytest.mark.parametrize("name", CALLS)
def test_defaults_change_nothing(name: str, default: str) -> None:
    for dtype in (torch.float32, torch.float64):
        if name == "head" and dtype == torch.float64:
            continue
        before = results(name, dtype)
        with float64_by_default() if default == "float64" else torch.device("meta"):
            under = results(name, dtype)
        after = results(name, dtype)
        for want, got, again in zip(before, under, after, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=0)
            torch.testing.assert_close(again, want, rtol=0, atol=0)
            assert got.dtype == want.dtype
            assert got.device.type == "cpu"
