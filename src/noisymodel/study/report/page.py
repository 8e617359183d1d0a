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
from ..rows import StudyRecord
from .analysis_wording import analysis_sentences
from .citation import bibtex, hashes
from .explorer import explorer_data
from .figure_style import encode
from .figures import FULL_GROUPS, StudyFigure
from .groups import overview_tables
from .results import NOISE, Results
from .shortfalls import shortfalls
from .tables import group_tables
from .verdict import findings
from .wording import listed, rates_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")


def render_page(
    record: StudyRecord,
    groups: Sequence[Results],
    figures: Mapping[str, Sequence[StudyFigure]],
    files: Mapping[str, bytes],
) -> str:
    """The HTML of a study.

    Args:
        record: the study.
        groups: its groups.
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
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    script = SCRIPT.read_text(encoding="utf-8")
    narrow = len(groups) <= FULL_GROUPS
    kinds = {group.noise for group in groups} or {NOISE["supervised"]}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        groups=[_group(group, place, figures, files, narrow) for place, group in enumerate(groups)],
        overview=overview_tables(groups),
        overview_figures=[_figure(figure, "", files) for figure in figures.get("", ())] if len(groups) > 1 else [],
        seeds=sorted({row.seed for row in record.table}),
        several_seeds=any(group.seeds > 1 for group in groups),
        noise=kinds.pop() if len(kinds) == 1 else "noise",
        headline_count=sum(is_headline(row) and not math.isnan(row.p_holm) for group in groups for row in group.rows),
        config=json.dumps(record.config, indent=2, ensure_ascii=False),
        rates=rates_text(groups[0].rates) if groups else "–",
        hashes=hashes(record, files),
        bibtex=bibtex(record),
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
        explorer=explorer_data(groups),
    )


def _group(
    results: Results,
    place: int,
    figures: Mapping[str, Sequence[StudyFigure]],
    files: Mapping[str, bytes],
    narrow: bool,
) -> dict[str, Any]:
    """The template's data of one group; ids differ between groups."""
    return {
        "title": results.title,
        "short": results.short,
        "slug": results.slug,
        **group_tables(results),
        "suffix": f"-{place + 1}" if place else "",
        "findings": findings(results),
        "shortfalls": shortfalls(results),
        "figures": [_figure(figure, results.folder, files, narrow) for figure in figures.get(results.folder, ())],
        "analysis_sentences": analysis_sentences(results),
    }


def _figure(figure: StudyFigure, folder: str, files: Mapping[str, bytes], narrow: bool = True) -> dict[str, Any]:
    """The template's data of a figure, its pictures within."""
    return {
        "texts": figure,
        "wide": _data_uri(files[f"figures/{folder}{figure.name}.svg"]),
        "narrow": _data_uri(encode(figure.draw, ["svg"], narrow=True)[0]) if narrow else "",
    }


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
