"""README and docs cannot drift: code blocks run, links resolve, commands exist, public names are explained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import noisymodel
from tables import over

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
EVERY_BLOCK = re.compile(BLOCK.pattern.replace(r"(?P<language>\w*)", r"(?P<language>[^\n]*)"), BLOCK.flags)
NOT_RUN = "not run: "
each_page = over({page.name: page for page in PAGES}, "page")


PRINTED = re.compile(r"\n```text\n(?P<said>.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str, str | None]]:
    """(where, code, printed) of every block of a language that is not marked as not runnable, with a reason.

    ``printed`` is a block of text that follows a block of Python: what the page says that it prints.
    """
    found: list[tuple[str, str, str | None]] = []
    for page in PAGES:
        if page.name == "mistakes.md":  # tests/test_mistakes.py runs it, and compares what it prints
            continue
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match["language"] == language and not (match["mark"] or "").startswith(NOT_RUN):
                line = text[: match.start("code")].count("\n") + 1
                said = PRINTED.match(text, match.end() + 1) if language == "python" else None
                found.append((f"{page.relative_to(ROOT)}:{line}", match["code"], said and said["said"]))
    return found


RUNNER = """
import contextlib, io, json, os, re, sys, tempfile, traceback
def alike(said, printed):
    # the same words; numbers with a decimal point, such as accuracies, to one in a hundred
    number = re.compile(r"\\d+\\.\\d+")
    near = all(abs(float(a) - float(b)) <= 0.01 * abs(float(a)) + 1e-9
               for a, b in zip(number.findall(said), number.findall(printed)))
    return number.sub("#", said) == number.sub("#", printed) and near
failed = {}
for where, code, said in json.load(sys.stdin):
    os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))
    sys.modules["__main__"] = module = type(sys)("__main__")  # a block sees nothing of the one before
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, where, "exec"), vars(module))
        assert said is None or alike(said, printed.getvalue()), "it printed\\n" + printed.getvalue()
    except BaseException:
        failed[where] = traceback.format_exc()
for where, error in failed.items():
    print(where, error, sep="\\n", file=sys.stderr)
sys.exit(len(failed))
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block[0].partition(":")[0] for block in blocks("python")}))
def test_python_blocks_run_as_shown(page: str, tmp_path: Path) -> None:
    """Each in names and a folder of its own; those of a page in one process, whose imports are most of the time."""
    chosen = [block for block in blocks("python") if block[0].partition(":")[0] == page]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, str(tmp_path)],
        input=json.dumps(chosen),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@over({where: code for where, code, _ in blocks("toml")}, "code")
def test_configurations_are_valid(code: str, tmp_path: Path) -> None:
    from noisymodel.study import StudyConfig, plan

    (tmp_path / "config.toml").write_text(code)
    plan(StudyConfig.load(tmp_path / "config.toml"))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: path.stem)
def test_example_studies_are_valid(path: Path) -> None:
    from noisymodel.study import StudyConfig, plan
    from study.data.suite.lookalikes import declared_sets

    config = StudyConfig.load(path)
    if config.data == "suite":  # the data themselves are somebody's own
        assert declared_sets(config.suite)
    else:
        plan(config)


OTHERS = {"text", "bibtex"}  # what a command printed, and what is to be copied


@each_page
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for match in EVERY_BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, mark = match["language"], match["mark"] or ""
        if language in {"python", "toml", *OTHERS} or language.startswith("{"):
            continue
        assert language in {"sh", "bash"}, f"{page.name}: a block of {language or 'no language'}"
        assert mark.startswith((NOT_RUN, "command: ")), f"{page.name}: neither run nor marked:\n{match['code']}"


@each_page
def test_commands_in_blocks_have_the_options_that_are_shown(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from noisymodel.cli import main

    for match in EVERY_BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["language"] not in {"sh", "bash"}:
            continue
        for command, rest in re.findall(r"^(?:\S*/)?noisymodel (\w+)(.*)$", match["code"], re.MULTILINE):
            action = re.match(r" (export|status)\b", rest)
            with pytest.raises(SystemExit) as ended:
                main([command, *([action[1]] if action else []), "--help"])
            assert ended.value.code == 0, f"{page.name}: noisymodel {command}"
            known = capsys.readouterr().out
            for option in re.findall(r"(?<= )--[\w-]+", rest.partition("#")[0]):
                assert re.search(rf"{option}\b", known), f"{page.name}: noisymodel {command} has no {option}"


def test_there_is_something_to_run() -> None:
    assert any(where.startswith("README.md") and printed for where, _, printed in blocks("python"))
    assert blocks("toml")


def test_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    marked = [match for match in BLOCK.finditer(text) if (match["mark"] or "").startswith("command: ")]
    commands = {match["mark"]: match["code"].strip() for match in marked}
    assert set(commands) == {"command: study", "command: tests"}
    assert all("\n" not in command for command in commands.values()), "one line to paste each"
    assert commands["command: study"].endswith("noisymodel study")
    assert "pytest" in commands["command: tests"]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
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


def test_public_names_are_documented() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    for name in noisymodel.__all__:
        value = getattr(noisymodel, name)
        assert value.__doc__, name
        assert not value.__doc__.startswith(f"{name}("), f"the docstring of {name} is only a generated signature"
        assert re.search(rf"\b{name}\b", pages), f"{name} is on no page"


def test_unknown_public_name_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NMTuned'; it has FeatureStore, FitResult"):
        noisymodel.NMTuned  # noqa: B018 - the access is the test
    assert set(noisymodel.__all__) <= set(dir(noisymodel))
