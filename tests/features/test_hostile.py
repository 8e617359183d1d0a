"""Folders that were moved, forged, cut off or named strangely: nothing is read from elsewhere, and nothing hangs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.features import FeatureStore, FeatureStoreError, embed, extract, from_dataset, from_parquet

ROWS = torch.arange(8.0).view(4, 2)


def make(path: Path, rows: torch.Tensor = ROWS) -> Path:
    with FeatureStore.create(path, num_features=2, shard_rows=2) as store:
        store.append(rows, [0, 1, 0, 1], ["a", "bc", "", "d"])
    return path


def forge(folder: Path, **changes: Any) -> None:
    """Change the manifest and sign it again, as an attacker would."""
    path = folder / "manifest.json"
    record = json.loads(path.read_bytes())
    record.update(changes)
    record["sha256"] = "0" * 64
    text = json.dumps(record, indent=1)
    record["sha256"] = hashlib.sha256((text + "\n").encode()).hexdigest()
    path.write_text(json.dumps(record, indent=1) + "\n")


def test_a_store_stays_the_same_after_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, first in (("here", 0.0), ("there", 100.0)):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "s", ROWS + first)
    monkeypatch.chdir(tmp_path / "here")
    store = FeatureStore.open("s")
    writer = FeatureStore.create("new", num_features=2)
    writer.append(ROWS)
    monkeypatch.chdir(tmp_path / "there")
    assert torch.equal(store.features[:], ROWS)
    assert torch.equal(torch.cat([rows for rows, _ in store.batches(3, shuffle=True, seed=0)]).sum(), ROWS.sum())
    store.verify()
    writer.close()
    assert len(FeatureStore.open(tmp_path / "here" / "new")) == 4
    assert not (tmp_path / "there" / "new").exists()
    assert store.path.is_absolute()


def test_a_manifest_names_nothing_outside_its_folder(tmp_path: Path) -> None:
    folder, other = make(tmp_path / "s"), make(tmp_path / "other", ROWS + 5)
    forge(folder)
    FeatureStore.open(folder).verify()
    shards = json.loads((folder / "manifest.json").read_bytes())["shards"]
    for name in (f"../other/{shards[0]['file']}", str(other / shards[0]["file"]), "shard-1.safetensors", "", 3):
        forge(folder, shards=[{**shards[0], "file": name}, shards[1]])
        with pytest.raises(FeatureStoreError, match="is not a manifest of a feature store"):
            FeatureStore.open(folder)
    for changes in (
        {"shards": [{**shards[0], "bytes": -1}, shards[1]]},
        {"shards": [{**shards[0], "rows": 2.0}, shards[1]]},
        {"num_features": "2"},
        {"metadata": [1]},
        {"columns": {"labels": {"dtype": "int64", "shape": [-1]}}},
    ):
        forge(folder, **{"shards": shards, **changes})
        with pytest.raises(FeatureStoreError, match=r"is not a manifest of a feature store"):
            FeatureStore.open(folder)
        (folder / "manifest.json").unlink()
        for shard in folder.glob("shard-*"):
            shard.unlink()
        make(folder)


def test_offsets_of_texts_are_checked(tmp_path: Path) -> None:
    folder = make(tmp_path / "s")
    path = folder / "shard-000000.safetensors"
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    first = start + header["ids.offsets"]["data_offsets"][0]
    for place, value in ((first + 8, 2**40), (first + 8, -1), (first, 1), (first + 16, 2)):
        changed = bytearray(content)
        changed[place : place + 8] = value.to_bytes(8, "little", signed=True)
        path.write_bytes(changed)
        shards = json.loads((folder / "manifest.json").read_bytes())["shards"]
        forge(folder, shards=[{**shards[0], "sha256": hashlib.sha256(changed).hexdigest()}, shards[1]])
        store = FeatureStore.open(folder)
        for read in (store.verify, lambda store=store: store.ids[0]):
            with pytest.raises(FeatureStoreError, match=r"the offsets of 'ids.offsets' do not fit"):
                read()


def test_what_is_no_file_is_said_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(FeatureStoreError, match=r"manifest\.json is a pipe or a device"):
        FeatureStore.open(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(FeatureStoreError, match=r"manifest\.json is a folder"):
        FeatureStore.open(folder)
    (folder / "manifest.json").rmdir()
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(FeatureStoreError, match="is damaged: it is no JSON"):
        FeatureStore.open(folder)
    (folder / "manifest.json").unlink()
    make(folder)
    shard = folder / "shard-000001.safetensors"
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(FeatureStoreError, match="is damaged: it must have"):
        FeatureStore.open(folder)


def test_planted_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    target = tmp_path / "precious"
    target.write_text("untouched")
    (folder / "writer.lock").symlink_to(target)
    with pytest.raises(OSError, match=r"."):
        FeatureStore.create(folder, num_features=2)
    (folder / "writer.lock").unlink()
    (folder / "shard-000000.safetensors").symlink_to(target)
    with FeatureStore.create(folder, num_features=2) as store:
        store.append(ROWS)
    assert target.read_text() == "untouched"
    assert not (folder / "shard-000000.safetensors").is_symlink()


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    folder = make(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")) / "s")
    store = FeatureStore.open(folder)
    store.verify()
    assert torch.equal(store.features[:], ROWS)
    assert list(store.ids) == ["a", "bc", "", "d"]


def killed_first(folder: Path) -> Path:
    """What a writer leaves that was killed between its lock and its manifest."""
    folder.mkdir()
    (folder / "writer.lock").write_text('{"pid": 1, "host": "gone"}')
    (folder / ".manifest.json.0123456789ab.partial").write_text("{")
    return folder


class Lengths:
    metadata = {"backbone": "lengths"}  # noqa: RUF012 - a fake

    def embed(self, texts: list[str], *, received: object = None) -> np.ndarray:
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_a_run_that_was_killed_before_its_manifest_goes_on(tmp_path: Path) -> None:
    assert len(FeatureStore.create(killed_first(tmp_path / "a"), num_features=2)) == 0
    assert len(embed(["one", "two"], killed_first(tmp_path / "b"), client=Lengths())) == 2
    backbone = torch.nn.ReLU()
    assert extract(backbone, [ROWS], killed_first(tmp_path / "c")).shape == (4, 2)
    for name, run in {
        "d": lambda path: embed(["one"], path, client=Lengths()),
        "e": lambda path: extract(backbone, [ROWS], path),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("x")
        with pytest.raises(FileExistsError, match=r"is no feature store: it holds other files, such as thesis\.tex"):
            run(tmp_path / name)


def test_integers_beyond_int64_are_refused_and_not_wrapped(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    large = np.array([1, 2**64 - 1], np.uint64)
    with FeatureStore.create(tmp_path / "s", num_features=2) as store:
        for name in ("ids", "labels"):
            with pytest.raises(
                ValueError, match=rf"`{name}` must be .* below 2\*\*63, got 18446744073709551615 in row 1"
            ):
                store.append(ROWS[:2], **{name: large})
    columns = {"features": ROWS[:2].tolist(), "ids": pa.array(large)}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="`ids` must be integers below 2"):
        from_parquet(tmp_path / "x.parquet", tmp_path / "p")


def test_a_data_set_gives_its_rows_as_its_transform_makes_them(tmp_path: Path) -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    import datasets

    plain = datasets.Dataset.from_dict({"features": ROWS.tolist(), "label": [0, 1, 2, 3], "name": list("abcd")})

    def double(batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "features": [2 * torch.tensor(row) for row in batch["features"]]}

    store = from_dataset(plain.with_transform(double), tmp_path / "s")
    assert torch.equal(store.features[:], 2 * ROWS)
    assert (store.labels[:].tolist(), list(store.column("name"))) == ([0, 1, 2, 3], list("abcd"))
    assert torch.equal(from_dataset(plain.with_format("torch"), tmp_path / "t").features[:], ROWS)
    with pytest.raises(TypeError, match="got a dictionary of the splits 'train', 'test': name one of them"):
        from_dataset(datasets.DatasetDict({"train": plain, "test": plain}), tmp_path / "u")
