"""The frame of every injector: read the labels and the subset, and return noisy labels with their record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from .. import __version__
from .._checks import check_seed, warn_caller
from .._random import array_generator
from ..errors import MissingClassesWarning
from .inputs import (
    Array,
    Labels,
    Mask,
    as_numpy,
    class_counts,
    label_checksum,
    like,
    read_labels,
    read_numbers,
)
from .large_transitions import product, restrict
from .result import NoisyLabels

Subset: TypeAlias = Array | Sequence[int] | Sequence[bool]

_STREAM = 0x6C61626C  # "labl": no other use of the same seed draws these numbers


@dataclass(frozen=True, eq=False)
class Step:
    """The arguments of an injector, checked.

    Attributes:
        given: the caller's labels (in noise on noise the clean ones); the result has their kind and device.
        current: (N,) the labels before this step.
        num_classes: K.
        inside: (N,) bool, the samples that this step may change; None for all.
        classes: the classes that this step may change; None for all.
        before: the earlier noisy labels, if the caller gave such.
        seed: the seed of this step.
        counted: whether K was counted from the labels, because the caller did not give it.
    """

    given: Labels
    current: npt.NDArray[Any]
    num_classes: int
    inside: Mask | None
    classes: tuple[int, ...] | None
    before: NoisyLabels | None
    seed: int
    counted: bool = False

    @cached_property
    def part(self) -> npt.NDArray[Any]:
        """(M,): the labels that this step may change."""
        return self.current if self.inside is None else self.current[self.inside]

    @property
    def depth(self) -> int:
        """The number of earlier noises."""
        return 0 if self.before is None else int(self.before.record["depth"]) + 1

    @property
    def clean(self) -> npt.NDArray[Any]:
        """(N,): the labels before any noise."""
        return self.current if self.before is None else as_numpy(self.given)

    def generator(self, *use: int) -> np.random.Generator:
        """A generator independent of other uses, and of earlier noise with the same seed."""
        depth = (self.depth,) if self.depth else ()
        return array_generator(self.seed, _STREAM, *use, *depth)

    def part_of(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The rows of an array (N, ...) that belong to ``part``."""
        return rows if self.inside is None else rows[self.inside]

    def indices(self) -> npt.NDArray[np.intp]:
        """(M,): the indices of ``part`` in the labels."""
        return np.arange(self.current.size) if self.inside is None else np.flatnonzero(self.inside)

    def finish(
        self,
        noisy: npt.NDArray[Any],
        *,
        method: str,
        parameters: Mapping[str, Any],
        requested: float,
        expected: float | None,
        transition: object = None,
        inputs: Mapping[str, Any] | None = None,
        also_wrong: Mask | None = None,
    ) -> NoisyLabels:
        """Make the result, in the kind of the caller's labels.

        ``noisy`` (M,) are the noisy labels of ``part``; the array is taken over, not copied. ``parameters`` are the
        keywords of the call, without the arrays, the number of classes, the subset and the seed. ``also_wrong`` (M,)
        marks samples that are wrong whatever their label.
        """
        whole = noisy
        if self.inside is not None:
            whole = self.current.copy()
            whole[self.inside] = noisy
        clean = self.clean
        with ThreadPoolExecutor(2) as pool:  # hashing releases the interpreter lock
            checksums = [pool.submit(label_checksum, labels) for labels in (clean, whole)]
            flipped = whole != clean
            if also_wrong is not None:
                flipped[self.indices()[also_wrong]] = True
            num_flipped = int(np.count_nonzero(flipped))
            clean_counts, per_class, noisy_counts = (
                class_counts(labels, self.num_classes) for labels in (clean, clean[flipped], whole)
            )
            clean_checksum, noisy_checksum = (checksum.result() for checksum in checksums)
        self._check_unchanged(clean_checksum)
        if self.counted and not all(clean_counts):
            self._warn_of_missing_classes(clean_counts)
        record: dict[str, Any] = {
            "method": method,
            "parameters": {"num_classes": self.num_classes, **parameters},
            "inputs": dict(inputs or {}),
            "seed": self.seed,
            "requested_rate": requested,
            "realized_rate": num_flipped / clean.size,
            "expected_rate": expected if self.before is None and self.inside is None else None,
            "num_samples": clean.size,
            "num_flipped": num_flipped,
            "class_counts": clean_counts,
            "noisy_class_counts": noisy_counts,
            "flipped_per_class": per_class,
            "clean_checksum": clean_checksum,
            "noisy_checksum": noisy_checksum,
            "subset": self._subset_record(flipped),
            "depth": self.depth,
            "after": None if self.before is None else self.before.audit(),
            "library": "noisymodel",
            "library_version": __version__,
        }
        return NoisyLabels(
            labels=like(self.given, whole),
            flipped=like(self.given, flipped),
            transition=like(self.given, self._composed(transition)),
            requested_rate=requested,
            realized_rate=record["realized_rate"],
            seed=self.seed,
            record=record,
            clean=self.given,
        )

    def _composed(self, transition: Any) -> Any:
        """The matrix of this step for all classes, multiplied by the matrices of the earlier steps."""
        if transition is not None and self.classes is not None:
            transition = restrict(transition, self.classes)
        if self.before is None:
            return transition
        by_mask = self.inside is not None and self.classes is None
        mask_before = (self.before.record["subset"] or {}).get("checksum") is not None
        if by_mask or mask_before:
            return None
        first = self.before.transition
        return product(as_numpy(first) if hasattr(first, "detach") else first, transition)

    def _subset_record(self, flipped: Mask) -> dict[str, Any] | None:
        if self.inside is None:
            return None
        size = int(np.count_nonzero(self.inside))
        chosen = (
            {"classes": list(self.classes)} if self.classes is not None else {"checksum": label_checksum(self.inside)}
        )
        return {"size": size, "realized_rate": int(np.count_nonzero(flipped & self.inside)) / size, **chosen}

    def _warn_of_missing_classes(self, counts: Sequence[int]) -> None:
        warn_caller(
            f"`labels` hold {sum(count > 0 for count in counts)} of the {self.num_classes} classes up to the largest, "
            f"none of class {counts.index(0)}: pass `num_classes`, or number the classes from 0 without gaps",
            MissingClassesWarning,
        )

    def _check_unchanged(self, clean_checksum: str) -> None:
        if self.before is None:
            return
        labels_checksum = label_checksum(self.current)
        for name, now in (("clean", clean_checksum), ("noisy", labels_checksum)):
            if now != self.before.record[f"{name}_checksum"]:
                raise ValueError(
                    f"the {name} labels of the noisy `labels` were changed since they were drawn, so that the record "
                    "of noise on them would be wrong: write to a copy"
                )


def begin(
    labels: Labels | NoisyLabels,
    num_classes: int | None,
    *,
    subset: Subset | None,
    classes: Sequence[int] | None,
    seed: int,
    at_least: int = 0,
) -> Step:
    """Read the labels, and find those that may change; there are at least ``at_least`` classes."""
    before = labels if isinstance(labels, NoisyLabels) else None
    if before is not None:
        num_classes = _same_classes(before, num_classes)
    current, count = read_labels(labels if before is None else before.labels, num_classes, at_least)
    if before is not None and before.record["method"] == "open_set":
        raise ValueError("`labels` come from `open_set`, whose outliers have no clean class: put it after other noise")
    chosen = None if classes is None else read_classes(classes, count)
    if subset is not None and chosen is not None:
        raise ValueError("`subset` and `classes` were both given: put the classes into the mask")
    inside = None
    if chosen is not None:
        inside = np.isin(current, np.array(chosen, dtype=current.dtype))
    elif subset is not None:
        inside = read_subset(subset, current.size)
    if inside is not None and not inside.any():
        name = "subset" if chosen is None else "classes"
        raise ValueError(f"`{name}` chooses none of the {current.size} samples")
    given = labels.clean if isinstance(labels, NoisyLabels) else labels
    counted = num_classes is None and at_least == 0
    return Step(cast("Labels", given), current, count, inside, chosen, before, check_seed(seed), counted)


def _same_classes(before: NoisyLabels, num_classes: int | None) -> int:
    if "depth" not in before.record:
        raise ValueError(
            f"`labels` come from `{before.record.get('method')}` and are no class indices: {before.labels.shape}"
        )
    known = int(before.record["parameters"]["num_classes"])
    if before.clean is None:
        raise ValueError("`labels` are noisy labels that do not hold their clean ones: noise on them has no clean rate")
    if num_classes is not None and num_classes != known:
        raise ValueError(f"`num_classes` must be that of the noisy `labels`, {known}, got {num_classes}")
    return known


def read_classes(classes: Sequence[int], num_classes: int) -> tuple[int, ...]:
    """The caller's choice of classes, ascending, without duplicates."""
    given = sorted(classes) if isinstance(classes, AbstractSet) else classes
    array = read_numbers(given, "classes", kinds="iu", expected="integers (class indices)")
    chosen = tuple(sorted({int(label) for label in array.ravel()}))
    if array.ndim != 1 or not chosen or chosen[0] < 0 or chosen[-1] >= num_classes:
        raise ValueError(f"`classes` must be some of [0, num_classes = {num_classes}), got {array.tolist()}")
    return chosen


def read_subset(subset: Subset, samples: int) -> Mask:
    """(N,) bool from a mask or from indices."""
    array = read_numbers(subset, "subset", kinds="biu", expected="a bool mask or integer indices")
    if array.dtype == np.bool_:
        if array.shape != (samples,):
            raise ValueError(f"`subset` must be a mask of shape ({samples},), got shape {array.shape}")
        return array
    if array.ndim != 1:
        raise TypeError(f"`subset` must be a bool mask or integer indices, got {array.dtype} of shape {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= samples):
        raise ValueError(f"`subset` must hold indices in [0, {samples}), got {array.min()} to {array.max()}")
    inside = np.zeros(samples, dtype=np.bool_)
    inside[array.astype(np.intp)] = True
    return inside
