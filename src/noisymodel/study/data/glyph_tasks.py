"""Downstream tasks on glyphs other than their fine class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..._checks import check_choice
from ..._random import array_generator
from ..rows import ShiftNote
from .drawing import BINS
from .glyph_shifts import SHIFTS, GlyphShift
from .source import Examples

if TYPE_CHECKING:
    from .glyphs import Glyphs

_TRAINING, _TEST, _SHIFT = range(3)


@dataclass(frozen=True)
class Thickness:
    """The task to tell thin, middle and thick strokes, about which no label of pre-training says anything.

    All glyphs have each thickness equally often. Shifts that change the thickness itself are left out.
    """

    glyphs: Glyphs
    stream: tuple[int, ...]

    @property
    def classes(self) -> int:
        """The number of equal parts of the range of thicknesses."""
        return BINS

    @property
    def shifts(self) -> tuple[ShiftNote, ...]:
        """The shifts that do not change the thickness."""
        return tuple(note for note in self.glyphs.shifts if note.name not in {"thick", "thin"})

    def training(self, shots: int) -> Examples:
        """``shots`` pictures of each thickness."""
        return self._pictures(shots * self.classes, _TRAINING)

    def test(self) -> Examples:
        """Pictures with thickness labels."""
        return self._pictures(self.glyphs.test_images, _TEST)

    def shifted(self, shift: str) -> Examples:
        """Pictures with thickness labels under a shift."""
        names = [note.name for note in self.shifts]
        check_choice(shift, "shift", names)
        return self._pictures(self.glyphs.shift_images, _SHIFT, names.index(shift), shift=SHIFTS[shift])

    def _pictures(self, count: int, *part: int, shift: GlyphShift | None = None) -> Examples:
        order: NDArray[np.int64] = np.arange(count, dtype=np.int64)
        labels, fine = order % self.classes, order // self.classes % self.glyphs.classes
        stream = (*self.stream, *part)
        drawing = self.glyphs.drawing(fine, *stream)
        drawing = drawing.with_thickness_bin(labels, array_generator(self.glyphs.seed, *stream, 3))
        return Examples(self.glyphs.painted(drawing, *stream, shift=shift), labels)
