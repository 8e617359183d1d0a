"""The paper's suites by name: their required files, the sources of these, and the resulting suites."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from .....errors import ConfigError, InputFileError, MissingDataError
from ....config_values import demand, demand_known
from ..places import expanded, matching


@dataclass(frozen=True)
class Part:
    """One published data set: its required files, and their source."""

    title: str
    files: Sequence[str]
    """The required files, below the root; patterns with ``*`` and ``{a,b}``."""
    layout: str
    """The required files as a tree, for readers."""
    source: str
    """Official address."""
    terms: str
    """Licence and registration, as far as they are known."""
    size: str = ""
    notes: str = ""
    folders: Mapping[str, int] = field(default_factory=dict[str, int])
    """Folder -> the number of class folders that it must hold."""


@dataclass(frozen=True)
class Preset:
    """A named suite, or a part of one."""

    title: str
    description: str
    parts: Mapping[str, Part]
    kind: str = "pictures"
    pretraining: Mapping[str, Any] | None = None
    pretraining_check: Mapping[str, Any] | None = None
    pretraining_parts: Sequence[str] = ()
    tasks: Sequence[Mapping[str, Any]] = ()
    """Tasks as in a configuration; each names the ``parts`` that it needs besides."""


def _read(name: str) -> Preset:
    held = tomllib.loads(files(__package__ or "").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    parts = {own: Part(**part) for own, part in held.pop("parts").items()}
    return Preset(**held, parts=parts)


PRESETS: Mapping[str, Preset] = {
    name: _read(name)
    for name in ("imagenet-1k", "yfcc15m", "cc12m", "vision-14", "domainnet", "imagenet-variants", "glue", "glue-x")
}
"""Name in a configuration -> preset; each is ``NAME.toml`` beside this file."""

_PICTURES = {"size": 224, "shorter_side": 256}


def presets() -> tuple[str, ...]:
    """The names of all presets.

    >>> presets()[:3]
    ('imagenet-1k', 'yfcc15m', 'cc12m')
    """
    return tuple(PRESETS)


def describe(name: str) -> str:
    """Describe a preset and its required files, as text to print.

    Raises:
        ConfigError: there is no such preset.

    >>> print(describe("cc12m").splitlines()[0])
    cc12m: Conceptual 12M
    """
    preset = _known(name)
    lines = [f"{name}: {preset.title}", preset.description, f"kind: {preset.kind}"]
    if preset.tasks:
        lines.append(f"tasks: {', '.join(task['name'] for task in preset.tasks)}")
    if preset.pretraining is None:
        lines.append("pre-training: none of its own; name a second preset, or declare [suite.pretraining]")
    for own, part in preset.parts.items():
        lines += ["", f"{own}: {part.title}" + (f" ({part.size})" if part.size else ""), *_particulars(part)]
    return "\n".join(lines)


def expand_presets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the presets in the table ``suite``; its own entries take precedence over theirs.

    Raises:
        ConfigError: an unknown preset or task, or presets that do not fit together.
    """
    chosen = _named(values)
    own = {key: value for key, value in values.items() if key not in ("preset", "only")}
    if not chosen:
        demand("only" not in values, "suite.only", "beside `preset`, whose tasks it chooses", values.get("only"))
        return own
    names, presets = ", ".join(chosen), chosen.values()
    kinds = {preset.kind for preset in presets}
    if "texts" in kinds and len(kinds) > 1:
        raise ConfigError(f"config key `suite.preset`: {names} are not all of texts")
    expanded: dict[str, Any] = {
        "title": ", ".join(preset.title for preset in presets),
        "description": " ".join(preset.description for preset in presets),
        "kind": "pairs" if "pairs" in kinds else kinds.pop(),
    }
    for key in ("pretraining", "pretraining_check"):
        given = [table for preset in presets if (table := getattr(preset, key)) is not None]
        if len(given) > 1 and key not in own:
            raise ConfigError(f"config key `suite.preset`: {names} are more than one to pre-train on")
        if not given and key not in own:
            raise ConfigError(
                f"config key `suite.{key}` is missing: {names} have nothing to pre-train on; declare it, or "
                f"name one of {', '.join(name for name, preset in PRESETS.items() if preset.pretraining)} as well"
            )
        expanded |= {key: given[0]} if given else {}
    if expanded["kind"] != "texts":
        expanded["pictures"] = {**_PICTURES, **own.pop("pictures", {})}
    further = own.pop("tasks", [])
    tasks = [{key: value for key, value in task.items() if key != "parts"} for task in _tasks(values)]
    return expanded | own | {"tasks": [*tasks, *further] if isinstance(further, Sequence) else tasks}


def check_presets(values: Mapping[str, Any]) -> None:
    """Check that all files exist that the presets of a table ``suite`` need.

    Raises:
        MissingDataError: files are missing; the message lists them all, their source, and the layout.
    """
    chosen = _named(values)
    root = expanded(str(values.get("root", "")))
    tasks = _tasks(values)
    wanted: dict[str, Part] = {}
    for preset in chosen.values():
        own = "pretraining" in values and "pretraining_check" in values
        needed = [*(() if own else preset.pretraining_parts)]
        needed += [part for task in tasks if task in preset.tasks for part in task["parts"]]
        wanted |= {part: preset.parts[part] for part in needed}
    absent = {name: lacking for name, part in wanted.items() if (lacking := missing_files(part, root))}
    if not absent:
        return
    lines = [
        f"config key `suite.preset`: data of {', '.join(chosen)} are not there: {len(absent)} of {len(wanted)} parts "
        f"lack something below {root.resolve()}"
    ]
    for name, lacking in absent.items():
        lines += ["", f"{name}: {wanted[name].title}", *(f"  missing: {file}" for file in lacking)]
        lines += [f"  {line}" for line in _particulars(wanted[name])]
    raise MissingDataError("\n".join(lines))


def missing_files(part: Part, root: Path) -> list[str]:
    """The required files of a part that the root lacks."""
    absent: list[str] = []
    for file in part.files:
        try:
            matching(root / file)
        except InputFileError:
            absent.append(file)
    for folder, count in part.folders.items():
        if folder not in absent:
            there = sum(path.is_dir() for path in (root / folder).iterdir())
            absent += [f"{folder}: {count - there} of {count} folders of classes"] if there < count else []
    return absent


def _particulars(part: Part) -> list[str]:
    lines = [f"from:   {part.source}", f"terms:  {part.terms}"]
    lines += [f"note:   {part.notes}"] if part.notes else []
    return [*lines, "layout, below the root:", *(f"  {line}" for line in part.layout.splitlines())]


def _named(values: Mapping[str, Any]) -> dict[str, Preset]:
    """The presets that a table ``suite`` names, in its order."""
    given = values.get("preset", [])
    listed = [given] if isinstance(given, str) else given
    names: list[Any] = list(listed) if isinstance(listed, list | tuple) else [None]
    demand(all(isinstance(name, str) for name in names), "suite.preset", "a name or a list of names", given)
    return {name: _known(name) for name in names}


def _known(name: str) -> Preset:
    demand_known("suite.preset", name, PRESETS)
    return PRESETS[name]


def _tasks(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tasks of the named presets, or those in ``only``."""
    tasks = [task for preset in _named(values).values() for task in preset.tasks]
    only = values.get("only", [])
    demand(isinstance(only, list | tuple), "suite.only", "a list of tasks", only)
    for name in only:
        demand_known("suite.only", str(name), [task["name"] for task in tasks])
    return [task for task in tasks if not only or task["name"] in only]
