"""The same features in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from noisymodel import FeatureStore


def features(rows: int = 230, width: int = 6, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(rows, width)) + 0.5).astype(np.float32)


def parquet(path: Path, columns: dict[str, object], **options: object) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as format_

    format_.write_table(arrow.table(columns), path, **options)
    return path


def fixed_lists(rows: np.ndarray) -> object:
    arrow = pytest.importorskip("pyarrow")
    return arrow.FixedSizeListArray.from_arrays(arrow.array(np.ascontiguousarray(rows).reshape(-1)), rows.shape[1])


def write(kind: str, folder: Path, rows: np.ndarray) -> tuple[Path, dict[str, object]]:
    """A file of this kind, and the options of `open_file` for it."""
    path = folder / f"{kind.replace(' ', '_')}"
    if kind.startswith("npy"):
        path = path.with_suffix(".npy")
        made = {"npy": rows, "npy fortran": np.asfortranarray(rows), "npy big-endian": rows.astype(">f4")}[kind]
        np.save(path, made)
    elif kind.startswith("npz"):
        path = path.with_suffix(".npz")
        save = np.savez_compressed if "compressed" in kind else np.savez
        save(path, labels=np.arange(len(rows)), x=np.asfortranarray(rows) if "fortran" in kind else rows)
    elif kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file({"labels": torch.zeros(len(rows)), "x": torch.from_numpy(rows)}, path)
    elif kind == "raw":
        path = path.with_suffix(".bin")
        rows.tofile(path)
        return path, {"dtype": "float32", "num_features": rows.shape[1]}
    elif kind == "store":
        with FeatureStore.create(path, num_features=rows.shape[1], shard_rows=70) as store:
            store.append(torch.from_numpy(rows), labels=np.zeros(len(rows), dtype=np.int64))
    elif kind == "parquet folder":
        path.mkdir()
        for number, part in enumerate(np.array_split(rows, 3)):
            parquet(path / f"part-{number}.parquet", {"features": fixed_lists(part)}, row_group_size=17)
    else:
        columns = {
            "parquet": {"id": np.arange(len(rows)), "features": fixed_lists(rows)},
            "parquet lists": {"id": np.arange(len(rows)), "embedding": list(rows)},
            "parquet columns": {"id": np.arange(len(rows)), **{f"f{i}": rows[:, i] for i in range(rows.shape[1])}},
        }[kind]
        parquet(path.with_suffix(".parquet"), columns, row_group_size=50)
        path = path.with_suffix(".parquet")
    return path, {}


KINDS = [
    "npy", "npy fortran", "npy big-endian", "npz", "npz compressed", "npz fortran", "safetensors", "raw", "store",
    "parquet", "parquet folder", "parquet lists", "parquet columns",
]  # fmt: skip
