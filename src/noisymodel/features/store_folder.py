"""The folder of a store: its writer's lock, its files, and their verification."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from .._checks import check_choice, check_integer
from ..errors import FeatureStoreError
from ..files import Lock, LockedError, sync_folder
from .manifest import FEATURE_DTYPES, MANIFEST_NAME, Manifest, checked_metadata, shard_name
from .provenance import other_metadata
from .shardfile import Shard
from .writer import Writer

LOCK_NAME = "writer.lock"
SHARD_BYTES = 128 << 20  # bytes of features in a shard, by default
_PARTIAL = re.compile(rf"\.({re.escape(MANIFEST_NAME)}|shard-\d{{6,}}\.safetensors)\.[0-9a-f]{{12}}\.partial")
_SHOWN = 5  # the most damaged files that a message names


def open_for_writing(
    folder: Path,
    num_features: int,
    dtype: object,
    metadata: Mapping[str, Any] | None,
    append: bool,
    shard_rows: int | None,
) -> Writer:
    """Open the writer of a new store, or with ``append`` of the store in the folder: see `FeatureStore.create`."""
    num_features = check_integer(num_features, "num_features", minimum=1)
    name = _dtype_name(dtype)
    if shard_rows is None:
        shard_rows = max(1, SHARD_BYTES // (num_features * FEATURE_DTYPES[name].itemsize))
    shard_rows = check_integer(shard_rows, "shard_rows", minimum=1)
    new = Manifest(num_features, name, checked_metadata(metadata), _versions())
    _check_free(folder, append)
    folder.mkdir(parents=True, exist_ok=True)
    lock = writer_lock(folder)
    try:
        _check_free(folder, append)
        manifest = _continued(folder, new, metadata is None)
    except BaseException:
        lock.release()
        raise
    return Writer(folder, lock, manifest, shard_rows)


def writer_lock(folder: Path) -> Lock:
    """The lock of the writer of a store."""
    try:
        return Lock(folder / LOCK_NAME)
    except LockedError as holder:
        grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
        ranks = os.environ.get("WORLD_SIZE", "1") != "1" and not grouped
        raise FeatureStoreError(
            f"{folder} is being written by {holder}: a store has one writer at a time; wait for it, or end it "
            f"({LOCK_NAME} is its lock)"
            + ("; for one store from all ranks call torch.distributed.init_process_group first" if ranks else "")
        ) from None


def verify(folder: Path, manifest: Manifest, shards: Sequence[Shard]) -> None:
    """Raise a `FeatureStoreError` that names all files of the store that have changed since they were written."""
    names = _names(folder)  # before the manifest, since a writer may commit more in between
    on_disk = Manifest.read(folder)
    if on_disk.shards[: len(shards)] != manifest.shards or on_disk.metadata != manifest.metadata:
        raise FeatureStoreError(f"{folder / MANIFEST_NAME} is of another store than when it was opened: open it anew")
    foreign = _foreign(names, len(on_disk.shards))
    found = [f"{folder / name} is no part of the store: move it elsewhere" for name in foreign]
    for shard in shards:
        try:
            shard.verify()
        except FeatureStoreError as error:
            found.append(str(error))
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise FeatureStoreError("; ".join(found[:_SHOWN]) + more)


def _dtype_name(dtype: object) -> str:
    names = {torch_dtype: name for name, torch_dtype in FEATURE_DTYPES.items()}
    if isinstance(dtype, torch.dtype):
        name = names.get(dtype, str(dtype))
    elif isinstance(dtype, str):
        name = dtype
    else:
        try:
            name = np.dtype(dtype).name  # pyright: ignore[reportArgumentType, reportCallIssue] - that it may fail is the point
        except TypeError:
            name = repr(dtype)
    check_choice(name, "dtype", FEATURE_DTYPES)
    return name


def _versions() -> dict[str, str]:
    torch_version = str(torch.__version__)
    return {
        "noisymodel": __version__,
        "torch": torch_version,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _check_free(folder: Path, append: bool) -> None:
    """Raise unless a store may be written into the folder."""
    if holds_store(folder) and not append:
        raise FileExistsError(f"{folder} is a feature store already: append=True goes on with it")


def holds_store(folder: Path) -> bool:
    """Whether the folder holds a store; False for no folder, and for leftovers of a writer killed before its manifest.

    Raises:
        FileExistsError: the path is a file, or a folder with other files.
    """
    if not os.path.lexists(folder):
        return False
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: choose a folder that does not exist")
    if os.path.lexists(folder / MANIFEST_NAME):
        return True
    foreign = _foreign(_names(folder), 0)
    if foreign:
        raise FileExistsError(
            f"{folder} is no feature store: it holds other files, such as {foreign[0]}: choose a folder that does not "
            "exist"
        )
    return False


def _continued(folder: Path, new: Manifest, keep_metadata: bool) -> Manifest:
    """The manifest to continue: that of the store in the folder, or a new one, which is written."""
    if not holds_store(folder):
        _remove_leftovers(folder, 0)
        new.write(folder)
        return new
    old = Manifest.read(folder)
    for name in ("num_features", "dtype"):
        mine, given = getattr(old, name), getattr(new, name)
        if mine != given:
            raise ValueError(f"`{name}` must be {mine!r} as in the store {folder}, got {given!r}")
    other = "" if keep_metadata else other_metadata(old.metadata, new.metadata)
    if other:
        raise ValueError(f"`metadata` must be that of the store {folder}: {other}; write another store for these")
    types = old.types()
    for record in old.shards:
        Shard(folder, record, types).check_size()
    _remove_leftovers(folder, len(old.shards))
    return old


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _foreign(names: Collection[str], num_shards: int) -> list[str]:
    """Names that are neither hidden nor belong to a store with ``num_shards`` committed shards.

    A shard with the next number belongs to the store: a writer, maybe a killed one, has not yet committed it.
    """
    ours = {MANIFEST_NAME, LOCK_NAME, *(shard_name(number) for number in range(num_shards + 1))}
    return [name for name in names if name not in ours and not name.startswith(".")]


def _remove_leftovers(folder: Path, num_shards: int) -> None:
    """Delete the uncommitted files of a killed writer; only its successor, which holds the lock, may do so."""
    gone = [name for name in _names(folder) if name == shard_name(num_shards) or _PARTIAL.fullmatch(name)]
    for name in gone:
        (folder / name).unlink()
    if gone:
        sync_folder(folder)
