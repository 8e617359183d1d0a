"""The spectrum of features in batches, from any number of processes, without holding all rows in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .._checks import check_choice, check_flag, check_integer
from .analysis import check_finite, check_magnitude, check_rows_of, row_operations
from .blocks import Blocks
from .gram import GramPrecisionWarning, gram_values
from .result import Spectrum
from .scatter import Scatter
from .singular_values import Array
from .states import Accumulator, check_entries
from .triangle import Moments

if TYPE_CHECKING:
    pass

Method: TypeAlias = Literal["tsqr", "gram"]
METHODS = ("tsqr", "gram")
__all__ = ["METHODS", "GramPrecisionWarning", "Method", "SpectrumAccumulator"]
_BLOCK = 1 << 22  # entries of a block, 32 MiB of float64; where that is few rows 4·D, up to 128 MiB, and 2·D at least
_SMALLEST = 1e-153  # squares of larger numbers do not underflow
_FEWEST = 4096  # rows of a block of few features
_NOISE = 8  # roundings of the mean, in units of ε·√n·‖mean‖


class SpectrumAccumulator(Accumulator):
    """The spectrum of rows in batches: accurate, mergeable, in O(D²) memory for any number of rows.

    It keeps the count, the mean and the triangle R of the centred rows, RᵀR = Σ (x − mean)(x − mean)ᵀ, in float64. R
    and the mean give the singular values of F, and of F with its columns centred. Rows wait in a block of at most 32
    MiB (more for D above 1024: 4·D rows up to 128 MiB, and 2·D rows) before they enter the triangle. Any partition of
    the rows into batches and accumulators, in any order, gives the same metrics to 1e-9 (relative).

    Args:
        num_features: D.
        method: ``"tsqr"`` takes each block's triangle by QR, or adds up its Gram matrix where its condition shows that
            this is as good: SVE and LSVR are right to 1e-9, also for rank-deficient, ill-conditioned and large-mean
            features. ``"gram"`` adds up all Gram matrices about the mean, in float64: the fastest, but singular
            values below about 1e-8·σ₁ are lost; a `GramPrecisionWarning` says when that is more than 1e-6 of the SVE.
        center_rows: subtract each row's own mean over its features.
        normalize: divide each row by its L2 norm, before ``center_rows``. Both together are the paper's published
            preprocessing, ``analyze(features, preset="official")``.

    Sources: Demmel, Grigori, Hoemmen and Langou 2012 (TSQR); Chan, Golub and LeVeque 1983 (joining means).

    >>> import numpy as np
    >>> from noisymodel.spectrum import SpectrumAccumulator, analyze
    >>> features = np.random.default_rng(0).normal(size=(100, 8))
    >>> left, right = SpectrumAccumulator(8), SpectrumAccumulator(8)
    >>> left.update(features[:30])
    >>> right.update(features[30:])
    >>> spectrum = (left + right).spectrum(center="column")
    >>> bool(np.isclose(spectrum.entropy, analyze(features, center="column").entropy, rtol=1e-12))
    True
    """

    _kind = "spectrum"

    def __init__(
        self,
        num_features: int,
        *,
        method: Method = "tsqr",
        center_rows: bool = False,
        normalize: bool = False,
    ) -> None:
        self.num_features = check_integer(num_features, "num_features", minimum=1)
        check_choice(method, "method", METHODS)
        self.center_rows = check_flag(center_rows, "center_rows")
        self.normalize = check_flag(normalize, "normalize")
        if center_rows and num_features < 2:
            raise ValueError(f"`center_rows` needs at least 2 features, got `num_features` = {num_features}")
        self.method: Method = method
        self._epsilon = 0.0  # of the coarsest dtype that came
        self._array_type: type[Tensor] | type[np.ndarray[Any, Any]] | None = None
        self._block: Tensor | None = None  # rows that wait, and room for more
        self._waiting = 0
        self._taken = self._no_rows(torch.device("cpu"))

    @property
    def count(self) -> int:
        """The number of rows so far."""
        return self._taken.num_rows + self._waiting

    def update(self, batch: Array) -> None:
        """Take in rows (..., D) of any floating dtype; numpy or torch, on any device. Never mutated.

        Half-precision rows keep their rounding, which costs 6e-4 of the SVE in bfloat16 at condition number 1e4. The
        state is on the device of the first rows, or on the CPU if that device has no float64.

        Raises:
            TypeError: for rows that are not a floating array.
            ValueError: for another width, and for NaN or infinity, with the number of the first such row counted from
                the first row of all; the state does not change.
        """
        rows, epsilon = check_rows_of(batch, "batch", self.num_features)
        check_finite(rows, "batch", first=self.count)
        if not self.normalize:
            check_magnitude(rows, "batch", "squares", _SMALLEST)
        if not len(rows):
            return
        if self._array_type is None:
            self._array_type = Tensor if isinstance(batch, Tensor) else np.ndarray
        if not self.count:
            device = torch.device("cpu") if rows.device.type == "mps" else rows.device  # mps has no float64
            self._taken = self._no_rows(device)
        self._epsilon = max(self._epsilon, epsilon)
        rows = rows.to(self._taken.device)
        if self.normalize or self.center_rows:
            rows = row_operations(rows.to(torch.float64), normalize=self.normalize, center=self.center_rows)
        while len(rows):
            block = self._room_for(len(rows))
            taken = min(len(rows), len(block) - self._waiting)
            block[self._waiting : self._waiting + taken] = rows[:taken]
            self._waiting += taken
            rows = rows[taken:]
            if self._waiting == self._block_rows:
                self._take_in()

    def merge(self, other: object) -> Self:
        """Take in the rows of another accumulator, which does not change; returns ``self``.

        Associative and commutative up to rounding, with an empty accumulator as identity.

        Raises:
            TypeError: for anything else.
            ValueError: for an accumulator of other features, method or row operations.
        """
        if not isinstance(other, SpectrumAccumulator):
            raise TypeError(f"`other` must be a SpectrumAccumulator, got {type(other).__name__}")
        if other.settings() != self.settings():
            raise ValueError(f"`other` must have the settings {self.settings()}, got {other.settings()}")
        self._take_in()
        other._take_in()
        self._taken.merge(other._taken)
        self._epsilon = max(self._epsilon, other._epsilon)
        self._array_type = self._array_type or other._array_type
        return self

    def __add__(self, other: SpectrumAccumulator) -> SpectrumAccumulator:
        """A new accumulator with the rows of both."""
        return SpectrumAccumulator(**self.settings()).merge(self).merge(other)

    def spectrum(self, *, center: Literal["none", "column"] = "none") -> Spectrum:
        """The spectrum of all rows so far, as `analyze` gives it; more rows may follow.

        ``"column"`` subtracts each feature's mean over all rows. Torch if the first rows were torch, else numpy.

        Raises:
            ValueError: without rows; for column centring of one row.
        """
        check_choice(center, "center", ("none", "column"))
        count = self.count
        if not count:
            raise ValueError("a spectrum needs rows, got none: call `update` first")
        if center == "column" and count < 2:
            raise ValueError("`center` = 'column' needs at least 2 samples, got 1")
        self._take_in()
        self._block = None  # its memory is what the decomposition needs
        values = self._values(center)
        expected = min(count, self.num_features)
        values = torch.nn.functional.pad(values, (0, max(0, expected - len(values))))[:expected]
        return Spectrum(
            singular_values=values if self._array_type is Tensor else values.cpu().numpy(),
            num_samples=count,
            num_features=self.num_features,
            centered=center == "column",
            epsilon=self._epsilon,
        )

    def settings(self) -> dict[str, Any]:
        """The arguments of an empty accumulator of this kind."""
        return {name: getattr(self, name) for name in ("num_features", "method", "center_rows", "normalize")}

    def state_dict(self) -> dict[str, Tensor]:
        """The state as tensors: count, mean (D,), factor (r, D) (for "gram" the scatter (D, D)), epsilon, torch."""
        moments = self._all_moments()
        return {
            "count": torch.tensor(moments.num_rows, dtype=torch.int64, device="cpu"),
            "mean": moments.mean.clone(),
            "factor": moments.factor.clone(),
            "epsilon": torch.tensor(self._epsilon, dtype=torch.float64, device="cpu"),
            "torch": torch.tensor(self._array_type is Tensor, dtype=torch.bool, device="cpu"),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of `state_dict`; the settings must be the same.

        Raises:
            ValueError: for missing entries, and shapes that do not fit ``num_features``.
        """
        check_entries(state, {"count", "mean", "factor", "epsilon", "torch"})
        mean, factor = (state[name].to(torch.float64) for name in ("mean", "factor"))
        if mean.shape != (self.num_features,) or factor.ndim != 2 or factor.shape[1] != self.num_features:
            raise ValueError(
                f"`state` must be of {self.num_features} features, got a mean of shape {tuple(mean.shape)} and "
                f"a factor of shape {tuple(factor.shape)}"
            )
        count = int(state["count"])
        self._waiting, self._block = 0, None
        self._taken = self._no_rows(mean.device)
        if self.method == "tsqr":
            self._taken.moments = Moments(count, mean.clone(), factor.clone())
        elif count:
            self._taken.scatter = Scatter(count, mean.clone(), factor.clone(), math.inf)
        self._epsilon = float(state["epsilon"])
        self._array_type = (Tensor if bool(state["torch"]) else np.ndarray) if self.count else None

    @property
    def _block_rows(self) -> int:
        size = self.num_features
        small = min(max(16 * size, _FEWEST), _BLOCK // size)
        return max(small, min(4 * size, 4 * _BLOCK // size), 2 * size)

    def _room_for(self, rows: int) -> Tensor:
        """The block, grown (twice as large at least) so that it takes these rows or is as large as it may be."""
        block, wanted = self._block, min(self._waiting + rows, self._block_rows)
        if block is None or len(block) < wanted or block.device != self._taken.device:
            size = min(max(wanted, 2 * self._waiting), self._block_rows)
            grown = self._taken.moments.mean.new_empty(size, self.num_features)
            if block is not None:
                grown[: self._waiting] = block[: self._waiting]
            self._block = block = grown
        return block

    def _no_rows(self, device: torch.device) -> Blocks:
        return Blocks(self.num_features, device, always_gram=self.method == "gram")

    def _take_in(self) -> None:
        """Take in the rows that wait."""
        if self._block is not None and self._waiting:
            rows, self._waiting = self._block[: self._waiting], 0
            self._taken.take_in(rows)

    def _all_moments(self) -> Moments:
        self._take_in()
        return self._taken.all_moments()

    def _values(self, center: str) -> Tensor:
        if self.method == "gram":
            return gram_values(self._all_moments(), center)
        scatter = self._taken.only_scatter()
        if scatter is not None:
            scatter = scatter if center == "column" else scatter.uncentred()
            if scatter.is_mild:
                return torch.linalg.eigvalsh(scatter.gram).flip(0).clamp_min(0.0).sqrt()
        moments = self._all_moments()
        if center == "none":
            return torch.linalg.svdvals(moments.uncentred())
        values = torch.linalg.svdvals(moments.factor)
        noise = _NOISE * torch.finfo(torch.float64).eps * math.sqrt(moments.num_rows) * moments.mean.norm()
        return torch.where(values[:1] > noise, values, 0.0)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        size = self.num_features
        return {"count": (), "epsilon": (), "torch": (), "mean": (size,), "factor": (size, size)}
