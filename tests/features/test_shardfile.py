"""Shards are safetensors files that others can read; every byte is covered by a checksum."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from noisymodel.features import FeatureStore, FeatureStoreError
from noisymodel.features.manifest import ColumnType
from noisymodel.features.shardfile import Shard, entries, shard_name

Make = Callable[..., FeatureStore]


def test_the_safetensors_library_reads_a_shard(make: Make, rows: Tensor) -> None:
    store = make(dtype="bfloat16")
    with safe_open(store.path / "shard-000001.safetensors", framework="pt") as file:
        assert set(file.keys()) == {
            "features",
            "labels",
            "ids.offsets",
            "ids.bytes",
            "year",
            "name.offsets",
            "name.bytes",
        }
        assert torch.equal(file.get_tensor("features"), rows[10:20].bfloat16())
        assert file.get_tensor("labels").tolist() == [i % 3 for i in range(10, 20)]
        ends = file.get_tensor("ids.offsets").tolist()
        content = bytes(file.get_tensor("ids.bytes").tolist())
    assert [content[a:b].decode() for a, b in itertools.pairwise(ends)] == [f"é{i}" for i in range(10, 20)]


def test_all_tensors_are_aligned(make: Make) -> None:
    store = make(dtype="float16", shard_rows=7)
    for name in ("shard-000000.safetensors", "shard-000003.safetensors"):
        content = (store.path / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        assert (8 + length) % 64 == 0
        sizes = {"F16": 2, "I64": 8, "I16": 2, "U8": 1}
        for key, entry in header.items():
            if key != "__metadata__":
                assert entry["data_offsets"][0] % sizes[entry["dtype"]] == 0


def test_tensors_are_sorted_by_the_size_of_an_element() -> None:
    types = {"features": ColumnType("float16", (2,)), "ids": ColumnType("string"), "a": ColumnType("bool")}
    assert list(entries(types, 3, {"ids": 7}).items()) == [
        ("ids.offsets", (torch.int64, (4,))),
        ("features", (torch.float16, (3, 2))),
        ("a", (torch.bool, (3,))),
        ("ids.bytes", (torch.uint8, (7,))),
    ]


def test_names_sort_as_their_numbers_up_to_a_million() -> None:
    assert [shard_name(0), shard_name(12), shard_name(1_234_567)] == [
        "shard-000000.safetensors", "shard-000012.safetensors", "shard-1234567.safetensors",
    ]  # fmt: skip


def test_a_flipped_bit_in_any_byte_is_found(make: Make) -> None:
    store = make()
    path = store.path / "shard-000002.safetensors"
    content = path.read_bytes()
    for place in random.Random(0).sample(range(len(content)), 64):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(FeatureStoreError, match=r"shard-000002.safetensors is damaged or another file"):
            store.verify()
    path.write_bytes(content)
    store.verify()


def test_a_truncated_or_longer_shard_is_found_by_open(make: Make) -> None:
    store = make()
    path = store.path / "shard-000001.safetensors"
    content = path.read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(
            FeatureStoreError,
            match=rf"shard-000001.safetensors is damaged: it must have {len(content)} bytes and has {length};",
        ):
            FeatureStore.open(store.path)
    path.write_bytes(content + b"\0")
    with pytest.raises(FeatureStoreError, match=r"shard-000001.safetensors is damaged"):
        FeatureStore.open(store.path)
    with pytest.raises(FeatureStoreError, match=r"shard-000001.safetensors is damaged"):
        FeatureStore.create(store.path, num_features=4, append=True)


def test_a_missing_shard_is_found_by_open_and_by_its_reader(make: Make) -> None:
    store = make()
    (store.path / "shard-000000.safetensors").unlink()
    for call in (store.verify, lambda: FeatureStore.open(store.path), lambda: store.features[0]):
        with pytest.raises(FeatureStoreError, match=r"shard-000000.safetensors is missing"):
            call()
    assert store.features[24].shape == (4,)


@pytest.mark.parametrize("content", ["zeros", "header too long", "no json", "list", "other tensors", "other offsets"])
def test_a_foreign_file_of_the_same_size_is_found_when_it_is_read(make: Make, content: str) -> None:
    store = make()
    path = store.path / "shard-000000.safetensors"
    mine = path.read_bytes()
    size = len(mine)
    foreign = {
        "zeros": bytes(size),
        "header too long": (1 << 62).to_bytes(8, "little") + mine[8:],
        "no json": (64).to_bytes(8, "little") + b"x" * (size - 8),
        "list": (2).to_bytes(8, "little") + b"[]" + bytes(size - 10),
        "other tensors": mine.replace(b'"features"', b'"featured"'),
        "other offsets": mine.replace(b'"F32","shape":[10,4]', b'"F32","shape":[20,2]'),
    }[content]
    assert len(foreign) == size
    assert foreign != mine
    path.write_bytes(foreign)
    opened = FeatureStore.open(store.path)
    with pytest.raises(FeatureStoreError, match=r"shard-000000.safetensors is not a shard of this store"):
        opened.features[0]
    with pytest.raises(FeatureStoreError, match=r"shard-000000.safetensors is damaged or another file"):
        opened.verify()


def test_exchanged_shards_and_shards_of_other_stores_are_found(make: Make) -> None:
    store, other = make(), make("other", dtype="float16")
    first, second = (store.path / shard_name(number) for number in range(2))
    texts = first.read_bytes(), second.read_bytes()
    first.write_bytes(texts[1])
    second.write_bytes(texts[0])
    with pytest.raises(FeatureStoreError, match=r"shard-000000.* is damaged.*; .*shard-000001.* is damaged"):
        store.verify()
    first.write_bytes((other.path / first.name).read_bytes())
    second.write_bytes(texts[1])
    with pytest.raises(FeatureStoreError, match=r"shard-000000.safetensors is damaged: it must have"):
        store.verify()


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_what_is_read_ahead_are_the_bytes_of_the_rows(
    make: Make, rows: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(dtype="float16")
    content = store._shards[1].path.read_bytes()
    found: list[bytes] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, size, _kind: found.append(content[start : start + size]))
    store._shards[1].prefetch([(0, 10), (3, 5)])
    assert found == [rows[10:20].half().numpy().tobytes(), rows[13:15].half().numpy().tobytes()]


def test_a_forgotten_shard_is_mapped_anew(make: Make) -> None:
    store = make()
    manifest_types = {"features": ColumnType("float32", (4,))}
    shard = Shard(store.path, store._manifest.shards[0], {**store._manifest.types(), **manifest_types})
    features = shard["features"]
    assert shard["features"].data_ptr() == features.data_ptr()
    assert shard.forgotten()["features"].data_ptr() != features.data_ptr()
