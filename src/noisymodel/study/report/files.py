"""The output files of a study: tables, spectra, figures and a page; and its tables for the terminal."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ...files import write_file
from ..analysis import Correlation, correlate
from ..analysis.summary import SummaryRow, is_headline, summarize
from ..output_folder import FAILURES_FILE, TABLES_FILE, remove_report
from ..rows import FEATURES, PRETRAINING, CurveRow, Row, StudyRecord
from .citation import bibtex, hashes
from .export_tables import latex, markdown
from .figure_style import encode
from .figures import FULL_GROUPS, StudyFigure, group_figures, study_figures
from .groups import overview_tables
from .page import render_page
from .results import Results, bases, views
from .tables import Table, ablation_table, accuracy_table, difference_table, group_tables, spectrum_table
from .wording import Entry

TERMINAL_WIDTH = 100
MAIN_FIGURES = ("accuracy", "differences", "drift", "correlations", "ablation", "curves")
_FORMATS = ("png", "svg", "pdf")


def write_report(folder: Path, record: StudyRecord) -> list[Path]:
    """Write all files of a study into ``folder`` in place of an older report's; ``results.json`` comes last.

    The files are: ``results.csv`` (the rows, floats by ``repr``; their order does not depend on that in the record),
    ``summary.csv`` (see `summarize`), ``correlations.csv`` (see `correlate`), ``curves.csv`` if there are learning
    curves, ``spectra.safetensors``, ``figures/*.png``, ``*.svg`` and ``*.pdf``, ``tables/*.tex`` and ``*.md``,
    ``citation.bib``, ``report.html`` and ``results.json``. With several groups, the figures and tables of each group
    are in a subfolder. Equal records give equal bytes of the files of numbers.

    Returns:
        The paths written, in that order.

    Raises:
        MissingExtraError: if matplotlib or jinja2 is not installed.
        ValueError: if the record's table is empty, or holds a number twice or tuning shifts (see `summarize`).
    """
    if not record.table:
        raise ValueError("`record` must have rows in its table, got none")
    rows = ordered_rows(record)
    summary = summarize(rows, record.shifts, bases(record.methods))
    correlations = correlate(rows)
    groups = [Results(record, summary, view, correlations) for view in views(summary)]
    figures = figures_by_folder(groups)
    files: dict[str, bytes] = {
        TABLES_FILE: (terminal_tables(groups) + "\n").encode(),
        "results.csv": _csv(Row._fields, rows),
        "summary.csv": _csv(SummaryRow._fields, summary),
        "correlations.csv": _csv(Correlation._fields, correlations),
    }
    if record.curves:
        files["curves.csv"] = _csv(CurveRow._fields, _ordered_curves(record))
    files["spectra.safetensors"] = _spectra(record.spectra)
    for place, made in figures.items():
        for figure in made:
            for kind, content in zip(_FORMATS, encode(figure.draw, _FORMATS), strict=True):
                files[f"figures/{place}{figure.name}.{kind}"] = content
    files |= _table_files(groups)
    files["citation.bib"] = bibtex(record).encode()
    files["report.html"] = render_page(record, groups, figures, files).encode()
    files["results.json"] = _json(record, summary, hashes(record, files))
    for name, content in files.items():
        write_file(folder / name, content)
    remove_report(folder, keep=(*files, FAILURES_FILE))
    return [folder / name for name in files]


def figures_by_folder(groups: Sequence[Results]) -> dict[str, list[StudyFigure]]:
    """Subfolder of ``figures/`` (with a slash) -> figures: those over all groups, and those of each group."""
    few = len(groups) <= FULL_GROUPS
    found: dict[str, list[StudyFigure]] = {"": group_figures(groups)}
    for group in groups:
        figures = study_figures(group)
        found[group.folder] = [figure for figure in figures if few or figure.name in MAIN_FIGURES]
    return {folder: figures for folder, figures in found.items() if figures}


def _table_files(groups: Sequence[Results]) -> dict[str, bytes]:
    """Every table of the page as LaTeX and Markdown."""
    placed: list[tuple[str, Table]] = [("", table) for table in overview_tables(groups)]
    placed += [(group.folder, table) for group in groups for part in group_tables(group).values() for table in part]
    files: dict[str, bytes] = {}
    for folder, table in placed:
        label = f"tab:{folder.replace('/', '-')}{table.name}"
        files[f"tables/{folder}{table.name}.tex"] = latex(table, label).encode()
        files[f"tables/{folder}{table.name}.md"] = markdown(table).encode()
    return files


def terminal_tables(groups: Sequence[Results]) -> str:
    """Accuracy, spectra and paired differences as aligned plain text, at most 100 columns wide."""
    blocks = [plain_text(table) for table in overview_tables(groups)]
    for results in groups:
        blocks.append(f"{results.record.data_title}: {results.title}")
        tables = [accuracy_table(results, "id"), accuracy_table(results, "ood"), spectrum_table(results)]
        tables += [difference_table(results), ablation_table(results)]
        blocks += [plain_text(table) for table in tables if table.rows]
    return "\n\n".join(blocks)


def plain_text(table: Table, width: int = TERMINAL_WIDTH) -> str:
    """A table as aligned text; columns beyond the width go into further blocks, and too long headings are cut."""
    rows = [[_plain(cell) for cell in row] for row in (tuple(map(Entry, table.header)), *table.rows)]
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) > 1), strict=True)]
    widths[0] = min(widths[0], max(width // 3, width - sum(widths[1:]) - 2 * len(widths[1:])))
    blocks: list[list[int]] = [[]]
    used = widths[0]
    for place in range(1, len(widths)):
        if blocks[-1] and used + 2 + widths[place] > width:
            blocks.append([])
            used = widths[0]
        blocks[-1].append(place)
        used += 2 + widths[place]
    lines = textwrap.wrap(table.caption, width)
    lines += [_line(row, widths, block, width) for block in blocks for row in rows]
    return "\n".join(lines)


def _plain(cell: Entry) -> str:
    """A cell for the terminal: without spaces around ±, and with a mark if it is not significant."""
    return cell.marked.replace("\u00a0", " ").replace(" ± ", "±")


def _line(row: Sequence[str], widths: Sequence[int], block: Sequence[int], width: int) -> str:
    if len(row) == 1:
        return _cut(row[0], width)
    cells = [_cut(row[0], widths[0]).ljust(widths[0]), *(row[place].rjust(widths[place]) for place in block)]
    return "  ".join(cells).rstrip()


def ordered_rows(record: StudyRecord) -> list[Row]:
    """Sort the rows by rates, methods, splits, shifts and seeds."""
    methods = _method_order(record)
    shifts = [note.name for note in record.shifts]

    def place(row: Row) -> tuple[Any, ...]:
        method, shift = _place(row.method, methods), _place(row.shift, shifts)
        return row[:4], row.noise_rate, row.shots, method, row.split, shift, row.seed, row.metric

    return sorted(record.table, key=place)


def _ordered_curves(record: StudyRecord) -> list[CurveRow]:
    methods = _method_order(record)

    def place(row: CurveRow) -> tuple[Any, ...]:
        method = _place(row.method, methods)
        return row[:4], row.noise_rate, row.shots, method, row.seed, row.epoch, row.metric, row.split, row.shift

    return sorted(record.curves, key=place)


def _method_order(record: StudyRecord) -> list[str]:
    return [PRETRAINING, FEATURES, *(note.name for note in record.methods)]


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Sorts names in an order, and those that it lacks after them."""
    return order.index(name) if name in order else len(order), name


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode()


def _csv_cell(value: object) -> object:
    """A cell as `csv` writes it: a float is read back exactly, None is empty, and NaN is made so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, float) and math.isnan(value) else value


def _spectra(spectra: Mapping[str, np.ndarray]) -> bytes:
    arrays = {name: np.ascontiguousarray(spectra[name], dtype=np.float64) for name in sorted(spectra)}
    return save(arrays, metadata={"content": "singular values of the frozen features, descending"})


def _json(record: StudyRecord, summary: Sequence[SummaryRow], sums: Mapping[str, str]) -> bytes:
    content = {
        "data": record.data_title,
        "data_description": record.data_description,
        "config": record.config,
        "command": record.command,
        "versions": record.versions,
        "finished": record.finished,
        "seconds": record.seconds,
        "seeds": sorted({row.seed for row in record.table}),
        "methods": [note._asdict() for note in record.methods],
        "shifts": [note._asdict() for note in record.shifts],
        "remarks": record.remarks,
        "failures": record.failures,
        "sha256": dict(sums),
        "headline": [row._asdict() for row in summary if is_headline(row)],
    }
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)  # JSON lacks NaN and infinity
    return (json.dumps(finite, indent=1, ensure_ascii=False) + "\n").encode()
