"""Figures and numbers of the site cannot drift: each has a script of the tree, a command and a date beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tables import over

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SCRIPTS = [*DOCS.glob("*.py"), *(DOCS / "evidence").glob("*.py"), *(ROOT / "examples").rglob("*.py")]
SOURCES = {path: path.read_text(encoding="utf-8") for path in SCRIPTS}
PAGES = {path: path.read_text(encoding="utf-8") for path in [*DOCS.glob("*.md"), ROOT / "README.md"]}
BENCHMARKS = PAGES[DOCS / "benchmarks.md"]
DATE = re.compile(r"\d{1,2} \w+ 20\d\d|20\d\d-\d\d-\d\d")


def decimals(text: str) -> set[str]:
    """Numbers with a decimal point, such as 12.5 of "+12.5", but not versions, arXiv numbers and code."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|\d{4}\.\d{5}|\d+\.\d+\.\d+", "", text)
    return set(re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", text))


@over({path.name: path for path in sorted((DOCS / "figures").iterdir())}, "figure")
def test_every_figure_has_a_page_and_a_script_that_the_page_names(figure: Path) -> None:
    makers = [path for path, source in SOURCES.items() if figure.name in source and "how_to" not in path.parts]
    study = DOCS / "update_study.py"  # writes figures/study-NAME.png of NAME
    name = figure.stem.removeprefix("study-")
    if figure.stem.startswith("study-") and f'"{name}"' in SOURCES[study]:
        makers.append(study)
    pages = [text for text in PAGES.values() if f"figures/{figure.name}" in text]
    if figure.stem.startswith("how-to-"):  # drawn by the page's own script, which a test runs
        page = ROOT / "examples" / "how_to" / f"{figure.stem.removeprefix('how-to-').replace('-', '_')}_model.py"
        pages, makers = [SOURCES[page]], [ROOT / "tests" / "models" / "test_vision_models.py"]
        assert f"/figures/{figure.name}" in SOURCES[page]
    assert makers, f"no script makes {figure.name}"
    assert pages, f"no page shows {figure.name}"
    for text in pages:
        named = any(maker.name in text for maker in makers) or "noisymodel study" in text
        assert named, f"a page with {figure.name} does not name the command that makes it"
    assert any(DATE.search(text) for text in pages), f"no date stands beside {figure.name}"


@over({path.name: path for path in PAGES if "figures/" in PAGES[path]}, "page")
def test_every_picture_is_a_figure_of_the_tree(page: Path) -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGES[page]):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", ["why_noise_matters.md", "when_it_does_not_help.md", "reproducing.md", "index.md"])
def test_numbers_of_a_summary_are_on_the_pages_that_have_their_commands(page: str) -> None:
    names = ("study.md", "study_results.md", "choosing_weights.md", "methods_results.md", "noisy_pairs.md")
    told = "".join(PAGES[DOCS / name] for name in names)
    assert decimals(PAGES[DOCS / page]) <= decimals(told), decimals(PAGES[DOCS / page]) - decimals(told)


def rows() -> list[tuple[str, str]]:
    """(figure, page) of the table of benchmarks."""
    row = re.compile(r"^\| [^|]* \| ([^|]*) \| \[[^\]]*\]\(([\w.]+)[^)]*\) \|$", re.MULTILINE)
    found = row.findall(BENCHMARKS)
    assert len(found) > 10
    return found


def test_a_benchmark_is_quoted_as_its_page_has_it() -> None:
    for figure, page in rows():
        text = PAGES[DOCS / page]
        for number in re.findall(r"\d+(?:\.\d+)?", figure):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", text), f"{number} is not in {page}"


def test_every_benchmark_is_a_script_and_every_script_is_named() -> None:
    named = set(re.findall(r"tests/benchmarks/(test_\w+\.py)", BENCHMARKS))
    assert named == {path.name for path in (ROOT / "tests" / "benchmarks").glob("test_*.py")}


@over({path.name: path for path in PAGES}, "page")
def test_commands_of_scripts_name_scripts_that_are_there(page: Path) -> None:
    for script in re.findall(r"python ((?:docs|tests|examples)/[\w/]+\.py)", PAGES[page]):
        assert (ROOT / script).is_file(), f"{page.name}: {script}"
