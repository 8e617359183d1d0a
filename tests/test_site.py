"""The site's API pages name every public name; that it builds without a warning is checked where it is built."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import types
from pathlib import Path

import pytest

import noisymodel

DOCS = Path(__file__).parent.parent / "docs"
API = {page.stem: page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md"))}
MODULES = re.findall(r"automodule:: (\S+)", "".join(API.values()))


def home(value: object) -> tuple[str, str]:
    """Where a class or function is defined; its name there."""
    return getattr(value, "__module__", ""), getattr(value, "__qualname__", "")


def public_objects() -> list[tuple[str, object]]:
    """What users reach: the names of the package, and of every module among them."""
    found: list[tuple[str, object]] = []
    for name in noisymodel.__all__:
        value = getattr(noisymodel, name)
        if isinstance(value, types.ModuleType):
            found += [(f"{name}.{inner}", getattr(value, inner)) for inner in getattr(value, "__all__", ())]
            found.append((name, value))
        else:
            found.append((name, value))
    return found


@pytest.fixture
def api_names(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("api_names")


def test_every_public_name_has_an_entry(api_names: types.ModuleType) -> None:
    names = [name.rpartition(".") for page in API if page != "index" for name in api_names.entries(page)]
    shown = {home(getattr(importlib.import_module(module), name)) for module, _, name in names}
    for name, value in public_objects():
        if isinstance(value, types.ModuleType):
            assert value.__name__ in MODULES, f"docs/api has no page with noisymodel.{name}"
        elif inspect.isclass(value) or inspect.isfunction(value):
            assert home(value) in shown, f"docs/api shows no noisymodel.{name}"


def test_the_index_has_a_table_of_the_names_of_every_page(api_names: types.ModuleType) -> None:
    filled = api_names.with_tables(API["index"])
    for page in set(API) - {"index"}:
        assert f"]({page}.md)**" in filled, f"the index of the API has no table of {page}"
    assert "   ~noisymodel.losses.covariance_loss\n" in filled
    assert "   ~noisymodel.heads.NMTune\n" in filled


def test_every_api_page_says_what_it_is_for() -> None:
    for page, text in API.items():
        assert re.match(r"# [^\n]+\n\n[A-Z`]", text), f"docs/api/{page}.md does not begin with a sentence"


def test_the_version_is_one_that_readers_can_switch_to() -> None:
    versions = json.loads((DOCS / "versions.json").read_text(encoding="utf-8"))
    assert noisymodel.__version__ in [entry["version"] for entry in versions]
    assert all(set(entry) == {"version", "path"} for entry in versions)


def test_every_page_is_in_the_table_of_contents() -> None:
    listed: set[Path] = set()
    made = {"gallery/index", "how_to/index"}  # by sphinx-gallery, from examples/
    for index in (DOCS / "index.md", DOCS / "api" / "index.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", index.read_text(encoding="utf-8"), re.DOTALL):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            entries = [re.sub(r"^.*<(.*)>$", r"\1", line) for line in lines]
            listed |= {index.parent / f"{entry}.md" for entry in entries if entry not in made}
    pages = {*DOCS.glob("*.md"), *(DOCS / "api").glob("*.md")} - {DOCS / "index.md"}
    assert listed == pages


def test_every_training_loop_has_its_page_and_its_place() -> None:
    scripts = {path.stem for path in (DOCS.parent / "examples" / "how_to").glob("*.py")}
    order = (DOCS / "how_to_order.py").read_text(encoding="utf-8")
    assert set(re.findall(r'^    "(\w+)",$', order, re.MULTILINE)) - {"plot_first_hour"} == scripts
    for page in sorted(scripts):
        text = (DOCS.parent / "examples" / "how_to" / f"{page}.py").read_text(encoding="utf-8")
        assert "pip install" in text.split("# %%")[0], f"{page} does not say what it needs"
        assert page.startswith("plot_") or "**Not run when this site was built:**" in text, page


def test_the_citation_names_this_version() -> None:
    citation = (DOCS.parent / "CITATION.cff").read_text(encoding="utf-8")
    page = (DOCS / "citing.md").read_text(encoding="utf-8")
    assert f"version: {noisymodel.__version__}\n" in citation
    assert f"version = {{{noisymodel.__version__}}}" in page
    titles = re.findall(r"^ *-? *title: (.*)$", citation, re.MULTILINE)
    assert len(titles) == 3
    for title in titles:
        assert f"title = {{{title.strip(chr(34))}}}" in page, title
