"""Ablations of the tuned NMTune: without each term, each term alone, other batches and other networks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .base import Method
from .frozen import TUNED, WHOLE_NETWORK, network

FULL = "nmtune_tuned"
"""The full method of the ablation."""

_TERMS = {"consistency": "consistency", "covariance": "covariance", "dominant": "dominant singular value"}
"""The terms, and what a description calls them."""


def _ablated(label: str, description: str, **changes: float) -> Method:
    text = f"The tuned NMTune {description}."
    return Method(label, text, "ablation", network, {**TUNED, **changes}, base=FULL, options=WHOLE_NETWORK)


def _weights(**kept: float) -> dict[str, float]:
    return {f"{term}_weight": kept.get(term, 0.0) for term in _TERMS}


def _without(term: str) -> Method:
    return _ablated(f"without {term}", f"with weight 0 on the {_TERMS[term]} term", **{f"{term}_weight": 0.0})


def _alone(term: str) -> Method:
    kept = _weights(**{term: TUNED[f"{term}_weight"]})
    return _ablated(f"{term} alone", f"with the {_TERMS[term]} term alone", **kept)


def _batch(size: int) -> Method:
    steps = {32: "twice the steps", 128: "half the steps", 256: "a quarter of the steps"}[size]
    return _ablated(
        f"batch {size}",
        f"with batches of {size} for as many epochs, at the same learning rate: {steps} of batches of 64",
        batch_size=size,
    )


ABLATIONS: Mapping[str, Method] = MappingProxyType(
    {
        **{f"ablation_no_{term}": _without(term) for term in _TERMS},
        **{f"ablation_only_{term}": _alone(term) for term in _TERMS},
        "ablation_paper_weights": _ablated(
            "paper's weights", "with 0.01 on each term, as in the paper", **_weights(**dict.fromkeys(_TERMS, 0.01))
        ),
        **{f"ablation_batch_{size}": _batch(size) for size in (32, 128, 256)},
        "ablation_residual": _ablated("residual", "with the residual connection", residual=1),
        "ablation_no_norm": _ablated("without BatchNorm", "without BatchNorm", batch_norm=0),
        **{
            f"ablation_width_{times}": _ablated(
                f"width × {times}", f"with hidden layers {times} × as wide as the features instead of 4 ×", width=times
            )
            for times in (1, 2, 8)
        },
    }
)
"""Name -> method, in the order of tables; each differs from `FULL` in one respect."""
