"""Spectral metrics as torchmetrics: ``update`` on features, ``compute`` a scalar, states that merge and synchronise.

The classes are made on first use, so that this module can be imported without torchmetrics (extra ``metrics``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from .errors import MissingExtraError
from .spectrum import SpectrumAccumulator
from .spectrum.accumulator import Method

if TYPE_CHECKING:
    from torchmetrics import Metric

    class EffectiveRank(Metric):
        """See the module's ``__getattr__``."""

    class LargestSingularValueRatio(Metric):
        """See the module's ``__getattr__``."""

    class SingularValueEntropy(Metric):
        """See the module's ``__getattr__``."""


__all__ = ["EffectiveRank", "LargestSingularValueRatio", "SingularValueEntropy"]

_PROPERTIES = {
    "SingularValueEntropy": ("entropy", "The SVE, −Σ p_i ln p_i of p_i = σ_i / Σσ, in [0, ln min(N, D)]", True),
    "LargestSingularValueRatio": ("largest_ratio", "The LSVR, −ln(σ₁ / Σσ), in [0, ln min(N, D)]", None),
    "EffectiveRank": ("effective_rank", "exp(SVE), in [1, min(N, D)]", True),
}
_DOCUMENTATION = """{title} of all features seen, as a torchmetrics ``Metric``.

The value is that of `noisymodel.spectrum.Spectrum.{name}`, a float64 scalar; NaN before any row, and for features that
are zero. The state is one vector of (D + 1)² + 2 numbers in float64, whatever ``.half()`` or ``.float()`` is called on
the module that holds it. It is a `SpectrumAccumulator`: synchronised over processes of any number of rows, none
included, it gives on every rank the value of all rows, to the bit the same. Every ``update`` costs a QR decomposition
of its rows and D more, so feed whole batches.

Args:
    num_features: D.
    center: ``"none"`` or ``"column"``.
    method, center_rows, normalize: as in `SpectrumAccumulator`.
    kwargs: torchmetrics' own, ``dist_sync_on_step`` and the like.

Raises:
    MissingExtraError: without torchmetrics.
    ValueError, TypeError: as `SpectrumAccumulator`.

>>> import pytest, torch
>>> _ = pytest.importorskip("torchmetrics")
>>> from noisymodel.metrics import {class_name}
>>> from noisymodel.spectrum import analyze
>>> features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
>>> metric = {class_name}(6)
>>> metric.update(features[:10])
>>> metric.update(features[10:])
>>> bool(torch.isclose(metric.compute(), torch.tensor(analyze(features).{name}, dtype=torch.float64)))
True
"""


def __getattr__(name: str) -> object:
    if name in _PROPERTIES:
        return _made(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__


@lru_cache
def _made(name: str) -> type[Metric]:
    base = _base()
    attribute, title, higher = _PROPERTIES[name]
    members: dict[str, Any] = {
        "__doc__": _DOCUMENTATION.format(title=title, name=attribute, class_name=name),
        "__module__": __name__,
        "attribute": attribute,
        "higher_is_better": higher,
    }
    made: type[Any] = type(name, (base,), members)
    return made


@lru_cache
def _base() -> type[Any]:
    try:
        from torchmetrics import Metric
    except ImportError:
        raise MissingExtraError("torchmetrics", extra="metrics", purpose="noisymodel.metrics") from None

    class SpectrumMetric(Metric):
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
            if center not in ("none", "column"):
                raise ValueError(f"`center` must be one of 'none', 'column', got {center!r}")
            empty = SpectrumAccumulator(num_features, method=method, center_rows=center_rows, normalize=normalize)
            self.settings, self.center = empty.settings(), center
            self.add_state("packed", _packed(empty), dist_reduce_fx=self._fold)

        def update(self, features: Tensor) -> None:
            """Take in features (..., D)."""
            total = _unpacked(self.settings, self.packed)
            total.update(features)
            self.packed = _packed(total).to(self.packed.device)

        def compute(self) -> Tensor:
            """The metric of all features so far."""
            total = _unpacked(self.settings, self.packed)
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
                total.merge(_unpacked(self.settings, state))
            return _packed(total).to(states.device)

        def _apply(self, fn: Any, exclude_state: Any = "") -> Any:
            """Move the state with the module, and leave it float64."""
            kept, empty = self.packed, cast("Tensor", self._defaults["packed"])
            found = super()._apply(fn, exclude_state)
            self.packed = kept.to(self.packed.device) if self.packed.dtype != kept.dtype else self.packed
            self._defaults["packed"] = empty.to(self.packed.device)  # what `reset` goes back to
            return found

    return SpectrumMetric


def _packed(total: SpectrumAccumulator) -> Tensor:
    """An accumulator as one float64 vector: count, ε, kind, mean, and the factor, squared by rows of zeros."""
    state = total.state_dict()
    factor = state["factor"].flatten()
    head = torch.stack([state[name].to(factor) for name in ("count", "epsilon", "torch")])
    return torch.cat([head, state["mean"], factor, factor.new_zeros(total.num_features**2 - len(factor))])


def _unpacked(settings: dict[str, Any], vector: Tensor) -> SpectrumAccumulator:
    total, size = SpectrumAccumulator(**settings), settings["num_features"]
    head, mean, factor = vector.split([3, size, size * size])
    state = {"count": head[0].round().long(), "epsilon": head[1], "torch": head[2], "mean": mean}
    total.load_state_dict({**state, "factor": factor.view(size, size)})
    return total
