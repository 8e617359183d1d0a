"""What a source of study data gives: pictures to pre-train on, a downstream task, and its shifted test sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..record import ShiftNote


class Pictures(NamedTuple):
    """Labelled grey pictures."""

    images: NDArray[np.float32]
    """``(n, height, width)``, values in [0, 1]."""
    labels: NDArray[np.int64]
    """``(n,)``."""


class Source(Protocol):
    """One seed of a source: everything drawn from it is a pure function of the source's settings and that seed.

    Pre-training labels and downstream labels differ: the network learns ``pretraining_classes`` coarse classes (which
    the study corrupts), the downstream task asks for ``classes`` other ones.
    """

    @property
    def title(self) -> str:
        """A few words."""
        ...

    @property
    def description(self) -> str:
        """A paragraph for the report."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """Known limits, in sentences for the report."""
        ...

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """All distribution shifts and what each is for."""
        ...

    @property
    def classes(self) -> int:
        """Number of downstream classes."""
        ...

    @property
    def pretraining_classes(self) -> int:
        """Number of pre-training classes."""
        ...

    def pretraining(self) -> Pictures:
        """Pictures to pre-train on, with clean labels in ``range(pretraining_classes)``."""
        ...

    def pretraining_check(self) -> Pictures:
        """Fresh pictures with clean pre-training labels: how well the pre-trained network does its own task."""
        ...

    def training(self, shots: int) -> Pictures:
        """Downstream training pictures, ``shots`` of each of ``range(classes)``."""
        ...

    def test(self) -> Pictures:
        """In-domain downstream test pictures."""
        ...

    def shifted(self, shift: str) -> Pictures:
        """Downstream test pictures under the named distribution shift."""
        ...

    def samples(self, count: int) -> Mapping[str, NDArray[np.float32]]:
        """For looking at: the same ``count`` objects clean (key ``"clean"``) and under each shift."""
        ...
