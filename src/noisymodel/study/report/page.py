"""The page of a study: one self-contained file that says what was found and shows it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError
from ..record import ShiftNote, StudyRecord
from .figures import StudyFigure
from .results import Results
from .shortfalls import shortfalls
from .tables import (
    Table,
    accuracy_table,
    change_table,
    difference_by_rate_table,
    difference_table,
    shift_table,
    spectrum_table,
)
from .verdict import findings
from .wording import listed, rates_text

ROLES = {"report": "reporting", "tuning": "choosing hyper-parameters"}
TEMPLATE = Path(__file__).with_name("page.html.j2")


def render_page(
    record: StudyRecord, shown: Sequence[Results], figures: Sequence[StudyFigure], files: Mapping[str, bytes]
) -> str:
    """The HTML of a study.

    Args:
        record: the study.
        shown: its experiments; the first is the one of the figures.
        figures: its figures.
        files: the figures' files, for ``figures/NAME.svg`` of each; a narrow version for phones is drawn here.

    Raises:
        MissingExtraError: if jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", extra="study", purpose="the study's page") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        record=record,
        experiments=[_experiment(results, place) for place, results in enumerate(shown)],
        figures=[_figure(figure, files[f"figures/{figure.name}.svg"]) for figure in figures],
        seeds=sorted({row.seed for row in record.table}),
        headline_count=_headline_count(shown),
        reported=_named(record.shifts, "report"),
        tuning=_named(record.shifts, "tuning"),
        reported_names=listed(note.name for note in _named(record.shifts, "report")),
        tuning_names=listed(note.name for note in _named(record.shifts, "tuning")),
        config=json.dumps(record.config, indent=2, ensure_ascii=False),
        minutes=f"{record.seconds / 60:.1f}",
        rates=rates_text(shown[0].rates) if shown else "–",
        method_rows=[(note.label, note.role, note.description, note.name) for note in record.methods],
        shift_rows=[
            (note.name, ROLES.get(note.role, note.role), note.description)
            for note in sorted(record.shifts, key=lambda note: note.role != "report")
        ],
        version_rows=sorted(record.versions.items()),
    )


def _experiment(results: Results, place: int) -> dict[str, Any]:
    """What the template shows of one experiment; ids differ between experiments."""
    main = [accuracy_table(results, "id"), accuracy_table(results, "ood")]
    main += [change_table(results, "id"), change_table(results, "ood")]
    main += [difference_table(results), spectrum_table(results)]
    more = [difference_by_rate_table(results, "id"), difference_by_rate_table(results, "ood"), shift_table(results)]
    view = results.view
    return {
        "suffix": f"-{place + 1}" if place else "",
        "title": f"{view.objective}, {view.architecture}, {view.noise_kind} noise, {view.shots} labels per class",
        "findings": findings(results),
        "shortfalls": shortfalls(results),
        "tables": _filled(main),
        "more_tables": _filled(more),
        "seeds": results.seeds,
    }


def _filled(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.rows]


def _figure(figure: StudyFigure, wide: bytes) -> dict[str, str]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "alternative": figure.alternative,
        "wide": _data_uri(wide),
        "narrow": _data_uri(figure.encode("svg", narrow=True)[0]),
    }


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _named(shifts: Sequence[ShiftNote], role: str) -> list[ShiftNote]:
    return [note for note in shifts if note.role == role]


def _headline_count(shown: Sequence[Results]) -> int:
    return sum(not math.isnan(row.p_holm) for results in shown for row in results.rows)
