"""Noisy labels: which samples are selected, which class they get, and a record of both."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .. import __version__
from .._checks import check_choice, check_integer, check_number, check_seed
from .._random import array_generator
from .transitions import symmetric_transition

Array: TypeAlias = npt.NDArray[Any] | torch.Tensor
Selection: TypeAlias = Literal["exact", "exact_per_class", "bernoulli"]

SELECTIONS = ("exact", "exact_per_class", "bernoulli")
_STREAM = 0x6C61626C  # "labl": no other use of the same seed draws these numbers
_CHUNK = 1 << 20  # labels hashed at a time


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels after noise, and what was done to them.

    Attributes:
        labels: (N,) the noisy labels: dtype, device and kind (numpy or torch) of the clean ones.
        flipped: (N,) bool, True where the noisy label differs from the clean one.
        transition: (K, K) float64 row-stochastic matrix that was sampled from, T[i, j] = P(noisy = j | clean = i);
            None where there is none. Of the same kind and on the same device as ``labels``.
        requested_rate: the rate that was asked for, in [0, 1].
        realized_rate: ``flipped.mean()``, in [0, 1].
        seed: the seed of the draw.
        record: what :meth:`audit` returns.
    """

    labels: Array
    flipped: Array
    transition: Array | None
    requested_rate: float
    realized_rate: float
    seed: int
    record: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def audit(self) -> dict[str, Any]:
        """What was done, as a dictionary that JSON can hold, taken when the noise was drawn.

        Keys: ``method``, ``parameters``, ``seed``, ``requested_rate``, ``realized_rate``, ``num_samples``,
        ``num_flipped``, ``class_counts`` and ``noisy_class_counts`` (length K), ``flipped_per_class`` (by clean
        class, length K), ``clean_checksum`` and ``noisy_checksum`` (SHA-256 of the labels as little-endian int64,
        so the same for every dtype and device), ``library`` and ``library_version``.

        >>> audit = symmetric([0, 1, 2, 0], 0.5, seed=1).audit()
        >>> audit["method"], audit["num_flipped"], audit["class_counts"]
        ('symmetric', 2, [2, 1, 1])
        """
        return copy.deepcopy(dict(self.record))


def symmetric(
    labels: Array | Sequence[int],
    rate: float,
    *,
    num_classes: int | None = None,
    include_true: bool = False,
    selection: Selection = "exact",
    seed: int,
) -> NoisyLabels:
    """Symmetric (uniform) label noise: selected samples get a class drawn uniformly.

    By default a selected label becomes one of the K − 1 **other** classes, so the share of wrong labels is ``rate``.
    With ``include_true=True`` it is drawn from all K classes: of the samples selected, 1/K keep their label and the
    share of wrong labels is about rate·(K − 1)/K; ``flipped`` and ``realized_rate`` are always against the clean
    labels. See :func:`symmetric_transition` for the matrices.

    Selection:

    - ``"exact"``: floor(rate·N + 1/2) samples of the whole set;
    - ``"exact_per_class"``: floor(rate·N_k + 1/2) samples of each class k;
    - ``"bernoulli"``: each sample by itself with probability ``rate``.

    The counts are computed in exact arithmetic from the decimal text of ``rate``, so 0.29 of 100 is 29
    (``int(0.29 * 100)`` is 28) and halves round up.

    Two laws hold. **Nested**: with the same seed, labels, K, mode and ``include_true``, what is flipped at a lower
    rate is flipped at a higher rate too, to the same wrong class. **Portable**: the result depends on the values of
    the labels alone, not on kind, dtype or device.

    Args:
        labels: (N,) integers in [0, K): numpy, torch, or a list (which gives numpy int64). Never mutated.
        rate: share of the samples that is selected, in [0, 1]; 0 changes nothing.
        num_classes: K; ``None`` takes the largest label + 1, which is too few where the last class has no sample.
        include_true: whether the true class is among those drawn from.
        selection: ``"exact"``, ``"exact_per_class"`` or ``"bernoulli"``.
        seed: integer in [0, 2**63); the only source of randomness.

    Returns:
        :class:`NoisyLabels`; ``transition`` is the (K, K) matrix of the law, in the exact modes too (8·K² bytes).

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
    clean, classes = _check_labels(labels, num_classes)
    check_choice(selection, "selection", SELECTIONS)
    share = _exact_rate(rate)
    matrix = symmetric_transition(classes, float(share), include_true)
    selected = _select(clean, classes, share, selection, check_seed(seed))
    noisy = clean.copy()
    np.copyto(noisy, _replacements(clean, classes, include_true, seed), where=selected)
    parameters = {"rate": float(share), "num_classes": classes, "include_true": include_true, "selection": selection}
    return _finish(labels, clean, noisy, matrix, seed=check_seed(seed), method="symmetric", parameters=parameters)


def _check_labels(labels: object, num_classes: int | None) -> tuple[npt.NDArray[Any], int]:
    """The labels as a numpy array (not a copy where it can be helped) and the number of classes."""
    array = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`labels` must be one-dimensional with at least one label, got shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"`labels` must be integers (class indices), got {array.dtype}; convert them explicitly")
    if array.min() < 0:
        first = int(np.argmax(array < 0))
        raise ValueError(f"`labels` must be in [0, num_classes), got {array[first]} at position {first}")
    largest = int(array.max())
    if num_classes is None and largest == 0:
        raise ValueError("`labels` hold class 0 alone, which does not tell the number of classes: pass `num_classes`")
    classes = largest + 1 if num_classes is None else check_integer(num_classes, "num_classes", minimum=1)
    if largest >= classes:
        first = int(np.argmax(array >= classes))
        raise ValueError(f"`labels` must be in [0, num_classes = {classes}), got {array[first]} at position {first}")
    if classes - 1 > np.iinfo(array.dtype).max:
        raise ValueError(f"`labels` are {array.dtype}, which cannot hold {classes} classes: convert to a wider integer")
    return array, classes


def _exact_rate(rate: object) -> Fraction:
    """The rate as its decimal text says it, so that 0.29 is 29/100 and not the nearest binary fraction."""
    number = check_number(rate, "rate", minimum=0.0, maximum=1.0)
    try:
        return Fraction(str(rate))
    except ValueError:
        return Fraction(repr(number))


def _half_up(share: Fraction, count: int) -> int:
    return math.floor(share * count + Fraction(1, 2))


def _select(clean: npt.NDArray[Any], classes: int, share: Fraction, selection: str, seed: int) -> npt.NDArray[np.bool_]:
    """The samples whose label is drawn anew: (N,) bool. What is drawn here does not depend on the rate."""
    generator = array_generator(seed, _STREAM, 1)
    if selection == "bernoulli":
        return generator.random(clean.size) < float(share)
    selected = np.zeros(clean.size, dtype=np.bool_)
    order = generator.permutation(clean.size)
    if selection == "exact":
        selected[order[: _half_up(share, clean.size)]] = True
        return selected
    order = order[np.argsort(clean[order], kind="stable")]  # class by class, in random order within each
    start = 0
    for size in _class_counts(clean, classes):
        selected[order[start : start + _half_up(share, size)]] = True
        start += size
    return selected


def _replacements(clean: npt.NDArray[Any], classes: int, include_true: bool, seed: int) -> npt.NDArray[Any]:
    """A uniform class for every sample, selected or not, so that it is the same at every rate: (N,)."""
    generator = array_generator(seed, _STREAM, 2)
    choices = classes if include_true else classes - 1
    drawn = generator.integers(choices, size=clean.size, dtype=np.min_scalar_type(choices).type)
    drawn = drawn.astype(clean.dtype)
    if not include_true:
        drawn += drawn >= clean  # skips the true class
    return drawn


def _finish(
    labels: object,
    clean: npt.NDArray[Any],
    noisy: npt.NDArray[Any],
    transition: npt.NDArray[np.float64],
    *,
    seed: int,
    method: str,
    parameters: dict[str, Any],
) -> NoisyLabels:
    """The result in the kind of the input, with its record."""
    flipped = noisy != clean
    num_flipped = int(np.count_nonzero(flipped))
    classes, rate = int(parameters["num_classes"]), float(parameters["rate"])
    record = {
        "method": method,
        "parameters": parameters,
        "seed": seed,
        "requested_rate": rate,
        "realized_rate": num_flipped / clean.size,
        "num_samples": clean.size,
        "num_flipped": num_flipped,
        "class_counts": _class_counts(clean, classes),
        "noisy_class_counts": _class_counts(noisy, classes),
        "flipped_per_class": _class_counts(clean[flipped], classes),
        "clean_checksum": _checksum(clean),
        "noisy_checksum": _checksum(noisy),
        "library": "noisymodel",
        "library_version": __version__,
    }
    arrays = (_like(labels, noisy), _like(labels, flipped), _like(labels, transition))
    return NoisyLabels(*arrays, rate, num_flipped / clean.size, seed, record)


def _class_counts(labels: npt.NDArray[Any], classes: int) -> list[int]:
    return np.bincount(labels.astype(np.intp, copy=False), minlength=classes).tolist()


def _like(labels: object, array: npt.NDArray[Any]) -> Array:
    """The array as the caller's kind, on the caller's device."""
    if not isinstance(labels, torch.Tensor):
        return array
    return torch.from_numpy(array).to(labels.device)


def _checksum(labels: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for start in range(0, labels.size, _CHUNK):
        digest.update(labels[start : start + _CHUNK].astype("<i8").tobytes())
    return digest.hexdigest()
