"""Writing of files with noise in their labels or captions, and of their audits."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from .._checks import check_flag, check_integer, check_path, check_seed, check_text
from ..errors import InputFileError, OutputFolderError
from ..features.manifest import MANIFEST_NAME
from ..files import Lock, LockedError, check_writable, file_checksum, open_table, write_file
from ..files.atomic import partials_of
from ..files.reading import is_folder, is_there, shown
from .derive import CAPTIONS, LABELS, Derived, Settings, bare, derive
from .listing import needs_listing, write_listing
from .shards import is_shards, shards_of, write_shard

AUDIT, FLIPPED, LISTING = "audit.json", "flipped.csv", "listing.csv"
FORMAT = 1
_LOCK, _WORK = ".noise.lock", ".noise-"


def corrupt_labels(
    source: str | Path,
    out: str | Path,
    *,
    kind: str,
    rate: float | None,
    seed: int,
    num_classes: int | None = None,
    column: str | None = None,
    force: bool = False,
    progress: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Write a file of labels with noise in them, and its audit.

    Tables (CSV, TSV, JSONL, Parquet), arrays, folders of pictures and feature stores get `LabelNoise.apply`, with exact
    counts by default. Samples of WebDataset shards get `LabelNoise.at`: the noise of a sample depends on its key alone,
    not on the sharding. The realised rate then varies as `LabelNoise` says.

    Args:
        source: a table; an array of labels (``.npy``, ``.npz``, safetensors); a folder with a subfolder for each class
            or a feature store, for which a listing (path, label) or (row, id, label) is written; a ``.tar`` shard; or
            a folder of shards.
        out: folder of the results: the new file or shards, ``flipped.csv`` and, last, ``audit.json``.
        kind: as in `LabelNoise`, such as ``"symmetric"``.
        rate: as in `LabelNoise`.
        seed: as in `LabelNoise`.
        num_classes: K; ``None``: the number of classes in the file. A larger K needs labels that are numbers in [0, K).
        column: the column of a table or archive (``label``, or the only one), or the extension of a shard's member
            (``cls``).
        force: whether to replace an audit and its files in ``out``.
        progress: whether to show progress on stderr.
        options: further arguments of `LabelNoise`: ``include_true``, ``mapping``, ``selection``, ``matrix``, ... In
            ``mapping`` and ``classes`` write the labels of the file; if these are not numbers, a number is a class id.
            The classes of matrices are in the order of numbers by value, else of texts by their letters.

    Returns:
        The audit, as it was written.

    Raises:
        InputFileError: for a faulty file; the message names the row and the fault, and nothing is left in ``out``.
        OutputFolderError: ``out`` holds an audit.
        ValueError, TypeError: for impossible noise.
    """
    if num_classes is not None:
        check_integer(num_classes, "num_classes", minimum=1)
    known: dict[str, Any] = {"kind": kind, "rate": rate, "num_classes": num_classes, "seed": check_seed(seed)}
    if column is not None:
        check_text(column, "column")
    settings = Settings(LABELS, column, None, {**known, "options": options}, False)
    return _corrupt(source, out, settings, force, progress)


def corrupt_captions(
    source: str | Path,
    out: str | Path,
    *,
    rate: float,
    seed: int,
    mode: str = "derangement",
    column: str | None = None,
    image_column: str | None = None,
    alike: bool = False,
    force: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Write a file of image–caption pairs in which a share of the captions belongs to other images, and its audit.

    See `noisymodel.noise.shuffle_pairs`. The captions are concatenated in memory; 12 million take about 2 GiB.

    Args:
        source: a table, a ``.tar`` shard or a folder of shards, in which each sample is an image of its own.
        out: folder of the results: the new file or shards, ``flipped.csv`` and, last, ``audit.json``.
        rate: as in `shuffle_pairs`.
        seed: as in `shuffle_pairs`.
        mode: as in `shuffle_pairs`.
        column: the column of the captions (``caption``, ``text``, or the only one), or the extension of a shard's
            member (``txt``).
        image_column: the column of a table that identifies the image of each row; ``None``: every row has its own
            image.
        alike: whether captions that are equal except for case and spaces are right for each other's images.
        force: whether to replace an audit and its files in ``out``.
        progress: whether to show progress on stderr.

    Returns:
        The audit, as it was written.

    Raises:
        InputFileError: for a faulty file; the message names its row and fault, and nothing is left in ``out``.
        OutputFolderError: ``out`` holds an audit.
        ValueError: for a request that cannot be met.
    """
    noise = {"rate": rate, "mode": mode, "seed": check_seed(seed)}
    settings = Settings(CAPTIONS, column, image_column, noise, check_flag(alike, "alike"))
    return _corrupt(source, out, settings, force, progress)


def _corrupt(given: str | Path, folder: str | Path, settings: Settings, force: bool, progress: bool) -> dict[str, Any]:
    source, out = check_path(given, "source").absolute(), check_path(folder, "out").absolute()
    check_flag(force, "force")
    check_flag(progress, "progress")
    if not os.path.lexists(source):
        raise InputFileError(f"there is nothing at {shown(source)}")
    _check_free(out, force)
    if source.resolve().parent == out.resolve() or source.resolve() == out.resolve():
        raise OutputFolderError(f"{shown(out)} holds the input: name another folder for the results")
    with _work_folder(out) as work:
        _check_free(out, force)  # another run may have finished in between
        table = source
        if needs_listing(source):
            if settings.what == CAPTIONS:
                what = "feature store" if (source / MANIFEST_NAME).exists() else "folder of pictures"
                raise InputFileError(f"{shown(source)} is a {what}, which have no captions: give a table or shards")
            table = work / "clean.csv"
            write_listing(source, table)
        found = derive(table, settings, progress=progress)
        names = _write_output(source, table, work, settings, found)
        write_flips(work / FLIPPED, found.flips())
        audit = _audit(source, work, settings, found, names)
        (out / AUDIT).unlink(missing_ok=True)  # outdated from here on
        for name in [*names, FLIPPED]:
            _synced(work / name).replace(out / name)
        shutil.rmtree(work)  # before the audit, since a run with an audit is never repeated and would never tidy up
        write_file(out / AUDIT, (json.dumps(audit, indent=1) + "\n").encode())
    return audit


def _check_free(out: Path, force: bool) -> None:
    if os.path.lexists(out) and not is_folder(out):
        raise OutputFolderError(f"{shown(out)} is a file: name a folder for the results")
    if is_there(out / AUDIT) and not force:
        raise OutputFolderError(f"{shown(out / AUDIT)} exists: name another folder, or replace it with --force")


@contextmanager
def _work_folder(out: Path) -> Generator[Path]:
    """Yield a hidden folder in ``out`` for one run at a time; remove it afterwards, and ``out`` if it is empty."""
    check_writable(out)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = Lock(out / _LOCK)
    except LockedError as holder:
        raise OutputFolderError(f"{shown(out)} is being written by {holder}: wait for it, or name another") from None
    try:
        with lock:
            for left in out.glob(f"{_WORK}*"):  # of a killed run, whose lock is released
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
            for left in partials_of(out / AUDIT):
                left.unlink()
            work = Path(tempfile.mkdtemp(prefix=_WORK, dir=out))
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    finally:
        if not existed and out.exists() and not any(out.iterdir()):
            out.rmdir()


def _synced(path: Path) -> Path:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def _write_output(source: Path, table: Path, work: Path, settings: Settings, found: Derived) -> list[str]:
    if found.keys is None:
        name = LISTING if table != source else source.name
        if name.casefold() in (FLIPPED, AUDIT):
            name = f"noisy-{name}"
        open_table(table).write(work / name, found.column, found.changed())
        return [name]
    noisy = found.changed()

    def change(key: str, text: str) -> str | None:
        del key  # the shards are read in the same order as before
        new = next(noisy)
        return new if new is None or settings.what == CAPTIONS else new + text[len(bare(text)) :]

    shards = shards_of(source)
    for shard in shards:
        write_shard(shard, work / shard.name, found.column, change)
    return [shard.name for shard in shards]


def write_flips(path: Path, flips: Iterator[tuple[str, str, str]]) -> None:
    """Write the list of the changes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "clean", "noisy"])
        writer.writerows(flips)


def _audit(source: Path, work: Path, settings: Settings, found: Derived, names: list[str]) -> dict[str, Any]:
    inputs = checksums(source)
    audit = {
        "format": FORMAT,
        "library": "noisymodel",
        "library_version": __version__,
        "what": settings.what,
        "column": found.column,
        "image_column": settings.image_column,
        "alike": settings.alike,
        "noise": found.noise,
        **found.record,
        "input": {"path": str(source.resolve()), "files": inputs},
        "output": {name: file_checksum(work / name) for name in names},
        "flipped": {FLIPPED: file_checksum(work / FLIPPED)},
    }
    return {**audit, "checksum": audit_checksum(audit)}


def audit_checksum(audit: Mapping[str, Any]) -> str:
    """SHA-256 of all entries of an audit except the checksum, as JSON with sorted keys."""
    others = {name: value for name, value in audit.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def checksums(source: Path) -> dict[str, str]:
    """The SHA-256 of a file, of each shard, or of a folder's listing, by name."""
    if needs_listing(source):
        return {LISTING: write_listing(source, None)}
    return {path.name: file_checksum(path) for path in (shards_of(source) if is_shards(source) else [source])}
