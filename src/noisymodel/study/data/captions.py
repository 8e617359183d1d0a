"""Glyphs with captions: pairs for pre-training; the downstream tasks and tests are those of the glyphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._random import array_generator
from .drawing import BINS, Drawing
from .glyphs import CHECK, PRETRAINING, SAMPLES, Glyphs
from .patterns import NO_WORDS, Integers, Patterns, decode
from .source import Examples

_CAPTIONS = 3  # a stream of random numbers beside those of drawing, shift and pixels

PATTERNS = Patterns(
    (
        "a S T G",
        "G , S and T",
        "a T G drawn S",
        "this shows a S G in T strokes",
        "picture of a G : T , S",
        "T lines , S , a G",
    ),
    slots="STG",
)
SIZES = (("small", "little"), ("medium", "middling"), ("large", "big"))
THICKNESSES = (("thin", "fine"), ("normal", "regular"), ("thick", "bold"))
GLYPHS = ("glyph", "sign")
"""Two words for each size, each thickness and each super-class."""
_FORMS = 2


@dataclass(frozen=True)
class Captions(Glyphs):
    """The glyphs of one seed with captions; a :data:`~noisymodel.study.data.Source` of kind ``"pairs"``.

    Pictures, labels, tasks and shifts are those of :class:`Glyphs` with the same settings and seed. A caption tells the
    super-class, the size (in thirds of its range) and the thickness of the strokes (in thirds) in one of six patterns,
    with one of two words for each.

    >>> captions = Captions(seed=0, pretraining_images=20)
    >>> pairs = captions.pretraining()
    >>> pairs.inputs.shape, pairs.captions.shape
    ((20, 16, 16), (20, 8))
    >>> captions.decoded(pairs.captions)[0]
    'a big regular sign-0'
    """

    kind = "pairs"

    @property
    def spelling(self) -> tuple[str, ...]:
        """A word per token id."""
        sizes, thicknesses = (tuple(word for words in kind for word in words) for kind in (SIZES, THICKNESSES))
        names = tuple(f"{word}-{index}" for index in range(self.base_glyphs) for word in GLYPHS)
        return (*NO_WORDS, *PATTERNS.words, *sizes, *thicknesses, *names)

    def decoded(self, captions: Integers) -> tuple[str, ...]:
        """Captions in words."""
        return decode(captions, self.spelling)

    def pretraining(self) -> Examples:
        """Pictures with super-class labels and captions."""
        return self._captioned(super().pretraining(), self.pretraining_images, PRETRAINING)

    def pretraining_check(self) -> Examples:
        """Fresh pictures with super-class labels and captions."""
        return self._captioned(super().pretraining_check(), self.check_images, CHECK)

    def sample_texts(self, count: int) -> Mapping[str, tuple[str, ...]]:
        """Captions, for readers, of the pictures that :meth:`samples` shows."""
        labels = self.sample_labels(count)
        return {"clean": self.decoded(self._written(self.drawing(labels, SAMPLES), labels, SAMPLES))}

    def _captioned(self, pictures: Examples, count: int, stream: int) -> Examples:
        labels = self.balanced(count)
        return Examples(pictures.inputs, pictures.labels, self._written(self.drawing(labels, stream), labels, stream))

    def _written(self, drawing: Drawing, labels: NDArray[np.int64], stream: int) -> Integers:
        """``(n, longest)``: captions of instances of fine classes."""
        generator = array_generator(self.seed, stream, _CAPTIONS)
        bins = np.stack([drawing.size_bin, BINS + drawing.thickness_bin, 2 * BINS + labels // self.variants], 1)
        forms = generator.integers(_FORMS, size=bins.shape)
        chosen = generator.integers(len(PATTERNS.patterns), size=len(labels))
        return PATTERNS.fill(chosen, PATTERNS.first_free + _FORMS * bins + forms)
