"""The kinds of heads: heads of one kind can be one batched model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ..heads import Head
from ..heads.randomness import draws_by_itself
from ..losses.regularization import WEIGHTS
from ..objective import NMTuneLoss

_OF_EACH = frozenset({*WEIGHTS, "label_smoothing", "classifier_init"})


def kind_of(head: Head) -> Hashable:
    """The properties that heads must share to be one batched model; ``head`` may be without weights.

    These are all settings except label smoothing and the loss weights (but which loss weights are zero counts), the
    shapes of the parts, and which parameters are trained.
    """
    settings = {name: value for name, value in head.config().items() if name not in _OF_EACH}
    if not head.objective.dominant_weight:
        settings.pop("top_k", None)
    if not head.objective.consistency_weight:
        settings.pop("reduction", None)
    terms = tuple(map(bool, head.objective.weights().values()))
    parts = tuple((name, tuple(value.shape), value.requires_grad) for name, value in head.named_parameters())
    modules = tuple((name, type(module)) for name, module in head.named_modules())
    return type(head), tuple(settings.items()), terms, parts, modules


def can_be_stacked(heads: Sequence[Head]) -> bool:
    """Whether the heads are of one kind, and none overrides the computations of `Head`."""
    first = heads[0]
    plain = all(getattr(type(first), name) is getattr(Head, name) for name in ("loss", "tune", "forward"))
    plain = plain and type(first.objective) is NMTuneLoss and first.objective.gather is False
    return plain and not draws_by_itself(first) and len({kind_of(head) for head in heads}) == 1
