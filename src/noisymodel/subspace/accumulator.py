"""Subspaces and CKA of features that come in batches, from any number of places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from .._checks import check_flag, check_integer
from ..spectrum.analysis import check_magnitude, read_matrix
from ..spectrum.singular_values import Array
from ..spectrum.states import Accumulator, check_entries
from .angles import angles_between, directions_of_scatter
from .products import Products, check_paired

_SMALLEST = 1e-75  # fourth powers of larger numbers do not underflow


class SubspaceAccumulator(Accumulator):
    """`principal_angles`, `dominant_rotation` and `linear_cka` of features that come in batches, in O((D + E)²) memory.

    Kept are, about the means, the scatters AᵀA, BᵀB, the cross-product AᵀB, and the sums that the debiased HSIC needs:
    Σ ‖a_n‖²‖b_n‖², Σ ‖a_n‖⁴, Σ ‖b_n‖⁴, Σ ‖b_n‖² a_n and so on. They suffice, since with K = AAᵀ, L = BBᵀ of rows about
    any fixed point tr(K̃L̃) = ‖AᵀB‖_F² − Σ ‖a_n‖²‖b_n‖² and 1ᵀK̃L̃1 = Σ_n (a_n·Σa − ‖a_n‖²)(b_n·Σb − ‖b_n‖²), which
    multiplies out into those sums. The fixed point is the mean of the first batch: the debiased HSIC does not depend on
    it (the kernels are centred by the estimator), and near the mean nothing cancels.

    The subspaces are those of the rows as they are (uncentred), as in `principal_angles`; singular values below about
    1e-8 times the largest of the centred rows are lost in the scatters, which does not touch dominant subspaces.

    Args:
        num_features_a: D.
        num_features_b: E; ``None``: D.

    >>> import numpy as np
    >>> from noisymodel.subspace import SubspaceAccumulator, linear_cka
    >>> random = np.random.default_rng(0)
    >>> a, b = random.normal(size=(60, 4)), random.normal(size=(60, 5))
    >>> pairs = SubspaceAccumulator(4, 5)
    >>> for part in range(0, 60, 20):
    ...     pairs.update(a[part : part + 20], b[part : part + 20])
    >>> bool(np.isclose(pairs.linear_cka(debiased=True), linear_cka(a, b, debiased=True), rtol=1e-9))
    True
    """

    _kind = "subspace"

    def __init__(self, num_features_a: int, num_features_b: int | None = None) -> None:
        self.num_features_a = check_integer(num_features_a, "num_features_a", minimum=1)
        other = num_features_a if num_features_b is None else num_features_b
        self.num_features_b = check_integer(other, "num_features_b", minimum=1)
        self._products: Products | None = None

    @property
    def count(self) -> int:
        """The number of pairs of rows so far."""
        return 0 if self._products is None else self._products.num_rows

    def update(self, a: Array, b: Array) -> None:
        """Take in rows (n, D) and (n, E) of the same n samples.

        Raises:
            TypeError: for anything but floating arrays.
            ValueError: for other shapes, different numbers of rows, and NaN or infinity; the state stays as it was.
        """
        first = read_matrix(a, "a", self.num_features_a, first=self.count)
        second = read_matrix(b, "b", self.num_features_b, first=self.count).to(first.device)
        check_paired(first, second)
        for rows, name in ((first, "a"), (second, "b")):
            check_magnitude(rows, name, "fourth powers", _SMALLEST)
        if not len(first):
            return
        known = self._products
        if known is None:
            self._products = Products.of(first, second)
        else:
            self._products = known.plus(Products.of(first, second, (known.origin_a, known.origin_b)))

    def merge(self, other: SubspaceAccumulator) -> Self:
        """Take in the pairs of another accumulator, which does not change; returns ``self``."""
        if not isinstance(other, SubspaceAccumulator):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`other` must be a SubspaceAccumulator, got {type(other).__name__}")
        if other.settings() != self.settings():
            sizes = self.num_features_a, self.num_features_b
            theirs = other.num_features_a, other.num_features_b
            raise ValueError(f"`other` must be of {sizes} features, got {theirs}")
        if self._products is None or other._products is None:
            self._products = self._products or other._products
        else:
            self._products = self._products.plus(other._products)
        return self

    def settings(self) -> dict[str, int]:
        """The arguments that make an empty accumulator of this kind."""
        return {"num_features_a": self.num_features_a, "num_features_b": self.num_features_b}

    def state_dict(self) -> dict[str, Tensor]:
        """The state as tensors: count, the origin, and about it the sums (zeros without rows)."""
        shapes = self._shapes()
        count = torch.tensor(self.count, dtype=torch.int64, device="cpu")
        if self._products is None:
            sums = [torch.zeros(shape, dtype=torch.float64, device="cpu") for shape in list(shapes.values())[1:]]
        else:
            sums = [value.clone() for value in self._products[1:]]
        return dict(zip(shapes, [count, *sums], strict=True))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state_dict` was taken from; the settings must be the same.

        Raises:
            ValueError: for missing entries, and shapes that do not fit the numbers of features.
        """
        shapes = self._shapes()
        check_entries(state, set(shapes))
        for name, shape in shapes.items():
            if state[name].shape != shape:
                raise ValueError(
                    f"`state` must be of {self.num_features_a} and {self.num_features_b} features, with {name!r} of "
                    f"shape {shape}, got {tuple(state[name].shape)}"
                )
        count, *held = (state[name].to(torch.float64).clone() for name in shapes)
        self._products = Products(int(count), *held) if count else None

    def linear_cka(self, *, debiased: bool = False) -> float:
        """As `linear_cka`."""
        products, least = self._filled(), 4 if check_flag(debiased, "debiased") else 2
        if products.num_rows < least:
            raise ValueError(f"`linear_cka` needs at least {least} rows, got {products.num_rows}")
        return products.centred().cka(debiased=debiased)

    def principal_angles(self, *, k: int) -> Tensor:
        """As `principal_angles`, (k,) float64."""
        if self.num_features_a != self.num_features_b:
            raise ValueError(
                f"angles need as many features on both sides, got {self.num_features_a} and {self.num_features_b}"
            )
        products, k = self._filled().centred(), check_integer(k, "k", minimum=1)
        first = directions_of_scatter(products.aa, products.origin_a, k, "a", products.num_rows)
        return angles_between(first, directions_of_scatter(products.bb, products.origin_b, k, "b", products.num_rows))

    def dominant_rotation(self, *, k: int) -> float:
        """As `dominant_rotation`."""
        return float(self.principal_angles(k=k)[-1])

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        d, e = (self.num_features_a,), (self.num_features_b,)
        shapes = [(), d, e, d, e, d + d, e + e, d + e, (), (), (), d, e, d, e]
        return dict(zip(("count", *Products._fields[1:]), shapes, strict=True))

    def _filled(self) -> Products:
        if self._products is None:
            raise ValueError("there are no rows yet: call `update` first")
        return self._products
