"""The HTML page of an analysis: one self-contained file."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..errors import import_extra
from .figures import DrawnFigure
from .finding import finding
from .result import FilesAnalysis
from .table import settings_line, tables

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render_page(analysis: FilesAnalysis, figures: Sequence[DrawnFigure], command: str | None = None) -> str:
    """Render the HTML of an analysis; it loads nothing and runs no script.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    jinja2 = import_extra("jinja2", extra="study", purpose="the page of an analysis")
    from .. import __version__

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        analysis=analysis,
        names=[file.name for file in analysis.files],
        finding=finding(analysis),
        preparation=settings_line(analysis),
        tables=tables(analysis),
        figures=[
            {**figure._asdict(), "source": f"data:image/svg+xml;base64,{base64.b64encode(figure.svg).decode()}"}
            for figure in figures
        ],
        settings=json.dumps(dict(analysis.settings), indent=1, ensure_ascii=False),
        command=command,
        version=__version__,
        finished=datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
    )
