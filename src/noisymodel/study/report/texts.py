"""The texts of the report about a group, rendered from the templates in ``texts.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import import_extra
from .results import Results
from .wording import FEW_SEEDS, capitalized, listed, rate_text

_TEXTS = Path(__file__).with_name("texts.toml")


def rendered(results: Results, section: str, **known: object) -> dict[str, str]:
    """The texts of a section; they know the results and what else is given."""
    jinja2 = import_extra("jinja2", extra="study", purpose="the texts of the study's report")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"listed": listed, "capitalized": capitalized, "label": results.label}
    common = {
        "results": results,
        "rates": listed(map(rate_text, results.rates)),
        "method": results.label(results.reference_method),
        "few_seeds": FEW_SEEDS,
    }
    held: Any = _texts()
    for part in section.split("."):
        held = held[part]
    return {name: environment.from_string(text).render(common | known) for name, text in held.items()}


def sentences(results: Results, section: str, **known: object) -> list[str]:
    """The sentences of a section that apply."""
    return [capitalized(text) for text in rendered(results, section, **known).values() if text]


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(_TEXTS.read_text(encoding="utf-8"))
