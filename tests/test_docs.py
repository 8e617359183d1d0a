"""README and docs cannot drift: code blocks run, links resolve, commands exist, public names are explained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import noisymodel

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
NOT_RUN = "not run: "


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, code) of every block of a language that is not marked as not runnable, with a reason."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        if page.name == "mistakes.md":  # tests/test_mistakes.py runs it, and compares what it prints
            continue
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match["language"] == language and not (match["mark"] or "").startswith(NOT_RUN):
                line = text[: match.start("code")].count("\n") + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", match["code"]))
    return found


@pytest.mark.parametrize(("where", "code"), blocks("python"), ids=lambda value: value.split("\n")[0][:40])
def test_python_blocks_run_as_shown(where: str, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, f"{where}\n{done.stderr}"


@pytest.mark.parametrize(("where", "code"), blocks("toml"), ids=lambda value: value.split("\n")[0][:40])
def test_configurations_are_valid(where: str, code: str, tmp_path: Path) -> None:
    from noisymodel.study import StudyConfig
    from noisymodel.study.runner import check_study

    (tmp_path / "config.toml").write_text(code)
    check_study(StudyConfig.load(tmp_path / "config.toml"))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: path.stem)
def test_example_studies_are_valid(path: Path) -> None:
    from noisymodel.study import StudyConfig
    from noisymodel.study.data.suite import declared_sets
    from noisymodel.study.runner import check_study

    config = StudyConfig.load(path)
    if config.data == "suite":  # the data themselves are somebody's own
        assert declared_sets(config.suite)
    else:
        check_study(config)


def test_there_is_something_to_run() -> None:
    assert any(where.startswith("README.md") for where, _ in blocks("python"))
    assert blocks("toml")


def test_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = {match["mark"]: match["code"].strip() for match in BLOCK.finditer(text) if match["mark"]}
    assert set(commands) == {"command: study", "command: tests"}
    assert all("\n" not in command for command in commands.values()), "one line to paste each"
    assert commands["command: study"].endswith("noisymodel study")
    assert "pytest" in commands["command: tests"]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {link}"


@pytest.mark.parametrize("name", noisymodel.__all__)
def test_public_names_are_documented(name: str) -> None:
    value = getattr(noisymodel, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}("), "the docstring is only a generated signature"
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    assert re.search(rf"\b{name}\b", pages), f"{name} is on no page"


def test_unknown_public_name_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NMTuned'; it has FeatureStore, FitResult"):
        noisymodel.NMTuned  # noqa: B018 - the access is the test
    assert set(noisymodel.__all__) <= set(dir(noisymodel))
