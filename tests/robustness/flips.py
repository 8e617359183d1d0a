"""Flip bits in files, cut them off, and see that each change is found, or harmless, and always said in one line.

``python tests/robustness/flips.py [each] [seed]`` makes so many changes of each file and prints the counts. Files with
checksums (stores, audits) must find every change; files that others made (tables, arrays, archives) must be read, or be
refused with one line that names them.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from noisymodel.errors import InputFileError
from noisymodel.features import FeatureStore
from noisymodel.features.opening import open_features, read_labels
from noisymodel.noise_files import corrupt_labels, verify_audit

LABELS = [str(row % 3) for row in range(60)]


def checked(folder: Path) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Folders with checksums: name -> (folder, what finds a change in it)."""
    store = folder / "store"
    with FeatureStore.create(store, num_features=3, shard_rows=20) as made:
        made.append(np.random.default_rng(0).normal(size=(40, 3)), list(range(40)), [f"id {row}" for row in range(40)])
    (folder / "labels.csv").write_text("label\n" + "\n".join(LABELS) + "\n")
    corrupt_labels(folder / "labels.csv", folder / "audit", kind="symmetric", rate=0.5, seed=0)
    return {
        "store": (store, lambda: FeatureStore.open(store).verify()),
        "audit": (folder / "audit", lambda: verify_audit(folder / "audit" / "audit.json")),
    }


def given(folder: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """Files that others made: name -> (file, what reads it)."""
    import pyarrow as pa
    from pyarrow import parquet
    from safetensors.numpy import save_file

    features, labels = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32), np.arange(60) % 3
    np.save(folder / "x.npy", features)
    np.savez_compressed(folder / "x.npz", features=features, labels=labels)
    save_file({"features": features, "labels": labels}, folder / "x.safetensors")
    parquet.write_table(pa.table({"features": list(features), "label": LABELS}), folder / "x.parquet")
    text = "label,f0,f1\n" + "".join(f'"{label}",{row},0.5\n' for row, label in enumerate(LABELS))
    (folder / "x.csv").write_text(text)
    (folder / "x.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / "x.jsonl").write_text("".join(json.dumps({"label": label}) + "\n" for label in LABELS))
    with tarfile.open(folder / "x.tar", "w") as archive:
        for row, label in enumerate(LABELS[:9]):
            member = tarfile.TarInfo(f"{row}.cls")
            member.size = len(label)
            archive.addfile(member, io.BytesIO(label.encode()))

    def both(path: Path) -> None:
        np.asarray(open_features(path)[:]).sum()
        if path.suffix != ".npy":
            read_labels(path)

    def noise(path: Path) -> None:
        out = Path(tempfile.mkdtemp(dir=folder)) / "out"
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)
        verify_audit(out / "audit.json")

    readers = {"x.jsonl": noise, "x.tar": noise}
    names = ("x.npy", "x.npz", "x.safetensors", "x.parquet", "x.csv", "x.csv.gz", "x.jsonl", "x.tar")
    return {name: (folder / name, readers.get(name, both)) for name in names}


def damaged(content: bytes, chance: np.random.Generator) -> bytes:
    """One bit flipped, or the end cut off."""
    if chance.random() < 0.15:
        return content[: int(chance.integers(len(content)))]
    place, changed = int(chance.integers(len(content))), bytearray(content)
    changed[place] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def outcome(read: Callable[[], object]) -> str:
    """found: refused in one line; silent: read; anything else is an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except (InputFileError, ValueError) as error:
            known = isinstance(error, InputFileError) or str(error).startswith("`num_classes`")
            if not known or "\n" in str(error):
                raise AssertionError(f"unclear: {type(error).__name__}: {error}") from error
            return "found"
    return "silent"


def flip_all(each: int, seed: int, work: Path) -> Counter[str]:
    """The counts of all changes."""
    chance, counts = np.random.default_rng(seed), Counter[str]()
    for name, (folder, verify) in checked(work).items():
        for path in sorted(folder.iterdir()):
            whole = path.read_bytes()
            for _ in range(each):
                path.write_bytes(damaged(whole, chance))
                if path.read_bytes() != whole:
                    found = outcome(verify)
                    if found == "silent":
                        raise AssertionError(f"{name}: a change of {path.name} was not found")
                    counts[f"{name} {found}"] += 1
            path.write_bytes(whole)
        verify()
    for name, (path, read) in given(work).items():
        whole = path.read_bytes()
        for _ in range(each):
            path.write_bytes(damaged(whole, chance))
            counts[f"{name} {outcome(lambda read=read, path=path: read(path))}"] += 1
        path.write_bytes(whole)
        read(path)
    return counts


def main(each: int = 100, seed: int = 0) -> None:
    """All changes, and the counts."""
    folder = Path(tempfile.mkdtemp())
    try:
        counts = flip_all(each, seed, folder)
    finally:
        shutil.rmtree(folder)
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    print(f"changes: {counts.total()} ({listed}); unclear: 0; silent in files with checksums: 0")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
