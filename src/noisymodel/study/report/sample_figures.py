"""The contact sheet: a few pictures, clean and under each shift, with the use of each shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...plot.drawing import INK, new_figure
from .results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEAN_SAMPLES = "clean"
HEADINGS = {"report": "Reported shifts", "tuning": "Tuning shifts: chose hyper-parameters, never reported"}


def sample_groups(results: Results) -> list[tuple[str, list[str]]]:
    """(Heading, names of pictures): clean, the reported shifts, the tuning shifts."""
    samples = results.record.samples
    groups = [("Clean", [CLEAN_SAMPLES] if CLEAN_SAMPLES in samples else [])]
    for role in dict.fromkeys([*HEADINGS, *(note.role for note in results.record.shifts)]):
        names = [note.name for note in results.record.shifts if note.role == role and note.name in samples]
        groups.append((HEADINGS.get(role, f"Shifts of role {role}"), names))
    return [(heading, names) for heading, names in groups if names]


def draw_samples(results: Results, narrow: bool) -> Figure:
    """A strip of pictures for each shift, the same objects in each."""
    groups = sample_groups(results)
    width, columns = (4.6, 2) if narrow else (9.2, 3)
    gap, margin, head, label = 0.18, 0.12, 0.34, 0.2
    strip_width = (width - 2 * margin - (columns - 1) * gap) / columns
    some = next(iter(results.record.samples.values()))
    strip_height = strip_width * some.shape[1] / (some.shape[0] * some.shape[2])
    row_height = label + strip_height + 0.1
    height = 2 * margin + sum(head + row_height * math.ceil(len(names) / columns) for _, names in groups)
    height -= label if groups[0][1] == [CLEAN_SAMPLES] else 0
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    top = height - margin
    for heading, names in groups:
        figure.text(margin / width, (top - 0.2) / height, heading, weight="bold", size=10, color=INK)
        top -= head
        top += label if names == [CLEAN_SAMPLES] else 0
        for place, name in enumerate(names):
            left = margin + (place % columns) * (strip_width + gap)
            base = top - (place // columns) * row_height
            if name != CLEAN_SAMPLES:
                figure.text(left / width, (base - label + 0.06) / height, name.replace("_", " "), size=9, color=INK)
            bottom = base - label - strip_height
            box = (left / width, bottom / height, strip_width / width, strip_height / height)
            axes = figure.add_axes(box)
            axes.imshow(strip(results.record.samples[name]), cmap="gray", vmin=0, vmax=1, interpolation="none")
            axes.set_axis_off()
        top -= row_height * math.ceil(len(names) / columns)
    return figure


def strip(pictures: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Pictures (k, height, width) side by side with a blank (NaN) column between: (height, k·width + k − 1)."""
    blank = np.full((pictures[0].shape[0], 1), np.nan, dtype=np.float32)
    parts = [part for picture in pictures for part in (picture, blank)]
    return np.concatenate(parts[:-1], axis=1)
