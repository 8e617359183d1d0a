"""Files with noise in their labels or captions, and the audit beside them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from .._checks import check_seed
from ..errors import InputFileError, OutputFolderError
from ..files import file_checksum, write_file
from ..noise import LabelNoise
from .derive import CAPTIONS, LABELS, Derived, Settings, derive, is_shards
from .listing import write_listing
from .shards import shards_of, write_shard
from .tables import open_table

AUDIT, FLIPPED, LISTING = "audit.json", "flipped.csv", "listing.csv"
FORMAT = 1


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

    Tables (CSV, TSV, JSONL, Parquet) and folders of pictures get `LabelNoise.apply`: exact counts by default. The
    samples of WebDataset shards get `LabelNoise.at`, each by its key alone, so that the result does not depend on how
    they are sharded; its realised rate scatters as `LabelNoise` says.

    Args:
        source: a table; a folder with a folder for each class, whose listing (path, label) is made; a ``.tar`` shard;
            or a folder of shards.
        out: folder of the results: the new file or shards, ``flipped.csv`` and, last, ``audit.json``.
        kind: of `LabelNoise`, such as ``"symmetric"``.
        rate: as there.
        seed: as there.
        num_classes: K; ``None``: as many as there are in the file.
        column: of a table (``label``), or the extension of a shard's member (``cls``).
        force: whether to replace an audit and its files in ``out``.
        progress: whether to show progress on stderr.
        options: of `LabelNoise`: ``include_true``, ``mapping``, ``selection``, ``matrix``, ...

    Returns:
        The audit, as it was written.

    Raises:
        InputFileError: the file, the row and what is wrong with it; nothing is left in ``out`` then.
        OutputFolderError: ``out`` holds an audit.
        ValueError, TypeError: for noise that cannot be.
    """
    source = Path(source)
    default = "cls" if is_shards(source) else "label"
    known: dict[str, Any] = {"kind": kind, "rate": rate, "num_classes": num_classes, "seed": check_seed(seed)}
    settings = Settings(LABELS, column or default, None, {**known, "options": options}, False)
    return _corrupt(source, Path(out), settings, force, progress)


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

    See `noisymodel.noise.shuffle_pairs`. Captions are kept end to end in memory, so that 12 million of them take about
    2 GiB.

    Args:
        source: a table, a ``.tar`` shard or a folder of shards, in which each sample is an image of its own.
        out: folder of the results: the new file or shards, ``flipped.csv`` and, last, ``audit.json``.
        rate: as of `shuffle_pairs`.
        seed: as there.
        mode: as there.
        column: of the captions (``caption``), or the extension of a shard's member (``txt``).
        image_column: of a table, equal where captions are of the same image; ``None``: every row has its own image.
        alike: whether captions that are the same text, but for case and spaces, are right for each other's images.
        force: whether to replace an audit and its files in ``out``.
        progress: whether to show progress on stderr.

    Returns:
        The audit, as it was written.

    Raises:
        InputFileError: the file, the row and what is wrong with it; nothing is left in ``out`` then.
        OutputFolderError: ``out`` holds an audit.
        ValueError: a request that cannot be met.
    """
    source = Path(source)
    default = "txt" if is_shards(source) else "caption"
    noise = {"rate": rate, "mode": mode, "seed": check_seed(seed)}
    settings = Settings(CAPTIONS, column or default, image_column, noise, alike)
    return _corrupt(source, Path(out), settings, force, progress)


def _corrupt(source: Path, out: Path, settings: Settings, force: bool, progress: bool) -> dict[str, Any]:
    if not source.exists():
        raise InputFileError(f"there is nothing at {source}")
    if (out / AUDIT).exists() and not force:
        raise OutputFolderError(f"{out / AUDIT} exists: name another folder, or replace it with --force")
    if source.resolve().parent == out.resolve() or source.resolve() == out.resolve():
        raise OutputFolderError(f"{out} holds the input: name another folder for the results")
    with _work_folder(out) as work:
        table = source
        if source.is_dir() and not is_shards(source):
            if settings.what == CAPTIONS:
                raise InputFileError(
                    f"{source} is a folder of pictures, which have no captions: give a table or shards"
                )
            table = work / "clean.csv"
            write_listing(source, table)
        found = derive(table, settings, progress=progress)
        names = _write_output(source, table, work, settings, found)
        _write_flips(work / FLIPPED, found.flips())
        audit = _audit(source, work, settings, found, names)
        (out / AUDIT).unlink(missing_ok=True)  # what it says will not be true any more
        for name in [*names, FLIPPED]:
            (work / name).replace(out / name)
        write_file(out / AUDIT, (json.dumps(audit, indent=1) + "\n").encode())
    return audit


@contextmanager
def _work_folder(out: Path) -> Generator[Path]:
    """A hidden folder beside the results, gone afterwards; ``out`` too, if nothing came of it."""
    existed = out.exists()
    work = out / f".noise-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not existed and out.exists() and not any(out.iterdir()):
            out.rmdir()


def _write_output(source: Path, table: Path, work: Path, settings: Settings, found: Derived) -> list[str]:
    if found.keys is None:
        name = LISTING if table != source else source.name
        open_table(table).write(work / name, settings.column, found.changed())
        return [name]
    noisy = found.changed()

    def change(key: str, text: str) -> str | None:
        del key, text  # shards are read in the order in which they were
        return next(noisy)

    shards = shards_of(source)
    for shard in shards:
        write_shard(shard, work / shard.name, settings.column, change)
    return [shard.name for shard in shards]


def _write_flips(path: Path, flips: Iterator[tuple[str, str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "clean", "noisy"])
        writer.writerows(flips)
        file.flush()
        os.fsync(file.fileno())


def _audit(source: Path, work: Path, settings: Settings, found: Derived, names: list[str]) -> dict[str, Any]:
    inputs = checksums(source)
    return {
        "format": FORMAT,
        "library": "noisymodel",
        "library_version": __version__,
        "what": settings.what,
        "column": settings.column,
        "image_column": settings.image_column,
        "alike": settings.alike,
        "noise": _noise_as_json(settings, found),
        **found.record,
        "input": {"path": str(source.resolve()), "files": inputs},
        "output": {name: file_checksum(work / name) for name in names},
        "flipped": {FLIPPED: file_checksum(work / FLIPPED)},
    }


def checksums(source: Path) -> dict[str, str]:
    """SHA-256 of a file, of each shard, or of a folder's listing, by name."""
    if source.is_dir() and not is_shards(source):
        return {LISTING: write_listing(source, None)}
    return {path.name: file_checksum(path) for path in (shards_of(source) if is_shards(source) else [source])}


def _noise_as_json(settings: Settings, found: Derived) -> dict[str, Any]:
    """What draws the noise again: a `LabelNoise`, or the arguments of `shuffle_pairs`."""
    noise = dict(settings.noise)
    if settings.what == CAPTIONS:
        return noise
    classes = len(found.record["classes"])
    law = LabelNoise(noise["kind"], noise["rate"], num_classes=classes, seed=noise["seed"], **noise["options"])
    return law.to_dict()
