"""Spectral metrics as torchmetrics: ``update`` on features, ``compute`` a scalar, states that merge and synchronise.

This module needs torchmetrics (extra ``metrics``).
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from ._checks import check_choice
from .errors import MissingExtraError
from .spectrum import SpectrumAccumulator
from .spectrum.accumulator import Method

try:
    from torchmetrics import Metric
except ImportError:
    raise MissingExtraError("torchmetrics", extra="metrics", purpose="noisymodel.metrics") from None

__all__ = ["EffectiveRank", "LargestSingularValueRatio", "SingularValueEntropy"]


class _SpectrumMetric(Metric):
    """One property of the spectrum of all features seen.

    The state is one vector of (D + 1)² + 2 numbers in float64: a `SpectrumAccumulator`.
    """

    is_differentiable = False
    full_state_update = False
    attribute: ClassVar[str]
    packed: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        center: str = "none",
        method: Method = "tsqr",
        center_rows: bool = False,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice(center, "center", ("none", "column"))
        empty = SpectrumAccumulator(num_features, method=method, center_rows=center_rows, normalize=normalize)
        self.settings, self.center = empty.settings(), center
        self.add_state("packed", empty.packed(), dist_reduce_fx=self._fold)

    def update(self, features: Tensor) -> None:
        """Take in features (..., D)."""
        total = SpectrumAccumulator.unpacked(self.settings, self.packed)
        total.update(features)
        self.packed = total.packed().to(self.packed.device)

    def compute(self) -> Tensor:
        """The metric of all features so far."""
        total = SpectrumAccumulator.unpacked(self.settings, self.packed)
        value = float("nan")
        if total.count > (self.center == "column"):
            value = getattr(total.spectrum(center=self.center), self.attribute)  # pyright: ignore[reportArgumentType] - checked
        return torch.tensor(value, dtype=torch.float64, device=self.packed.device)

    def set_dtype(self, dst_type: Any) -> Any:  # noqa: ARG002 - it has no say
        """Nothing: the state is float64."""
        return self

    def _fold(self, states: Tensor) -> Tensor:
        """One state of those of all ranks, in their order."""
        total = SpectrumAccumulator(**self.settings)
        for state in states:
            total.merge(SpectrumAccumulator.unpacked(self.settings, state))
        return total.packed().to(states.device)

    def _apply(self, fn: Any, exclude_state: Any = "") -> Any:
        """Move the state with the module, and leave it float64."""
        kept, empty = self.packed, cast("Tensor", self._defaults["packed"])
        found = super()._apply(fn, exclude_state)
        self.packed = kept.to(self.packed.device) if self.packed.dtype != kept.dtype else self.packed
        self._defaults["packed"] = empty.to(self.packed.device)  # what `reset` goes back to
        return found


class SingularValueEntropy(_SpectrumMetric):
    """The SVE, −Σ p_i ln p_i of p_i = σ_i / Σσ, in [0, ln min(N, D)], of all features seen.

    The value is that of `noisymodel.spectrum.Spectrum.entropy`, a float64 scalar; NaN before any row, and for features
    that are zero. The state is float64, whatever ``.half()`` or ``.float()`` is called on the module that holds it.
    Synchronised over processes of any number of rows, none included, it gives on every rank the value of all rows, to
    the bit the same. Every ``update`` costs a QR decomposition of its rows and D more, so feed whole batches.

    Args:
        num_features: D.
        center: ``"none"`` or ``"column"``.
        method, center_rows, normalize: as in `SpectrumAccumulator`.
        kwargs: torchmetrics' own, ``dist_sync_on_step`` and the like.

    Raises:
        MissingExtraError: without torchmetrics.
        ValueError, TypeError: as `SpectrumAccumulator`.

    >>> import torch
    >>> from noisymodel.metrics import SingularValueEntropy
    >>> from noisymodel.spectrum import analyze
    >>> features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    >>> metric = SingularValueEntropy(6)
    >>> metric.update(features[:10])
    >>> metric.update(features[10:])
    >>> bool(torch.isclose(metric.compute(), torch.tensor(analyze(features).entropy, dtype=torch.float64)))
    True
    """

    attribute = "entropy"
    higher_is_better = True


class LargestSingularValueRatio(_SpectrumMetric):
    """The LSVR, −ln(σ₁ / Σσ), in [0, ln min(N, D)], of all features seen.

    The value is that of `noisymodel.spectrum.Spectrum.largest_ratio`. Arguments, state and errors are those of
    `SingularValueEntropy`.

    >>> import torch
    >>> from noisymodel.metrics import LargestSingularValueRatio
    >>> metric = LargestSingularValueRatio(2)
    >>> metric.update(torch.eye(2))
    >>> round(float(metric.compute()), 6)
    0.693147
    """

    attribute = "largest_ratio"
    higher_is_better = None


class EffectiveRank(_SpectrumMetric):
    """The effective rank, exp(SVE), in [1, min(N, D)], of all features seen.

    The value is that of `noisymodel.spectrum.Spectrum.effective_rank`. Arguments, state and errors are those of
    `SingularValueEntropy`.

    >>> import torch
    >>> from noisymodel.metrics import EffectiveRank
    >>> metric = EffectiveRank(2)
    >>> metric.update(torch.eye(2))
    >>> round(float(metric.compute()), 6)
    2.0
    """

    attribute = "effective_rank"
    higher_is_better = True
