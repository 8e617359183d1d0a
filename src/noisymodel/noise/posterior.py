"""Noise where a classifier is unsure (Zhang et al. 2021, PLC): from the most likely class to the second."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .._checks import check_choice
from .injection import Step, Subset, begin
from .inputs import Array, Floats, Labels, check_probabilities, float_blocks, matrix_checksum, read_matrix
from .result import NoisyLabels
from .selection import SELECTIONS, Selection, counted, exact_rate, half_up, recorded_rate

Kind: TypeAlias = Literal["I", "II", "III"]

KINDS = ("I", "II", "III")


def posterior_dependent(
    labels: Labels | NoisyLabels,
    posterior: Array,
    rate: float | None,
    *,
    kind: Kind = "I",
    num_classes: int | None = None,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Feature-dependent noise by a classifier's posterior: labels flip where two classes are close.

    With Δ = η_u − η_s, the margin between the largest and the second largest posterior, a sample flips with probability
    min(1, c·f(Δ)), where f is

    - type I: 1/2 − Δ²/2;
    - type II: 1 − Δ³;
    - type III: 1 − (Δ³ + Δ² + Δ)/3.

    c is chosen so that the mean is ``rate``; ``rate=None`` takes c = 1, the published probabilities. A flipped label
    becomes the class with the largest posterior *other than the label*. If the label is the classifier's first class,
    that is the second class, as in the paper; otherwise it is the first.

    Each sample gets the number u_i/f_i with uniform u_i. ``"bernoulli"`` flips the samples whose number is below c;
    ``"exact"`` flips the floor(rate·N + 1/2) samples with the smallest numbers (the probabilities are then
    proportional to f up to O(1/N)), ``"exact_per_class"`` the floor(rate·N_k + 1/2) smallest of each class. So all
    modes are nested: a lower rate flips a part of the same samples.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        posterior: (N, K) probabilities, rows summing to 1 ± 0.01; of any size, read a few rows at a time.
        rate: share of wrong labels in [0, 1], or None (then ``selection`` must be ``"bernoulli"``).
        kind: ``"I"``, ``"II"`` or ``"III"``.
        num_classes: must be K where given.
        selection: see above.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels` with ``transition=None``; without a rate ``requested_rate`` is the mean of f.

    Raises:
        TypeError: labels that are not integers, a posterior that is not of real numbers.
        ValueError: a posterior with negative or non-finite cells, or rows that do not sum to one; K < 2; more flips
            than there are samples with f > 0.

    Source: Zhang et al. 2021 (ICLR, arXiv 2103.07756), section 4. The published code starts from labels *sampled from*
    the posterior, and multiplies f by 1.2; sample the labels first to follow it.

    >>> unsure, sure = [0.5, 0.4, 0.1], [0.0, 1.0, 0.0]
    >>> posterior_dependent([0, 1, 0, 1], np.array([unsure, sure, unsure, sure]), 0.5, seed=0).labels
    array([1, 1, 1, 1])
    """
    check_choice(kind, "kind", KINDS)
    check_choice(selection, "selection", SELECTIONS)
    if rate is None and selection != "bernoulli":
        raise ValueError('`rate` None takes the published probabilities, which need `selection="bernoulli"`')
    share = None if rate is None else exact_rate(rate)
    known = posterior.shape[1] if num_classes is None and len(getattr(posterior, "shape", ())) == 2 else num_classes
    step = begin(labels, known, subset=subset, classes=classes, seed=seed)
    matrix = read_matrix(posterior, "posterior", step.current.size)
    if matrix.shape[1] != step.num_classes or step.num_classes < 2:
        raise ValueError(
            f"`posterior` must have one column for each of at least 2 classes, got shape {tuple(matrix.shape)}"
        )
    margins, targets = _confusions(step, matrix)
    chances = flip_chances(margins, kind)
    mean = float(chances.mean())
    selected = _flips(step, chances, share, selection)
    noisy = step.part.copy()
    np.copyto(noisy, targets.astype(noisy.dtype), where=selected)
    requested = mean if share is None else float(share)
    return step.finish(
        noisy,
        method="posterior_dependent",
        parameters={"rate": None if share is None else recorded_rate(share), "kind": kind, "selection": selection},
        requested=requested,
        expected=requested,
        inputs={"posterior": {"shape": list(matrix.shape), "checksum": matrix_checksum(matrix)}},
    )


def flip_chances(margins: Floats, kind: str) -> Floats:
    """f(Δ)."""
    if kind == "I":
        return 0.5 - 0.5 * margins**2
    if kind == "II":
        return 1.0 - margins**3
    return 1.0 - (margins**3 + margins**2 + margins) / 3.0


def factor(chances: Floats, rate: float) -> float:
    """Solve mean(min(1, c·f)) = rate for c exactly: the mean is piecewise linear in c."""
    descending = np.sort(chances[chances > 0])[::-1]
    wanted = rate * chances.size
    below = np.cumsum(descending[::-1])[::-1]  # below[k]: the sum of all but the k largest
    candidates = (wanted - np.arange(descending.size)) / below  # c if exactly the k largest are at 1
    fits = candidates * descending <= 1.0
    return float(candidates[np.argmax(fits)]) if fits.any() else float(1.0 / descending[-1])


def _flips(step: Step, chances: Floats, share: Fraction | None, selection: str) -> npt.NDArray[np.bool_]:
    uniforms = step.generator(1).random(chances.size)
    if share is None:
        return uniforms < chances
    possible = int(np.count_nonzero(chances > 0))
    if half_up(share, chances.size) > possible:
        raise ValueError(f"`rate` {float(share):g} is more than the {possible} of {chances.size} samples that can flip")
    selected = np.zeros(chances.size, dtype=np.bool_)
    if share == 0:
        return selected
    if selection == "bernoulli":
        return uniforms < factor(chances, float(share)) * chances
    priority = np.full(chances.size, np.inf)
    np.divide(uniforms, chances, out=priority, where=chances > 0)
    for places in counted(np.argsort(priority, kind="stable"), step.part, step.num_classes, selection):
        chosen = places[: half_up(share, places.size)]
        if not chances[chosen].all():
            raise ValueError(f"`rate` {float(share):g} is more than what can flip of class {step.part[places[0]]}")
        selected[chosen] = True
    return selected


def _confusions(step: Step, matrix: Array) -> tuple[Floats, npt.NDArray[np.intp]]:
    """For each label that may change: the margin of the posterior, and its largest class other than the label."""
    margins = np.empty(step.current.size)
    targets = np.empty(step.current.size, dtype=np.intp)
    for start, block in float_blocks(matrix):
        check_probabilities(block, "posterior", start)
        rows = np.arange(len(block))
        stop = start + len(block)
        top = np.partition(block, -2, axis=1)[:, -2:]
        margins[start:stop] = np.minimum(top[:, 1] - top[:, 0], 1.0)
        others = block.copy()
        others[rows, step.current[start:stop].astype(np.intp)] = -1.0
        targets[start:stop] = others.argmax(axis=1)
    return step.part_of(margins), step.part_of(targets)
