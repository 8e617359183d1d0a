"""Open-set noise: images of classes outside the K classes of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from .._checks import check_choice, check_flag, check_integer
from .injection import Step, Subset, begin
from .inputs import Array, Labels, Mask, like
from .laws import UniformTargets
from .result import NoisyLabels
from .selection import SELECTIONS, Selection, counted, exact_rate, half_up, random_order, recorded_rate


@dataclass(frozen=True, eq=False)
class OpenSetLabels(NoisyLabels):
    """Noisy labels, some of whose images are to be replaced by outliers.

    The clean class of an outlier is none of the K classes, so its label is always wrong. Therefore ``flipped`` is True
    if the image is to be replaced *or* the label differs from the clean one; ``realized_rate`` is its mean.

    Attributes:
        replaced: (N,) bool, True where the image is to be replaced by an outlier.
        outlier: (N,) int64, the index of the outlier that replaces the image, −1 where the image stays.
    """

    replaced: Array | None = None
    outlier: Array | None = None


def open_set(
    labels: Labels | NoisyLabels,
    rate: float,
    num_outliers: int,
    *,
    num_classes: int | None = None,
    open_share: float = 1.0,
    include_true: bool = False,
    replace: bool = False,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> OpenSetLabels:
    """Open-set noise: a selected sample keeps its label and gets the image of an outlier.

    Of the samples selected, floor(open_share·n + 1/2) are replaced (with ``"bernoulli"`` each with that probability);
    the others, which are disjoint from them, get closed-set symmetric noise. The images are not touched here: take
    outlier ``noisy.outlier[i]`` for sample i where ``noisy.replaced[i]``. Outliers are drawn without replacement.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        rate: share of the samples that is selected, in [0, 1].
        num_outliers: how many images there are to draw from, at least 1.
        num_classes: K; ``None`` takes the largest label + 1.
        open_share: share of the selected samples that is replaced, in [0, 1]; ω in the published code, which sets 0.5.
        include_true: closed-set labels are drawn from all K classes, as in the published code.
        replace: let an outlier be drawn more than once.
        selection: as in :func:`symmetric`; ``"exact_per_class"`` selects and replaces half-up counts of each class.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`OpenSetLabels`, with ``transition=None``.

    Raises:
        TypeError: labels that are not integers.
        ValueError: more samples to replace than outliers (unless ``replace``); rates outside [0, 1]; else as
            :func:`symmetric`.

    Sources: Wang et al. 2018 (CVPR, iterative learning with open-set noisy labels); Sachdeva et al. 2021
    (EvidentialMix, arXiv 2011.11210) for the mixture with closed-set noise.

    >>> noisy = open_set([0, 1, 2, 3, 0, 1, 2, 3, 0, 1], 0.3, 100, seed=0)
    >>> int(noisy.replaced.sum()), bool((noisy.labels == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]).all())
    (3, True)
    """
    check_choice(selection, "selection", SELECTIONS)
    include_true, replace = check_flag(include_true, "include_true"), check_flag(replace, "replace")
    share, open_part = exact_rate(rate), exact_rate(open_share, "open_share")
    pool = check_integer(num_outliers, "num_outliers", minimum=1)
    step = begin(labels, num_classes, subset=subset, classes=classes, seed=seed)
    if step.num_classes < 2 and open_part < 1 and not include_true:
        raise ValueError("`num_classes` must be at least 2, got 1: there is no other class to flip to")
    replaced, closed = _parts(step, share, open_part, selection)
    outlier = np.full(step.part.size, -1, dtype=np.int64)
    outlier[replaced] = _draw_outliers(int(np.count_nonzero(replaced)), pool, replace, step.generator(3))
    noisy = step.part.copy()
    if closed.any():
        targets = UniformTargets(step.num_classes, include_true).draw(step.part, step.generator(2))
        np.copyto(noisy, targets, where=closed, casting="unsafe")
    stays = Fraction(1, step.num_classes) if include_true else Fraction(0)
    result = step.finish(
        noisy,
        method="open_set",
        parameters={
            "rate": recorded_rate(share),
            "num_outliers": pool,
            "open_share": recorded_rate(open_part),
            "include_true": include_true,
            "replace": replace,
            "selection": selection,
        },
        requested=float(share),
        expected=float(share * (open_part + (1 - open_part) * (1 - stays))),
        also_wrong=replaced,
    )
    return _with_outliers(step, result, replaced, outlier)


def _parts(step: Step, share: Fraction, open_part: Fraction, selection: str) -> tuple[Mask, Mask]:
    """(M,) each: which samples get another image, and which get another label."""
    count = step.part.size
    replaced, closed = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    generator = step.generator(1)
    if selection == "bernoulli":
        uniforms = generator.random(count)
        replaced = uniforms < float(share * open_part)
        return replaced, (uniforms < float(share)) & ~replaced
    for places in counted(random_order(count, generator), step.part, step.num_classes, selection):
        chosen = half_up(share, places.size)
        opened = half_up(open_part, chosen)
        replaced[places[:opened]] = True
        closed[places[opened:chosen]] = True
    return replaced, closed


def _draw_outliers(count: int, pool: int, replace: bool, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    if count > pool and not replace:
        raise ValueError(
            f"`num_outliers` must be at least the {count} samples to replace, got {pool}; replace=True reuses outliers"
        )
    return generator.integers(pool, size=count) if replace else generator.permutation(pool)[:count]


def _with_outliers(step: Step, result: NoisyLabels, replaced: Mask, outlier: npt.NDArray[np.int64]) -> OpenSetLabels:
    places = step.indices()
    masks = np.zeros(step.current.size, dtype=np.bool_), np.full(step.current.size, -1, dtype=np.int64)
    masks[0][places], masks[1][places] = replaced, outlier
    known = {field.name: getattr(result, field.name) for field in fields(NoisyLabels)}
    return OpenSetLabels(**known, replaced=like(step.given, masks[0]), outlier=like(step.given, masks[1]))
