"""Verification of an audit of files: derive the noise again from the input, and compare everything written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ..errors import InputFileError
from ..files import file_checksum, open_table, read_json
from ..files.reading import shown
from ..noise import LabelNoise
from .corrupt import FLIPPED, FORMAT, audit_checksum, checksums, write_flips
from .derive import CAPTIONS, LABELS, Derived, Settings, bare, derive, text_checksum
from .listing import needs_listing, write_listing
from .shards import read_fields, shards_of


def verify_audit(audit: str | Path, *, source: str | Path | None = None, progress: bool = False) -> dict[str, Any]:
    """Derive the noise of an ``audit.json`` again, and compare input, output, flips and every number.

    Args:
        audit: the file of the audit; the results are beside it.
        source: the input, if it has moved since the audit.
        progress: whether to show progress on stderr.

    Returns:
        The audit.

    Raises:
        InputFileError: the file is not an audit, a file is missing or has changed, or a value differs; the message
            says which.
    """
    path = Path(audit).absolute()
    held = _read(path)
    given = Path(source if source is not None else held["input"]["path"]).absolute()
    if not given.exists():
        raise InputFileError(f"the input {shown(given)} is not there: name it with --source")
    _compare_files("input", given, held["input"]["files"], checksums(given))
    for name, wanted in {**held["output"], **held["flipped"]}.items():
        if not (path.parent / name).is_file():
            raise InputFileError(f"{path.parent / name} is missing")
        _compare_files("output", path.parent / name, {name: wanted}, {name: file_checksum(path.parent / name)})
    with tempfile.TemporaryDirectory() as folder:
        table = given
        if needs_listing(given):
            table = Path(folder) / "clean.csv"
            write_listing(given, table)
        found = derive(table, _settings(held, path), progress=progress)
        write_flips(Path(folder) / FLIPPED, found.flips())
        flips = file_checksum(Path(folder) / FLIPPED)
    for name, value in json.loads(json.dumps(found.record)).items():
        if held.get(name) != value:
            raise InputFileError(
                f"{path} does not hold: its {name} is {_short(held.get(name))}, derived {_short(value)}"
            )
    _compare_column(path, held, found)
    if held["flipped"][FLIPPED] != flips:
        raise InputFileError(f"{path.parent / FLIPPED} does not list what was flipped")
    foreign = set(held) - {*_ENTRIES, *found.record, *_OTHERS}
    if foreign or held.get("checksum", audit_checksum(held)) != audit_checksum(held):
        raise InputFileError(f"{shown(path)} was edited or is damaged: its checksum differs")
    return held


def _read(path: Path) -> dict[str, Any]:
    try:
        held = read_json(path)
    except InputFileError as error:
        raise InputFileError(f"{shown(path)} is no audit of `noisymodel noise` ({error})") from None
    if held.get("format") != FORMAT:
        raise InputFileError(f"{shown(path)} has format {_short(held.get('format'))}, this version reads {FORMAT}")
    for name, kind in _ENTRIES.items():
        if name not in held or not isinstance(held[name], kind):
            raise InputFileError(f"{shown(path)} is no audit of `noisymodel noise`: its {name} is missing or wrong")
    files = held["input"].get("files")
    names = [*held["output"], *held["flipped"]]
    texts = [*held["output"].values(), *held["flipped"].values()]
    good = isinstance(files, dict) and isinstance(held["input"].get("path"), str) and bool(held["output"])
    if not good or held["what"] not in (LABELS, CAPTIONS) or list(held["flipped"]) != [FLIPPED]:
        raise InputFileError(f"{shown(path)} is no audit of `noisymodel noise`: its files are missing or wrong")
    if any(name != Path(name).name or not isinstance(text, str) for name, text in zip(names, texts, strict=True)):
        raise InputFileError(f"{shown(path)} is no audit of `noisymodel noise`: it names files outside its folder")
    return held


_OTHERS = {"format", "library", "library_version", "checksum"}  # the earliest audits have no checksum
_ENTRIES: dict[str, Any] = {
    "what": str, "column": str, "image_column": (str, type(None)), "alike": bool, "noise": dict, "input": dict,
    "output": dict, "flipped": dict, "column_checksum": str,
}  # fmt: skip


def _settings(held: dict[str, Any], path: Path) -> Settings:
    noise: dict[str, Any] = dict(held["noise"])
    try:
        if held["what"] == LABELS:
            law = LabelNoise.from_dict(noise)
            noise = {"kind": law.kind, "rate": law.rate, "num_classes": law.num_classes, "seed": law.seed}
            noise |= {"options": dict(law.options)}
        elif set(noise) != {"rate", "mode", "seed"}:
            raise ValueError(f"it has {', '.join(noise)}")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputFileError(f"{shown(path)} is no audit of `noisymodel noise`: its noise is wrong ({error})") from None
    return Settings(held["what"], held["column"], held["image_column"], noise, held["alike"], named=False)


def _compare_files(what: str, path: Path, wanted: dict[str, str], found: dict[str, str]) -> None:
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            raise InputFileError(f"the {what} {path} is not the audit's: the SHA-256 of {name} differs")


def _compare_column(path: Path, held: dict[str, Any], found: Derived) -> None:
    """Compare the output's column with the derived values, one by one."""
    name = next(iter(held["output"]))
    if found.keys is not None:
        shards = [path.parent / shard for other in held["output"] for shard in shards_of(path.parent / other)]
        values = (
            bare(field.text) if held["what"] == LABELS else field.text for field in read_fields(shards, held["column"])
        )
    else:
        values = (value for _, (value,) in open_table(path.parent / name).values(held["column"]))
    if text_checksum(values) != held["column_checksum"]:
        raise InputFileError(f"{path.parent / name} does not hold the noise that its audit is of")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
