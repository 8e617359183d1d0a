"""The site's API pages name every public name; that it builds without a warning is checked where it is built."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path

import noisymodel

DOCS = Path(__file__).parent.parent / "docs"
MODULES = re.findall(
    r"automodule:: (\S+)", "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
)


def home(value: object) -> tuple[str, str]:
    """Where a class or function is defined; its name there."""
    return getattr(value, "__module__", ""), getattr(value, "__qualname__", "")


def documented() -> set[tuple[str, str]]:
    """What the API pages show: what their modules list in ``__all__``, or define."""
    found: set[tuple[str, str]] = set()
    for name in MODULES:
        module = importlib.import_module(name)
        own = (n for n, value in vars(module).items() if getattr(value, "__module__", None) == name and n[0] != "_")
        found |= {home(getattr(module, public)) for public in getattr(module, "__all__", own)}
    return found


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


def test_every_public_name_has_an_entry() -> None:
    shown = documented()
    for name, value in public_objects():
        if isinstance(value, types.ModuleType):
            assert value.__name__ in MODULES, f"docs/api has no page with noisymodel.{name}"
        elif inspect.isclass(value) or inspect.isfunction(value):
            assert home(value) in shown, f"docs/api shows no noisymodel.{name}"


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
    assert set(re.findall(r'^    "(\w+)",$', order, re.MULTILINE)) == scripts
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
