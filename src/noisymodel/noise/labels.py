"""Label noise by rule: symmetric, pair and asymmetric. A share of the labels is selected and gets new classes."""

from __future__ import annotations

from collections.abc import Sequence

from .injection import Subset, begin
from .inputs import Labels
from .laws import asymmetric_law, inject, pair_flip_law, symmetric_law
from .mappings import ClassMapping, NamedMapping, read_mapping
from .result import NoisyLabels
from .selection import SELECTIONS, Selection, exact_rate

__all__ = ["SELECTIONS", "Selection", "asymmetric", "pair_flip", "symmetric"]


def symmetric(
    labels: Labels | NoisyLabels,
    rate: float,
    *,
    num_classes: int | None = None,
    include_true: bool = False,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Symmetric (uniform) label noise: selected samples get a class drawn uniformly.

    By default a selected label becomes one of the K − 1 **other** classes, so the share of wrong labels is ``rate``.
    With ``include_true=True`` it is drawn from all K classes: of the samples selected, 1/K keep their label and the
    share of wrong labels is about rate·(K − 1)/K. ``flipped`` and ``realized_rate`` always compare with the clean
    labels. See :func:`symmetric_transition` for the matrices.

    Selection:

    - ``"exact"``: floor(rate·N + 1/2) samples of the whole set;
    - ``"exact_per_class"``: floor(rate·N_k + 1/2) samples of each class k;
    - ``"bernoulli"``: each sample independently with probability ``rate``.

    The counts are computed in exact arithmetic from the decimal text of ``rate``, so 0.29 of 100 is 29
    (``int(0.29 * 100)`` is 28) and halves round up.

    Two laws hold. **Nested**: with the same seed, labels, K, mode and ``include_true``, every label flipped at
    a lower rate is flipped to the same wrong class at a higher rate. **Portable**: the result depends only on the
    values of the labels, not on kind, dtype or device.

    Args:
        labels: (N,) integers in [0, K): numpy, torch, or a list (which gives numpy int64); or the
            :class:`NoisyLabels` of earlier noise. Never mutated.
        rate: share of the samples that is selected, in [0, 1]; 0 changes nothing.
        num_classes: K; ``None`` takes the largest label + 1, which is too few where the last class has no sample.
        include_true: whether the true class is among those drawn from.
        selection: ``"exact"``, ``"exact_per_class"`` or ``"bernoulli"``.
        subset: (N,) bool mask, or indices, of the samples that may change; N and ``rate`` then refer to the subset.
        classes: the classes whose samples may change; N and ``rate`` then refer to these samples.
        seed: integer in [0, 2**63); the only source of randomness.

    Returns:
        :class:`NoisyLabels`; ``transition`` is the (K, K) matrix of the law, in the exact modes too (8·K² bytes; above
        4096 classes a :class:`SymmetricTransition`).

    Raises:
        TypeError: labels that are not integers.
        ValueError: labels empty, not one-dimensional, negative or ≥ K; ``rate`` outside [0, 1]; K < 2 without
            ``include_true``; an unknown ``selection``; K classes that the dtype of the labels cannot hold.

    Sources: arXiv 2309.17002 (pre-training labels "uniformly flipped"); exclusive as in Patrini et al. 2017 (arXiv
    1609.03683), inclusive as in DivideMix (arXiv 2002.07394).

    >>> noisy = symmetric([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], 0.3, seed=0)
    >>> int(noisy.flipped.sum()), noisy.realized_rate
    (3, 0.3)
    """
    step = begin(labels, num_classes, subset=subset, classes=classes, seed=seed)
    law = symmetric_law(step.num_classes, exact_rate(rate), include_true=include_true)
    return inject(step, law, selection, "symmetric", {"include_true": bool(include_true)})


def pair_flip(
    labels: Labels | NoisyLabels,
    rate: float,
    *,
    num_classes: int | None = None,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Pair noise: a selected label y becomes (y + 1) mod K.

    T_ii = 1 − rate, T_{i,(i+1) mod K} = rate. From ``rate`` = 0.5 on, most noisy labels of a class are wrong.
    The noise is nested and portable as in :func:`symmetric`, and with the same seed it selects the same samples.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        rate: share of the samples that is selected, in [0, 1].
        num_classes: K, at least 2; ``None`` takes the largest label + 1.
        selection: as in :func:`symmetric`.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`.

    Raises:
        TypeError: labels that are not integers.
        ValueError: as :func:`symmetric`.

    Source: Han et al. 2018 (Co-teaching, arXiv 1804.06872).

    >>> pair_flip([0, 1, 2, 3], 1.0, seed=0).labels
    array([1, 2, 3, 0])
    """
    step = begin(labels, num_classes, subset=subset, classes=classes, seed=seed)
    law = pair_flip_law(step.num_classes, exact_rate(rate))
    return inject(step, law, selection, "pair_flip", {})


def asymmetric(
    labels: Labels | NoisyLabels,
    rate: float,
    *,
    mapping: ClassMapping,
    num_classes: int | None = None,
    selection: Selection = "exact",
    subset: Subset | None = None,
    classes: Sequence[int] | None = None,
    seed: int,
) -> NoisyLabels:
    """Asymmetric noise: a selected label becomes the class given by a mapping.

    T_ii = 1 − rate and T_{i,m(i)} = rate for the mapped classes, T_ii = 1 for the others. The mapping always
    applies to the given labels, never to labels flipped before (in-place code flips some cats to dogs and back).

    - ``"cifar10"``: truck → automobile, bird → airplane, cat ↔ dog, deer → horse;
    - ``"mnist"``: 7 → 1, 2 → 7, 3 → 8, 5 ↔ 6;
    - ``"cifar100"``: to the next class of the same true superclass, by ascending fine label, the last to the first;
    - ``"cifar100-contiguous"``: the same in blocks of five fine labels 5k … 5k + 4, which most published code does;
      fine labels are alphabetical, so only 6 of its 100 edges stay inside a superclass;
    - a dictionary {clean class: noisy class}; classes that it lacks keep their labels.

    ``selection="exact"`` selects floor(rate·N + 1/2) of **all** samples, mapped or not, as DivideMix does. So the share
    of wrong labels is about half of ``rate`` for balanced CIFAR-10. ``"exact_per_class"`` flips floor(rate·N_k + 1/2)
    samples of each mapped class k. The noise is nested and portable as in :func:`symmetric`.

    Args:
        labels: (N,) integers in [0, K), or earlier :class:`NoisyLabels`.
        rate: share of the samples that is selected, in [0, 1]; in a mapped class it is the share of wrong labels.
        mapping: a name or a dictionary.
        num_classes: K; ``None`` takes the number of the named mapping, or for a dictionary the fewest classes that
            hold it and the labels.
        selection: as in :func:`symmetric`.
        subset: as in :func:`symmetric`.
        classes: as in :func:`symmetric`.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyLabels`.

    Raises:
        TypeError: labels, or classes of the dictionary, that are not integers.
        ValueError: an unknown name, a class outside [0, K), K that is not the named mapping's; else as
            :func:`symmetric`.

    Sources: Patrini et al. 2017 (arXiv 1609.03683); the superclasses are CIFAR-100's.

    >>> asymmetric([9, 2, 3, 5, 4, 0], 1.0, mapping="cifar10", seed=0).labels
    array([1, 0, 5, 3, 7, 0])
    """
    _, needed = read_mapping(mapping)
    if num_classes is None and isinstance(mapping, str):
        num_classes = needed
    step = begin(labels, num_classes, subset=subset, classes=classes, seed=seed, at_least=needed)
    law = asymmetric_law(step.num_classes, exact_rate(rate), mapping=mapping)
    return inject(step, law, selection, "asymmetric", {"mapping": json_mapping(mapping)})


def json_mapping(mapping: ClassMapping) -> NamedMapping | dict[str, int]:
    """The mapping as JSON holds it."""
    return mapping if isinstance(mapping, str) else {str(int(key)): int(value) for key, value in mapping.items()}
