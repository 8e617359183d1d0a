"""Real pictures: the handwritten digits that come with scikit-learn, 1,797 of 8 × 8 pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..._checks import check_choice
from ..._random import array_generator
from ..rows import ShiftNote
from . import effects
from .source import Examples, Task, in_memory

# streams of random numbers that one seed is split into
_SPLIT, _AUGMENTATION, _CHECK, _SHIFT, _SAMPLES = range(5)

Effect = Callable[[effects.Images, np.random.Generator], effects.Images]


def _shift(name: str, description: str, effect: Effect) -> tuple[str, tuple[ShiftNote, Effect]]:
    return name, (ShiftNote(name, description, "report"), effect)


SHIFTS: Mapping[str, tuple[ShiftNote, Effect]] = dict(
    [
        _shift("rotation", "turned by 0.4 to 0.7 rad", partial(effects.affine, angle=(0.4, 0.7))),
        _shift(
            "translation", "moved by 1 to 2 pixels along both axes", partial(effects.affine, translation=(1.0, 2.0))
        ),
        _shift("occlusion", "a grey square of 3 × 3 pixels", partial(effects.occlude, size=3)),
        _shift("blur", "Gaussian blur of 1 pixel", lambda images, _: effects.blur(images, scale=1.0)),
        _shift("inversion", "dark and bright swapped", lambda images, _: effects.invert(images)),
        _shift("strokes", "two bright scribbles of 3 pixels", partial(effects.strokes, count=2, length=3.0)),
    ]
)


@lru_cache(maxsize=1)
def _digits() -> Examples:
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return Examples((pixels.reshape(-1, 8, 8) / 16).astype(np.float32), np.asarray(digits, dtype=np.int64))


REMARKS = (
    "None of these shifts chose a hyper-parameter: the tuned weights were chosen on the glyphs.",
    "Slight noise is not known to help in-domain here: what the glyphs show does not reproduce on these digits.",
    "All seeds share the same 1,797 pictures, so the intervals are too narrow for statements about other digits.",
)


@dataclass(frozen=True)
class Digits:
    """The digits of one seed; a :class:`~noisymodel.study.data.source.Source`.

    The seed splits the 1,797 pictures. ``pretraining_images`` of them are for pre-training, each in ``copies`` slightly
    moved and rotated copies, labelled with the digit modulo 5. The rest are for the downstream task, the ten digits:
    some for training, all others for testing.

    >>> digits = Digits(seed=0)
    >>> digits.pretraining().inputs.shape, digits.test().inputs.shape
    ((3600, 8, 8), (497, 8, 8))
    """

    seed: int
    pretraining_images: int = 900
    copies: int = 4
    training_images: int = 400

    @property
    def title(self) -> str:
        """A few words."""
        return "handwritten digits"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Known limits of these data."""
        return REMARKS

    @property
    def kind(self) -> str:
        """Pictures alone."""
        return "pictures"

    @property
    def vocabulary(self) -> int:
        """There are no texts."""
        return 0

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The task to recognise the ten digits."""
        return {"digit": self}

    @property
    def default_tasks(self) -> tuple[str, ...]:
        """The only task."""
        return ("digit",)

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """All distribution shifts and what each is for."""
        return tuple(note for note, _ in SHIFTS.values())

    @property
    def classes(self) -> int:
        """Number of downstream classes."""
        return 10

    @property
    def pretraining_classes(self) -> int:
        """Number of pre-training classes."""
        return 5

    @property
    def description(self) -> str:
        """A paragraph for the report."""
        return (
            f"The 1,797 handwritten digits of 8 × 8 grey pixels that come with scikit-learn. Each seed splits them: "
            f"{self.pretraining_images} pictures, each in {self.copies} slightly moved and turned copies with a label "
            f"of its own, are for pre-training on the digit modulo 5; of the rest, up to {self.training_images} are "
            f"for training the ten digits downstream and all others for testing. Different seeds share pictures, so "
            f"intervals over seeds do not cover the choice of these 1,797."
        )

    def pretraining(self) -> Examples:
        """Moved and turned copies with digit-modulo-5 labels."""
        pictures = self._part(0, self.pretraining_images)
        return self._augmented(
            Examples(np.tile(in_memory(pictures), (self.copies, 1, 1)), np.tile(pictures.labels % 5, self.copies)),
            _AUGMENTATION,
        )

    def pretraining_check(self) -> Examples:
        """The downstream test pictures, moved and turned as in pre-training, with digit-modulo-5 labels."""
        pictures = self.test()
        return self._augmented(Examples(pictures.inputs, pictures.labels % 5), _CHECK)

    def training(self, shots: int) -> Examples:
        """The first ``shots`` training pictures of each digit, or all if there are fewer."""
        pictures = self._part(self.pretraining_images, self.pretraining_images + self.training_images)
        chosen = np.sort(np.concatenate([np.flatnonzero(pictures.labels == digit)[:shots] for digit in range(10)]))
        return Examples(pictures.inputs[chosen], pictures.labels[chosen])

    def test(self) -> Examples:
        """All pictures outside pre-training and training."""
        return self._part(self.pretraining_images + self.training_images, None)

    def shifted(self, shift: str) -> Examples:
        """The test pictures under a shift of :data:`SHIFTS`."""
        check_choice(shift, "shift", SHIFTS)
        pictures = self.test()
        generator = array_generator(self.seed, _SHIFT, list(SHIFTS).index(shift))
        return Examples(SHIFTS[shift][1](in_memory(pictures), generator), pictures.labels)

    def samples(self, count: int) -> Mapping[str, effects.Images]:
        """The first test picture of ``count`` digits, clean and under each shift."""
        pictures = self.test()
        chosen = [int(np.flatnonzero(pictures.labels == digit % 10)[digit // 10]) for digit in range(count)]
        clean = in_memory(pictures)[chosen]
        return {"clean": clean} | {
            name: effect(clean, array_generator(self.seed, _SAMPLES, index))
            for index, (name, (_, effect)) in enumerate(SHIFTS.items())
        }

    def _part(self, start: int, stop: int | None) -> Examples:
        everything = _digits()
        order: NDArray[np.int64] = array_generator(self.seed, _SPLIT).permutation(len(everything.labels))[start:stop]
        return Examples(everything.inputs[order], everything.labels[order])

    def _augmented(self, pictures: Examples, stream: int) -> Examples:
        generator = array_generator(self.seed, stream)
        moved = effects.affine(in_memory(pictures), generator, angle=(0.0, 0.15), translation=(0.0, 0.7))
        return Examples(moved, pictures.labels)
