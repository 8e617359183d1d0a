"""NoisyPairDataset over lists, torch, Hugging Face and WebDataset."""

from __future__ import annotations

import pickle
import tarfile
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from noisymodel.datasets import NoisyPairDataset, NoisyPairStream
from noisymodel.noise import PairNoise, shuffle_pairs

COUNT = 40
KEYS = [f"{index:05d}" for index in range(COUNT)]
TEXTS = [f"caption {index}" for index in range(COUNT)]
PAIRS = [(index, text) for index, text in enumerate(TEXTS)]
RECORDS = [{"__key__": key, "image": i, "text": text} for i, (key, text) in enumerate(zip(KEYS, TEXTS, strict=True))]
FIXED = shuffle_pairs(COUNT, 0.5, seed=1)
WANTED = [TEXTS[other] for other in FIXED.permutation]
NOISE = PairNoise(0.5, TEXTS, keys=KEYS, seed=2)
BY_KEY = {key: NOISE.at(key, text) for key, text in zip(KEYS, TEXTS, strict=True)}

CLOSED_LATE = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


class Counting(Dataset[Any]):
    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[int, str]:
        self.read.append(index)
        return PAIRS[index]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(RECORDS)


def by_key(samples: Any, text: str = "text") -> dict[str, str]:
    return {sample["__key__"]: sample[text] for sample in samples}


def test_captions_go_where_the_permutation_says() -> None:
    assert list(NoisyPairDataset(PAIRS, FIXED, image=0, text=1)) == list(enumerate(WANTED))
    noisy = NoisyPairDataset(RECORDS, FIXED, keep="own")
    assert [sample["text"] for sample in noisy] == WANTED
    assert [sample["own"] for sample in noisy] == TEXTS
    assert [sample["image"] for sample in noisy] == list(range(COUNT))
    assert [record["text"] for record in RECORDS] == TEXTS
    tensor = shuffle_pairs(torch.arange(COUNT), 0.5, seed=1)
    assert [sample["text"] for sample in NoisyPairDataset(RECORDS, tensor)] == WANTED


def test_no_more_is_read_than_needed() -> None:
    moved, kept = int(np.flatnonzero(FIXED.mismatched)[0]), int(np.flatnonzero(~FIXED.mismatched)[0])
    source = Counting()
    noisy = NoisyPairDataset(source, FIXED, image=0, text=1)
    assert source.read == []
    assert noisy[kept] == (kept, TEXTS[kept])
    assert source.read == [kept]
    assert noisy[moved] == (moved, WANTED[moved])
    assert source.read == [kept, moved, FIXED.permutation[moved]]
    source.read.clear()
    assert NoisyPairDataset(source, FIXED, image=0, text=1, captions=TEXTS)[moved] == (moved, WANTED[moved])
    assert source.read == [moved]


@pytest.mark.parametrize("workers", [0, 2])
def test_loading(workers: int) -> None:
    for noise, wanted in ((FIXED, WANTED), (NOISE, [NOISE.at(i, text) for i, text in PAIRS])):
        noisy = NoisyPairDataset(PAIRS, noise, image=0, text=1)
        loader = DataLoader(noisy, batch_size=7, num_workers=workers, generator=torch.Generator())
        assert [text for _, texts in loader for text in texts] == wanted


def test_specifications_by_key() -> None:
    assert by_key(NoisyPairDataset(RECORDS, NOISE)) == BY_KEY
    assert by_key(NoisyPairDataset(RECORDS[::-1], NOISE)) == BY_KEY
    renamed = [{"id": record["__key__"], "png": 0, "alt": record["text"]} for record in RECORDS]
    noisy = NoisyPairDataset(renamed, NOISE, image="png", text="alt", key="id")
    assert [sample["alt"] for sample in noisy] == list(BY_KEY.values())
    by_index = NoisyPairDataset(RECORDS, NOISE, key=None)
    assert [sample["text"] for sample in by_index] == [NOISE.at(i, text) for i, text in PAIRS]


def test_streams_and_pickles() -> None:
    noisy = NoisyPairDataset(Stream(), NOISE, keep="own")
    assert type(noisy) is NoisyPairStream
    assert isinstance(noisy, IterableDataset)
    again = pickle.loads(pickle.dumps(noisy))  # noqa: S301 - our own bytes
    assert type(again) is NoisyPairStream
    assert by_key(noisy) == by_key(again) == BY_KEY
    assert by_key(again, "own") == dict(zip(KEYS, TEXTS, strict=True))
    mapped = pickle.loads(pickle.dumps(NoisyPairDataset(RECORDS, FIXED, captions=TEXTS)))  # noqa: S301 - ours
    assert type(mapped) is NoisyPairDataset
    assert [sample["text"] for sample in mapped] == WANTED


def with_upper_case(batch: dict[str, Any]) -> dict[str, Any]:
    """A transform that needs the image too."""
    return {"image": batch["image"], "text": [text.upper() for text in batch["text"]]}


def test_hugging_face() -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    import datasets

    table = datasets.Dataset.from_list(RECORDS)
    assert [sample["text"] for sample in NoisyPairDataset(table, FIXED)] == WANTED
    assert [sample["text"] for sample in NoisyPairDataset(table, FIXED).__getitems__([5, 0])] == [WANTED[5], WANTED[0]]
    transformed = table.with_transform(
        lambda batch: {**batch, "text": [text.upper() for text in batch["image"] and batch["text"]]}
    )
    assert [sample["text"] for sample in NoisyPairDataset(transformed, FIXED)] == [text.upper() for text in WANTED]
    lazy = PairNoise(0.5, table["text"], keys=table["__key__"], seed=2)
    assert by_key(NoisyPairDataset(table.to_iterable_dataset(num_shards=3), lazy)) == BY_KEY


@CLOSED_LATE
@pytest.mark.parametrize("workers", [0, 2])
def test_webdataset_shards(wds: ModuleType, tmp_path: Path, workers: int) -> None:
    for shards in (2, 3):
        paths = [str(tmp_path / f"{shards}-{shard}.tar") for shard in range(shards)]
        for shard, path in enumerate(paths):
            with tarfile.open(path, "w") as tar:
                for key, text in list(zip(KEYS, TEXTS, strict=True))[shard::shards]:
                    for extension, content in (("bin", b"image"), ("txt", text.encode())):
                        entry = tarfile.TarInfo(f"{key}.{extension}")
                        entry.size = len(content)
                        tar.addfile(entry, BytesIO(content))
        raw = wds.WebDataset(paths, shardshuffle=False, empty_check=False)
        decoded = wds.WebDataset(paths, shardshuffle=False, empty_check=False).decode()
        for stream, kind in ((raw, bytes), (decoded, str)):
            noisy = NoisyPairDataset(stream, NOISE, image="bin", text="txt")
            samples = list(DataLoader(noisy, batch_size=None, num_workers=workers, generator=torch.Generator()))
            assert {type(sample["txt"]) for sample in samples} == {kind}
            texts = {s["__key__"]: s["txt"].decode() if kind is bytes else s["txt"] for s in samples}
            assert texts == BY_KEY
            assert all(sample["bin"] == b"image" for sample in samples)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="`noise` must be NoisyPairs or a PairNoise, got float"):
        NoisyPairDataset(PAIRS, 0.5)
    with pytest.raises(TypeError, match="`noise` must be a PairNoise for a stream: NoisyPairs are by index"):
        NoisyPairDataset(Stream(), FIXED)
    with pytest.raises(ValueError, match="`noise` must have one entry for each of the 3 samples, got 40"):
        NoisyPairDataset(PAIRS[:3], FIXED)
    with pytest.raises(ValueError, match="`captions` must be one for each of the 40 samples, got 1"):
        NoisyPairDataset(PAIRS, FIXED, captions=["a"])
    with pytest.raises(TypeError, match="`captions` must be None with a PairNoise"):
        NoisyPairDataset(PAIRS, NOISE, captions=TEXTS)
    with pytest.raises(TypeError, match="`keep` must be a str"):
        NoisyPairDataset(PAIRS, NOISE, keep=3)
    with pytest.raises(
        ValueError, match="`image` must be one of the keys of a sample, '__key__', 'image', 'text'; got 'jpg'"
    ):
        NoisyPairDataset(RECORDS, FIXED, image="jpg")[0]
    with pytest.raises(ValueError, match="`text` must be one of the keys of a sample"):
        NoisyPairDataset(RECORDS, FIXED, text="txt")[0]
    with pytest.raises(TypeError, match="`text` must be a str or bytes, got list"):
        list(NoisyPairDataset([{"image": 0, "text": [1]}] * 20, NOISE))


def test_of_tuples_the_text_is_the_second_entry() -> None:
    source = [(f"image {at}", f"text {at}", "more") for at in range(6)]
    noise = shuffle_pairs(6, 0.5, seed=0)
    shown = list(NoisyPairDataset(source, noise))
    assert [sample[1] for sample in shown] == [f"text {at}" for at in noise.permutation]
    assert [sample[::2] for sample in shown] == [sample[::2] for sample in source]
    assert NoisyPairDataset([sample[::-1] for sample in source], noise, image=2)[0][1] == shown[0][1]


def test_names_are_keys_or_indices() -> None:
    source = [("image", "text")] * 2
    for name in ("image", "text", "key"):
        with pytest.raises(TypeError, match=f"`{name}` must be a dictionary's key"):
            NoisyPairDataset(source, shuffle_pairs(2, 1.0, seed=0), **{name: True})
