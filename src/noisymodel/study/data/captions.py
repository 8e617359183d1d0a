"""Glyphs with captions: pairs for pre-training; the downstream tasks and tests are those of the glyphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._random import array_generator
from .drawing import BINS
from .glyphs import Glyphs
from .patterns import NO_WORDS, Patterns
from .source import Examples, balanced

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
    >>> " ".join(captions.spelling[token] for token in pairs.captions[0] if token)
    'a big regular sign-0'
    """

    kind = "pairs"

    @property
    def spelling(self) -> tuple[str, ...]:
        """A word per token id."""
        sizes, thicknesses = (tuple(word for words in kind for word in words) for kind in (SIZES, THICKNESSES))
        names = tuple(f"{word}-{index}" for index in range(self.base_glyphs) for word in GLYPHS)
        return (*NO_WORDS, *PATTERNS.words, *sizes, *thicknesses, *names)

    def general(self, count: int, stream: int) -> Examples:
        """Pictures with super-class labels and captions, from one stream of random numbers."""
        examples = super().general(count, stream)
        drawing = self.drawing(balanced(count, self.classes), stream)
        generator = array_generator(self.seed, stream, _CAPTIONS)
        bins = np.stack([drawing.size_bin, BINS + drawing.thickness_bin, 2 * BINS + examples.labels], 1)
        forms = generator.integers(_FORMS, size=bins.shape)
        chosen = generator.integers(len(PATTERNS.patterns), size=count)
        return examples._replace(captions=PATTERNS.fill(chosen, PATTERNS.first_free + _FORMS * bins + forms))
