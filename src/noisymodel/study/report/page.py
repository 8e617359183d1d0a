"""The HTML page of a study's results, one self-contained file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...errors import import_extra
from ..analysis.summary import is_headline
from ..rows import ShiftNote, StudyRecord
from .analysis_tables import analysis_tables, further_analysis_tables
from .analysis_wording import analysis_sentences
from .citation import bibtex, hashes
from .explorer import explorer_data
from .figures import StudyFigure
from .groups import OVERVIEW_NOTE, Named, by_shots, named, overview_table, shots_table
from .results import NOISE, Results
from .shortfalls import shortfalls
from .tables import Table, filled, further_tables, main_tables
from .verdict import findings
from .wording import WHERE, listed, rates_text

ROLES = {"report": "reporting", "tuning": "choosing hyper-parameters"}
TEMPLATE = Path(__file__).with_name("page.html.j2")
STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
NARROW_GROUPS = 3
"""With more groups, their figures have no version for phones, because the page would become too large."""


def render_page(
    record: StudyRecord,
    shown: Sequence[Results],
    figures: Mapping[str, Sequence[StudyFigure]],
    files: Mapping[str, bytes],
) -> str:
    """The HTML of a study.

    Args:
        record: the study.
        shown: its groups.
        figures: folder below ``figures/`` -> the figures in it; see `figures_by_folder`.
        files: the study's files, including ``figures/FOLDER/NAME.svg`` of each figure; the narrow versions for phones
            are drawn here.

    Raises:
        MissingExtraError: if jinja2 is not installed.
    """
    jinja2 = import_extra("jinja2", extra="study", purpose="the study's page")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    from markupsafe import Markup

    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    script = SCRIPT.read_text(encoding="utf-8")
    groups = named(shown)
    narrow = len(groups) <= NARROW_GROUPS
    return template.render(
        record=record,
        groups=[_group(group, place, figures, files, narrow) for place, group in enumerate(groups)],
        overview=overview_tables(groups),
        overview_note=OVERVIEW_NOTE,
        overview_figures=[_figure(figure, "", files) for figure in figures.get("", ())] if len(groups) > 1 else [],
        seeds=sorted({row.seed for row in record.table}),
        several_seeds=max((group.results.seeds for group in groups), default=0) > 1,
        noise=_noise(shown),
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
        hash_rows=list(hashes(record, files).items()),
        bibtex=bibtex(record),
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
        explorer=Markup(_script_safe(explorer_data(groups))),  # noqa: S704 - escaped for a script element
    )


def group_tables(results: Results) -> list[Table]:
    """All tables of a group, in the order of the page."""
    parts = (main_tables(results), further_tables(results), analysis_tables(results), further_analysis_tables(results))
    return [table for part in parts for table in part]


def overview_tables(groups: Sequence[Named]) -> list[Table]:
    """The tables over several groups; none for a single group."""
    if len(groups) < 2:
        return []
    families = by_shots(groups)
    tables = [overview_table(groups)]
    for place, family in enumerate(families):
        number = f"-{place + 1}" if len(families) > 1 else ""
        tables += [shots_table(family, split, number) for split in WHERE]
    return filled(tables)


def _group(
    group: Named,
    place: int,
    figures: Mapping[str, Sequence[StudyFigure]],
    files: Mapping[str, bytes],
    narrow: bool,
) -> dict[str, Any]:
    """The template's data of one group; ids differ between groups."""
    results = group.results
    folder = f"{group.slug}/" if group.slug else ""
    return {
        "suffix": f"-{place + 1}" if place else "",
        "slug": group.slug,
        "title": group.title,
        "short": group.short,
        "findings": findings(results),
        "shortfalls": shortfalls(results),
        "tables": main_tables(results),
        "more_tables": further_tables(results),
        "figures": [_figure(figure, folder, files, narrow) for figure in figures.get(folder, ())],
        "analysis": analysis_tables(results),
        "more_analysis": further_analysis_tables(results),
        "analysis_sentences": analysis_sentences(results),
        "seeds": results.seeds,
    }


def _figure(figure: StudyFigure, folder: str, files: Mapping[str, bytes], narrow: bool = True) -> dict[str, str]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "alternative": figure.alternative,
        "wide": _data_uri(files[f"figures/{folder}{figure.name}.svg"]),
        "narrow": _data_uri(figure.encode("svg", narrow=True)[0]) if narrow else "",
    }


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _script_safe(value: object) -> str:
    """JSON for a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _named(shifts: Sequence[ShiftNote], role: str) -> list[ShiftNote]:
    return [note for note in shifts if note.role == role]


def _noise(shown: Sequence[Results]) -> str:
    """The kind of noise, if it is the same in all groups."""
    kinds = {results.noise for results in shown}
    return next(iter(kinds)) if len(kinds) == 1 else "noise" if kinds else NOISE["supervised"]


def _headline_count(shown: Sequence[Results]) -> int:
    return sum(is_headline(row) and not math.isnan(row.p_holm) for results in shown for row in results.rows)
