"""The numbers of an analysis as tables: files are columns, metrics are rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..spectrum import MetricInterval
from .measures import TITLES
from .result import Comparison, FilesAnalysis, FileSpectrum

WIDTH = 110


class Table(NamedTuple):
    """Cells of text; the first cell of each row is its title."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(analysis: FilesAnalysis) -> list[Table]:
    """The table of the spectra, and, with a baseline, the table of the comparisons."""
    found = [_spectra(analysis)]
    return [*found, _comparisons(analysis)] if analysis.comparisons else found


def settings_line(analysis: FilesAnalysis) -> str:
    """A sentence about the preparation of the rows."""
    settings = analysis.settings
    how = {"none": "as they are", "column": "columns centred", "row": "rows centred"}[settings["center"]]
    if settings["preset"]:
        how = "rows of unit length, then centred (preset official)"
    elif settings["normalize"]:
        how = "rows of unit length" + ("" if settings["center"] == "none" else f", then {how}")
    return f"features {how}; method {settings['method']}"


def _spectra(analysis: FilesAnalysis) -> Table:
    files = analysis.files
    caption = f"Spectra: {settings_line(analysis)}"
    if any(file.intervals for file in files):
        caption += "; in brackets 95 % intervals (jackknife over rows)"
    rows = [
        ("rows", *(f"{file.spectrum.num_samples:,}" for file in files)),
        ("features", *(f"{file.spectrum.num_features:,}" for file in files)),
        ("stored as", *(file.dtype for file in files)),
        *((TITLES[name], *(_metric(file, name) for file in files)) for name in files[0].metrics),
        ("directions for 90 % of Σσ²", *(str(file.directions) for file in files)),
        ("σ above the Marchenko–Pastur edge", *(str(file.above_edge) for file in files)),
    ]
    return Table("spectra", caption, ("", *(file.name for file in files)), tuple(rows))


def _comparisons(analysis: FilesAnalysis) -> Table:
    compared = analysis.comparisons
    caption = f"Against {compared[0].baseline}: differences"
    if any(one.intervals for one in compared):
        caption += " with paired 95 % intervals"
    caption += ", angles of the subspaces of the largest singular values, linear CKA"
    rows = [(f"Δ {TITLES[name]}", *(_difference(one, name) for one in compared)) for name in compared[0].differences]
    most = max((len(one.angles or ()) for one in compared), default=0)
    rows += [
        (f"principal angle {place + 1} (degrees)", *(_angle(one, place) for one in compared)) for place in range(most)
    ]
    rows.append(("rotation of the top-k subspace (degrees)", *(_rotation(one) for one in compared)))
    rows.append(("linear CKA", *(_number(one.cka) for one in compared)))
    rows.append(("linear CKA, debiased", *(_number(one.cka_debiased) for one in compared)))
    return Table("comparison", caption, ("", *(one.name for one in compared)), tuple(rows))


def _metric(file: FileSpectrum, name: str) -> str:
    return _with_interval(file.metrics[name], file.intervals.get(name), "")


def _difference(one: Comparison, name: str) -> str:
    return _with_interval(one.differences[name], one.intervals.get(name), "+")


def _with_interval(value: float, interval: MetricInterval | None, sign: str) -> str:
    if math.isnan(value):
        return "–"
    text = _number(value, sign)
    if interval is None or not math.isfinite(interval.low + interval.high):
        return text
    return f"{text} [{_number(interval.low, sign)}, {_number(interval.high, sign)}]"


def _angle(one: Comparison, place: int) -> str:
    return f"{math.degrees(one.angles[place]):.3g}" if one.angles and place < len(one.angles) else "–"


def _rotation(one: Comparison) -> str:
    return f"{math.degrees(one.rotation):.3g} (k = {len(one.angles or ())})" if one.rotation is not None else "–"


def _number(value: float | None, sign: str = "") -> str:
    """A number with three significant digits, and all digits before the decimal point up to a million."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{sign},.0f}" if 1000 <= abs(value) < 1e6 else f"{value:{sign}.3g}"


def text_tables(analysis: FilesAnalysis, width: int = WIDTH) -> str:
    """The tables as aligned text; columns beyond the width go into further blocks below."""
    return "\n\n".join(plain_text(table, width) for table in tables(analysis))


def plain_text(table: Table, width: int = WIDTH) -> str:
    """A table as aligned text."""
    full = [table.header, *table.rows]
    widths = [max(len(row[place]) for row in full) for place in range(len(table.header))]
    blocks: list[list[int]] = [[]]
    used = widths[0]
    for place in range(1, len(widths)):
        if blocks[-1] and used + 2 + widths[place] > width:
            blocks.append([])
            used = widths[0]
        blocks[-1].append(place)
        used += 2 + widths[place]
    return "\n\n".join([table.caption, *(_block(full, widths, block) for block in blocks)])


def _block(rows: Sequence[Sequence[str]], widths: Sequence[int], places: Sequence[int]) -> str:
    lines = ["  ".join([row[0].ljust(widths[0]), *(row[p].rjust(widths[p]) for p in places)]).rstrip() for row in rows]
    return "\n".join(lines)
