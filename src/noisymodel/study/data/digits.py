"""Real pictures: the handwritten digits that come with scikit-learn, 1,797 of 8 × 8 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..._checks import check_choice
from ..._random import array_generator
from . import effects
from .source import Drawn, Examples, Shift, Task

# streams of random numbers that one seed is split into
_SPLIT, _AUGMENTATION, _CHECK, _SHIFT, _SAMPLES = range(5)

SHIFTS = {
    shift.name: shift
    for shift in (
        Shift("rotation", "report", "turned by 0.4 to 0.7 rad", after=partial(effects.affine, angle=(0.4, 0.7))),
        Shift(
            "translation",
            "report",
            "moved by 1 to 2 pixels along both axes",
            after=partial(effects.affine, translation=(1.0, 2.0)),
        ),
        Shift("occlusion", "report", "a grey square of 3 × 3 pixels", after=partial(effects.occlude, size=3)),
        Shift("blur", "report", "Gaussian blur of 1 pixel", after=partial(effects.blur, scale=1.0)),
        Shift("inversion", "report", "dark and bright swapped", after=effects.invert),
        Shift(
            "strokes", "report", "two bright scribbles of 3 pixels", after=partial(effects.strokes, count=2, length=3.0)
        ),
    )
}


@lru_cache(maxsize=1)
def _digits() -> tuple[effects.Images, NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return (pixels.reshape(-1, 8, 8) / 16).astype(np.float32), np.asarray(digits, dtype=np.int64)


@dataclass(frozen=True)
class Digits(Drawn):
    """The digits of one seed; a :data:`~noisymodel.study.data.Source`.

    The seed splits the 1,797 pictures. ``pretraining_images`` of them are for pre-training, each in ``copies`` slightly
    moved and rotated copies, labelled with the digit modulo 5. The rest are for the downstream task, the ten digits:
    some for training, all others for testing.

    >>> digits = Digits(seed=0)
    >>> digits.pretraining().inputs.shape, digits.test().inputs.shape
    ((3600, 8, 8), (497, 8, 8))
    """

    pretraining_images: int = 900
    copies: int = 4
    training_images: int = 400

    kind = "pictures"
    packages = ("scikit-learn",)
    default_tasks = ("digit",)
    shifts = tuple(shift.note for shift in SHIFTS.values())
    classes = 10
    pretraining_classes = 5

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The task to recognise the ten digits."""
        return {"digit": self}

    def pretraining(self) -> Examples:
        """Moved and turned copies with digit-modulo-5 labels."""
        pictures, labels = self._part(0, self.pretraining_images)
        copies = np.tile(pictures, (self.copies, 1, 1))
        return Examples(self._moved(copies, _AUGMENTATION), np.tile(labels % 5, self.copies))

    def pretraining_check(self) -> Examples:
        """The downstream test pictures, moved and turned as in pre-training, with digit-modulo-5 labels."""
        pictures, labels = self._tests()
        return Examples(self._moved(pictures, _CHECK), labels % 5)

    def training(self, shots: int) -> Examples:
        """The first ``shots`` training pictures of each digit, or all if there are fewer."""
        pictures, labels = self._part(self.pretraining_images, self.pretraining_images + self.training_images)
        chosen = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:shots] for digit in range(10)]))
        return Examples(pictures[chosen], labels[chosen])

    def test(self) -> Examples:
        """All pictures outside pre-training and training."""
        return Examples(*self._tests())

    def shifted(self, shift: str) -> Examples:
        """The test pictures under a shift of :data:`SHIFTS`."""
        check_choice(shift, "shift", SHIFTS)
        pictures, labels = self._tests()
        return Examples(self._changed(shift, pictures, _SHIFT), labels)

    def samples(self, count: int) -> Mapping[str, effects.Images]:
        """The first test picture of ``count`` digits, clean and under each shift."""
        pictures, labels = self._tests()
        clean = pictures[[int(np.flatnonzero(labels == digit % 10)[digit // 10]) for digit in range(count)]]
        return {"clean": clean} | {name: self._changed(name, clean, _SAMPLES) for name in SHIFTS}

    def _tests(self) -> tuple[effects.Images, NDArray[np.int64]]:
        return self._part(self.pretraining_images + self.training_images, None)

    def _part(self, start: int, stop: int | None) -> tuple[effects.Images, NDArray[np.int64]]:
        pictures, labels = _digits()
        order = array_generator(self.seed, _SPLIT).permutation(len(labels))[start:stop]
        return pictures[order], labels[order]

    def _moved(self, pictures: effects.Images, stream: int) -> effects.Images:
        generator = array_generator(self.seed, stream)
        return effects.affine(pictures, generator, angle=(0.0, 0.15), translation=(0.0, 0.7))

    def _changed(self, shift: str, pictures: effects.Images, stream: int) -> effects.Images:
        return SHIFTS[shift].after(pictures, array_generator(self.seed, stream, list(SHIFTS).index(shift)))
