"""Which folders may become stores, go on as stores, and what does not belong into one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from noisymodel.features import FeatureStore, FeatureStoreError
from noisymodel.features.store_folder import SHARD_BYTES

Make = Callable[..., FeatureStore]


def test_an_existing_store_is_kept(store: FeatureStore) -> None:
    with pytest.raises(FileExistsError, match=r"store is a feature store already: append=True goes on with it"):
        FeatureStore.create(store.path, num_features=4)
    assert len(FeatureStore.open(store.path)) == 25


def test_append_goes_on(tmp_path: Path) -> None:
    for start in range(3):
        with FeatureStore.create(tmp_path / "a" / "s", num_features=1, append=True, shard_rows=start + 1) as store:
            assert len(store) == 2 * start
            store.append(torch.full((2, 1), float(start)))
    assert store.features[:].flatten().tolist() == [0, 0, 1, 1, 2, 2]
    assert [shard.rows for shard in store._manifest.shards] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_features": 5}, "`num_features` must be 4 as in the store .*, got 5"),
        ({"dtype": "float16"}, "`dtype` must be 'float32' as in the store .*, got 'float16'"),
        (
            {"metadata": {"backbone": "b"}},
            "`metadata` must be that of the store .*: backbone is 'a' here and 'b' there",
        ),
        ({"metadata": {}}, "`metadata` must be .*: backbone is 'a' here and missing there"),
        ({"metadata": {"backbone": "a", "n": 1}}, "`metadata` must be .*: n is missing here and 1 there"),
    ],
)
def test_other_features_do_not_get_in(make: Make, options: Any, message: str) -> None:
    store = make(metadata={"backbone": "a", "versions": {"torch": "1"}})
    with pytest.raises(ValueError, match=message):
        FeatureStore.create(store.path, append=True, **{"num_features": 4, **options})


@pytest.mark.parametrize("metadata", [None, {"backbone": "a"}, {"backbone": "a", "versions": {"torch": "2"}}])
def test_the_same_features_get_in(make: Make, metadata: Any) -> None:
    store = make(metadata={"backbone": "a", "versions": {"torch": "1"}})
    FeatureStore.create(store.path, num_features=4, append=True, metadata=metadata).close()
    assert FeatureStore.open(store.path).metadata == {"backbone": "a", "versions": {"torch": "1"}}


@pytest.mark.parametrize("append", [False, True])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, append: bool) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match=r"holds other files, such as thesis.txt: choose a folder"):
        FeatureStore.create(tmp_path, num_features=1, append=append)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("append", [False, True])
def test_a_file_is_no_folder(tmp_path: Path, append: bool) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(FileExistsError, match="x is a file: choose a folder"):
        FeatureStore.create(tmp_path / "x", num_features=1, append=append)
    with pytest.raises(FeatureStoreError, match=r"x is no feature store: it has no manifest.json"):
        FeatureStore.open(tmp_path / "x")


def test_an_empty_folder_and_hidden_files_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("x")
    with FeatureStore.create(tmp_path, num_features=1) as store:
        store.append(torch.ones(1, 1))
    store.verify()
    assert (tmp_path / ".DS_Store").exists()


def test_what_is_no_store_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no feature store at .*none: FeatureStore.create makes one"):
        FeatureStore.open(tmp_path / "none")
    with pytest.raises(FeatureStoreError, match=r"is no feature store: it has no manifest.json"):
        FeatureStore.open(tmp_path)


def test_a_writer_takes_no_damaged_store(make: Make) -> None:
    store = make()
    (store.path / "shard-000001.safetensors").unlink()
    with pytest.raises(FeatureStoreError, match=r"shard-000001.safetensors is missing"):
        FeatureStore.create(store.path, num_features=4, append=True)
    assert not (store.path / "writer.lock").exists()


def test_leftovers_are_removed_by_the_next_writer_and_by_nobody_else(make: Make) -> None:
    store = make()
    leftovers = [
        "shard-000003.safetensors",
        ".shard-000003.safetensors.0123456789ab.partial",
        ".manifest.json.0123456789ab.partial",
    ]
    for name in leftovers:
        (store.path / name).write_bytes(b"x")
    FeatureStore.open(store.path).verify()
    assert all((store.path / name).exists() for name in leftovers)
    FeatureStore.create(store.path, num_features=4, append=True).close()
    assert not any((store.path / name).exists() for name in leftovers)
    assert len(FeatureStore.open(store.path)) == 25


@pytest.mark.parametrize("name", ["notes.txt", "shard-000004.safetensors", "shard-3.safetensors", "manifest.json.bak"])
def test_foreign_files_are_named(make: Make, name: str) -> None:
    store = make()
    (store.path / name).write_bytes(b"x")
    with pytest.raises(FeatureStoreError, match=f"{name} is no part of the store: move it elsewhere"):
        store.verify()


def test_all_damaged_files_are_named_up_to_five(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=1) as store:
        store.append(torch.ones(8, 1))
    for number in range(7):
        os.truncate(tmp_path / "s" / f"shard-{number:06d}.safetensors", 3)
    with pytest.raises(FeatureStoreError, match=r"shard-000000.*; .*shard-000004.*; and 2 more$"):
        store.verify()


def test_a_store_that_was_exchanged_is_noticed(make: Make) -> None:
    store, other = make(), make("other", shard_rows=8)
    shutil.copy(other.path / "manifest.json", store.path)
    with pytest.raises(FeatureStoreError, match=r"manifest.json is of another store than when it was opened"):
        store.verify()


def test_verify_reads_the_manifest_again(make: Make) -> None:
    store = make()
    path = store.path / "manifest.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FeatureStoreError, match=r"manifest.json is damaged"):
        store.verify()


def test_shards_have_a_size_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SHARD_BYTES == 128 << 20
    monkeypatch.setattr("noisymodel.features.store_folder.SHARD_BYTES", 100)
    for dtype, rows in [("float32", 8), ("float16", 16)]:
        with FeatureStore.create(tmp_path / dtype, num_features=3, dtype=dtype) as store:
            store.append(torch.ones(20, 3))
        assert store._manifest.shards[0].rows == rows
    with FeatureStore.create(tmp_path / "wide", num_features=300) as store:
        store.append(torch.ones(2, 300))
    assert [shard.rows for shard in store._manifest.shards] == [1, 1]
