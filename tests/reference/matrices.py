"""Feature matrices of every kind that the regularizers are tested on, and a function's value and gradient there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def gaussian(rows: int, features: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(rows, features, dtype=dtype, device="cpu", generator=generator)


def with_singular_values(rows: int, features: int, values: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(gaussian(rows, features, 3), full_matrices=False)
    return (u * values) @ vh


def falling(rows: int, features: int, digits: int) -> Tensor:
    """Singular values that fall geometrically from 1 by so many digits."""
    return with_singular_values(rows, features, torch.logspace(0, -digits, min(rows, features), dtype=torch.float64))


def conditioned(rows: int, features: int) -> Tensor:
    return falling(rows, features, 4)


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
