"""The data of the page's interactive chart, which its script draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from ..analysis.summary import CLEAN, MEAN_SHIFT, SummaryRow
from ..rows import CLEAN_SHIFT
from .figure_style import PLAIN_COLORS, method_styles, rate_places
from .results import Results

_SHAPES = {"o": "circle", "s": "square", "D": "diamond", "^": "up", "v": "down", "P": "plus", "X": "cross"}


def explorer_data(groups: Sequence[Results]) -> list[dict[str, Any]]:
    """For each group its rates in percent, methods with their look, test sets, and points (mean, low, high) or null.

    ``values[method][test set]["accuracy" | "change"]`` has a point for each rate, in percent; one seed has no bounds.
    """
    return [_group(group) for group in groups]


def _group(results: Results) -> dict[str, Any]:
    sets = [(CLEAN_SHIFT, "in-domain"), *([(MEAN_SHIFT, "mean of shifts")] if results.shifts else [])]
    sets += [(f"shift:{name}", name) for name in results.shifts]
    notes = [*results.methods, *results.ablations]
    further = cycle((color, marker, ":") for marker in "osvD^PX" for color in PLAIN_COLORS)
    looks = [*method_styles(results).values(), *islice(further, len(results.ablations))]
    return {
        "title": results.title,
        "slug": results.slug,
        "noise": results.noise,
        "seeds": results.seeds,
        "rates": rate_places(results),
        "sets": sets,
        "methods": [
            {
                "name": note.name,
                "label": note.label if note.role != "ablation" else f"{results.label(note.base)}: {note.label}",
                "color": color,
                "shape": _SHAPES.get(marker, "circle"),
                "dashed": line != "-",
                "shown": note in results.methods,
            }
            for note, (color, marker, line) in zip(notes, looks, strict=True)
        ],
        "values": {note.name: {key: _points(results, note.name, key) for key, _ in sets} for note in notes},
    }


def _points(results: Results, method: str, key: str) -> dict[str, list[list[float] | None]]:
    split, shift = "id" if key == CLEAN_SHIFT else "ood", key.removeprefix("shift:")
    baselines = {"accuracy": "", "change": CLEAN}
    return {
        name: [_point(row) for row in results.over_rates(method, baseline=baseline, split=split, shift=shift)]
        for name, baseline in baselines.items()
    }


def _point(row: SummaryRow | None) -> list[float] | None:
    if row is None or math.isnan(row.mean):
        return None
    numbers = [row.mean] if math.isnan(row.low) else [row.mean, row.low, row.high]
    return [round(100 * number, 3) for number in numbers]
