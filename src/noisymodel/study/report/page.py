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
from ..analysis.summary import SummaryRow, is_headline
from ..rows import StudyRecord
from .analysis_wording import analysis_sentences
from .citation import bibtex, hashes
from .explorer import explorer_data
from .figures import StudyFigure
from .groups import Named, named, overview_tables
from .results import NOISE, Results
from .shortfalls import shortfalls
from .tables import analysis_tables, further_analysis_tables, further_tables, main_tables
from .verdict import findings
from .wording import listed, rates_text

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

    environment.filters["listed"] = listed
    script = SCRIPT.read_text(encoding="utf-8")
    groups = named(shown)
    narrow = len(groups) <= NARROW_GROUPS
    kinds = {results.noise for results in shown} or {NOISE["supervised"]}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        groups=[_group(group, place, figures, files, narrow) for place, group in enumerate(groups)],
        overview=overview_tables(groups),
        overview_figures=[_figure(figure, "", files) for figure in figures.get("", ())] if len(groups) > 1 else [],
        seeds=sorted({row.seed for row in record.table}),
        several_seeds=any(results.seeds > 1 for results in shown),
        noise=kinds.pop() if len(kinds) == 1 else "noise",
        headline_count=sum(_is_corrected_headline(row) for results in shown for row in results.rows),
        config=json.dumps(record.config, indent=2, ensure_ascii=False),
        rates=rates_text(shown[0].rates) if shown else "–",
        hashes=hashes(record, files),
        bibtex=bibtex(record),
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
        explorer=Markup(_script_safe(explorer_data(groups))),  # noqa: S704 - escaped for a script element
    )


def _group(
    group: Named,
    place: int,
    figures: Mapping[str, Sequence[StudyFigure]],
    files: Mapping[str, bytes],
    narrow: bool,
) -> dict[str, Any]:
    """The template's data of one group; ids differ between groups."""
    results = group.results
    return {
        **group._asdict(),
        "suffix": f"-{place + 1}" if place else "",
        "findings": findings(results),
        "shortfalls": shortfalls(results),
        "tables": main_tables(results),
        "more_tables": further_tables(results),
        "figures": [_figure(figure, group.folder, files, narrow) for figure in figures.get(group.folder, ())],
        "analysis": analysis_tables(results),
        "more_analysis": further_analysis_tables(results),
        "analysis_sentences": analysis_sentences(results),
    }


def _figure(figure: StudyFigure, folder: str, files: Mapping[str, bytes], narrow: bool = True) -> dict[str, Any]:
    """The template's data of a figure, its pictures within."""
    return {
        "texts": figure,
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


def _is_corrected_headline(row: SummaryRow) -> bool:
    return is_headline(row) and not math.isnan(row.p_holm)
