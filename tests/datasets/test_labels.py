"""NoisyLabelDataset over everything that holds labels: lists, torch, torchvision's kind, Hugging Face, WebDataset."""

from __future__ import annotations

import pickle
import tarfile
from collections import namedtuple
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

import noisymodel
from noisymodel.datasets import NoisyLabelDataset, NoisyLabelStream
from noisymodel.noise import LabelNoise, NoisyLabels, compose, from_transition, multi_label, open_set, symmetric

COUNT, CLASSES = 48, 5
LABELS = np.arange(COUNT) % CLASSES
NOISE = LabelNoise("symmetric", 0.5, num_classes=CLASSES, seed=3)
FIXED = symmetric(LABELS, 0.5, seed=3)
KEYS = [f"{index:06d}" for index in range(COUNT)]
BY_KEY = {key: NOISE.at(key, int(label)) for key, label in zip(KEYS, LABELS, strict=True)}
PAIRS = [(float(index), int(label)) for index, label in enumerate(LABELS)]
RECORDS = [{"__key__": key, "label": int(label)} for key, label in zip(KEYS, LABELS, strict=True)]

CLOSED_LATE = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


class Pictures(Dataset[Any]):
    """As torchvision's: pairs of picture and class, and all ``targets``."""

    def __init__(self, targets: Any) -> None:
        self.targets = targets
        self.classes = [f"class {k}" for k in range(CLASSES)]
        self.class_to_idx = {name: k for k, name in enumerate(self.classes)}
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[float, Any]:
        self.read.append(index)
        return float(index), self.targets[index]


class Unsized:
    """Records that can be iterated over, again and again, and nothing else."""

    def __iter__(self) -> Any:
        return iter(RECORDS)


class Stream(IterableDataset[Any]):
    """Records, each worker its own part."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records = records
        self.epoch = 0

    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(self.records if info is None else self.records[info.id :: info.num_workers])

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def as_pairs(samples: Any) -> dict[str, int]:
    return {sample["__key__"]: int(sample["label"]) for sample in samples}


def test_the_rooms_name() -> None:
    assert noisymodel.datasets.NoisyLabelDataset is NoisyLabelDataset


# --- map-style


def test_noisy_labels_by_index() -> None:
    source = Pictures(LABELS.tolist())
    noisy = NoisyLabelDataset(source, FIXED, label=1)
    assert source.read == [], "nothing is read before it is asked for"
    assert len(noisy) == COUNT
    assert isinstance(noisy, Dataset)
    assert not isinstance(noisy, IterableDataset)
    assert noisy[7] == (7.0, FIXED.labels[7])
    assert source.read == [7]
    assert [label for _, label in noisy] == FIXED.labels.tolist()
    assert noisy[-1] == noisy[COUNT - 1]
    assert source.targets == LABELS.tolist()


@pytest.mark.parametrize("targets", [LABELS.tolist(), LABELS, torch.from_numpy(LABELS)], ids=["list", "numpy", "torch"])
@pytest.mark.parametrize("noise", [FIXED, NOISE], ids=["by position", "by key"])
def test_targets_of_torchvision(targets: Any, noise: Any) -> None:
    noisy = NoisyLabelDataset(Pictures(targets), noise, label=1)
    assert type(noisy.targets) is type(targets)
    assert [int(label) for label in noisy.targets] == [int(label) for _, label in noisy]
    assert [int(label) for label in noisy.targets] != LABELS.tolist()
    assert noisy.classes[1] == "class 1"
    assert noisy.class_to_idx["class 2"] == 2
    assert not hasattr(NoisyLabelDataset(PAIRS, noise, label=1), "targets")


def test_a_specification_by_index_or_by_key() -> None:
    by_index = [NOISE.at(index, int(label)) for index, label in enumerate(LABELS)]
    assert [label for _, label in NoisyLabelDataset(PAIRS, NOISE, label=1)] == by_index
    assert [sample["label"] for sample in NoisyLabelDataset(RECORDS, NOISE, key=None)] == by_index
    assert as_pairs(NoisyLabelDataset(RECORDS, NOISE)) == BY_KEY
    assert as_pairs(NoisyLabelDataset(RECORDS[::-1], NOISE)) == BY_KEY
    renamed = [{"id": record["__key__"], "y": record["label"]} for record in RECORDS]
    assert [sample["y"] for sample in NoisyLabelDataset(renamed, NOISE, label="y", key="id")] == list(BY_KEY.values())
    tuples = [(record["__key__"], record["label"]) for record in RECORDS]
    assert [label for _, label in NoisyLabelDataset(tuples, NOISE, label=1, key=0)] == list(BY_KEY.values())
    numbers = [{"id": torch.tensor(index), "label": 1} for index in range(9)]
    assert [sample["label"] for sample in NoisyLabelDataset(numbers, NOISE, key="id")] == [
        NOISE.at(index, 1) for index in range(9)
    ]


def test_chains_of_noise() -> None:
    chain = compose(NOISE, LabelNoise("pair_flip", 0.3, num_classes=CLASSES, seed=4))
    assert as_pairs(NoisyLabelDataset(RECORDS, chain)) == {
        key: chain.at(key, int(label)) for key, label in zip(KEYS, LABELS, strict=True)
    }


Row = namedtuple("Row", ["picture", "label"])


@pytest.mark.parametrize(
    "value",
    [3, np.int16(3), np.array(3), torch.tensor(3), torch.tensor([3], dtype=torch.uint8), "3", b"3"],
    ids=lambda value: f"{type(value).__name__}{getattr(value, 'shape', '')}",
)
def test_a_noisy_label_has_the_kind_of_the_clean_one(value: Any) -> None:
    flip = LabelNoise("pair_flip", 1.0, num_classes=5, seed=0)
    for noise in (flip, flip.apply([3])):
        (noisy,) = (sample["label"] for sample in NoisyLabelDataset([{"label": value}], noise))
        assert type(noisy) is type(value)
        assert int(noisy) == 4
        assert getattr(noisy, "dtype", None) == getattr(value, "dtype", None)
        assert getattr(noisy, "shape", None) == getattr(value, "shape", None)
    assert int(value) == 3


def test_samples_keep_their_kind_and_are_not_changed() -> None:
    flip = LabelNoise("pair_flip", 1.0, num_classes=5, seed=0)
    for sample in (Row("p", 1), ["p", 1], ("p", 1)):
        noisy = NoisyLabelDataset([sample], flip, label=1)[0]
        assert type(noisy) is type(sample)
        assert list(noisy) == ["p", 2]
        assert list(sample) == ["p", 1]
        assert NoisyLabelDataset([sample], flip, label=-1)[0] == noisy
    record = {"label": 1, "other": object()}
    noisy = NoisyLabelDataset([record], flip, keep="clean")[0]
    assert noisy == {"label": 2, "other": record["other"], "clean": 1}
    assert record["label"] == 1
    assert "clean" not in record
    special = type("Record", (dict,), {})(label=1)
    assert type(NoisyLabelDataset([special], flip)[0]) is type(special)
    assert special["label"] == 1


def test_targets_have_the_keys_of_their_samples() -> None:
    class Keyed(Pictures):
        def __getitem__(self, index: int) -> Any:
            return {"__key__": f"key {index}", "id": index + 7, "label": self.targets[index]}

    for options in ({}, {"key": "id"}, {"key": None}):
        noisy = NoisyLabelDataset(Keyed(LABELS), NOISE, **options)
        assert noisy.targets.tolist() == [int(sample["label"]) for sample in noisy], options
    tuples = NoisyLabelDataset(Pictures(LABELS), NOISE, label=1)
    tuples.targets  # noqa: B018 - the access is the test
    assert len(tuples.source.read) == 1, "whole samples are read for their keys alone"


def test_an_iterator_is_no_stream() -> None:
    for source in (iter(RECORDS), (record for record in RECORDS), map(dict, RECORDS)):
        with pytest.raises(TypeError, match="`source` must be a stream that can be read again, got an iterator"):
            NoisyLabelDataset(source, NOISE)
    twice = NoisyLabelDataset(Unsized(), NOISE)
    assert as_pairs(twice) == as_pairs(twice) == BY_KEY


def test_multi_label_targets() -> None:
    clean = np.random.default_rng(0).integers(2, size=(20, 6))
    noise = multi_label(clean, missing=0.4, spurious=0.2, seed=0)
    source = [{"label": torch.from_numpy(row)} for row in clean]
    for index, sample in enumerate(NoisyLabelDataset(source, noise)):
        np.testing.assert_array_equal(sample["label"].numpy(), noise.labels[index])
        assert isinstance(sample["label"], torch.Tensor)
    lists = [{"label": row.tolist()} for row in clean]
    assert [sample["label"] for sample in NoisyLabelDataset(lists, noise)] == noise.labels.tolist()


def test_open_set_noise_replaces_the_image() -> None:
    noise = open_set(LABELS, 0.5, 30, open_share=0.5, seed=0)
    outliers = [{"image": f"outlier {index}"} for index in range(30)]
    source = [{"image": f"image {index}", "label": int(label)} for index, label in enumerate(LABELS)]
    noisy = NoisyLabelDataset(source, noise, outliers=outliers)
    for index, sample in enumerate(noisy):
        outlier = int(noise.outlier[index])
        assert sample["image"] == (f"image {index}" if outlier < 0 else f"outlier {outlier}")
        assert sample["label"] == noise.labels[index]
    after = open_set(FIXED, 0.5, 30, seed=0)
    for index, sample in enumerate(NoisyLabelDataset(source, after, outliers=outliers)):
        assert sample["label"] == FIXED.labels[index]
        assert sample["image"].startswith("outlier" if after.replaced[index] else "image")
    pairs = [(sample["image"], sample["label"]) for sample in source]
    tupled = NoisyLabelDataset(pairs, noise, label=1, image=0, outliers=[(o["image"], -1) for o in outliers])
    assert list(tupled) == [(sample["image"], sample["label"]) for sample in noisy]
    with pytest.raises(TypeError, match="`outliers` must be given for the noise of `open_set`"):
        NoisyLabelDataset(source, noise)
    with pytest.raises(TypeError, match="and for no other, got NoisyLabels and list"):
        NoisyLabelDataset(source, FIXED, outliers=outliers)


# --- PyTorch's loader


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("noise", [FIXED, NOISE], ids=["by position", "by key"])
def test_loading_a_map_style_dataset(workers: int, noise: Any) -> None:
    source = TensorDataset(torch.arange(COUNT), torch.from_numpy(LABELS))
    noisy = NoisyLabelDataset(source, noise, label=1)
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(noisy, batch_size=10, shuffle=True, num_workers=workers, generator=generator)
    got = {int(i): int(label) for batch in loader for i, label in zip(*batch, strict=True)}
    assert got == {index: int(noisy[index][1]) for index in range(COUNT)}


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_a_stream(workers: int) -> None:
    noisy = NoisyLabelDataset(Stream(RECORDS), NOISE)
    assert isinstance(noisy, NoisyLabelStream)
    assert isinstance(noisy, NoisyLabelDataset)
    assert isinstance(noisy, IterableDataset)
    loader = DataLoader(noisy, batch_size=None, num_workers=workers, generator=torch.Generator())
    assert as_pairs(loader) == BY_KEY
    assert as_pairs(NoisyLabelDataset(Stream(RECORDS[20:]), NOISE)).items() <= BY_KEY.items()


def test_what_a_stream_passes_on() -> None:
    source = Stream(RECORDS)
    noisy = NoisyLabelDataset(source, NOISE)
    noisy.set_epoch(3)
    assert source.epoch == 3
    assert len(noisy) == COUNT
    assert not hasattr(noisy, "state_dict")
    with pytest.raises(AttributeError, match="'NoisyLabelStream' object has no attribute 'records'"):
        noisy.records  # noqa: B018 - the access is the test
    with pytest.raises(TypeError, match="a stream has no sample 3: iterate over it"):
        noisy[3]
    unsized = NoisyLabelDataset(Unsized(), NOISE)
    with pytest.raises(TypeError, match="has no len"):
        len(unsized)
    assert as_pairs(unsized) == BY_KEY


def test_pickles() -> None:
    for source in (PAIRS, Pictures(LABELS.tolist())):
        noisy = NoisyLabelDataset(source, FIXED, label=1)
        again = pickle.loads(pickle.dumps(noisy))  # noqa: S301 - our own bytes
        assert type(again) is NoisyLabelDataset
        assert list(again) == list(noisy)
    stream = pickle.loads(pickle.dumps(NoisyLabelDataset(Stream(RECORDS), NOISE, keep="clean")))  # noqa: S301 - ours
    assert type(stream) is NoisyLabelStream
    assert as_pairs(stream) == BY_KEY
    assert [sample["clean"] for sample in stream] == LABELS.tolist()


# --- Hugging Face datasets


def test_hugging_face_map_style() -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    import datasets

    source = datasets.Dataset.from_dict({"label": LABELS.tolist(), "id": KEYS})
    by_position = NoisyLabelDataset(source, FIXED)
    assert [sample["label"] for sample in by_position] == FIXED.labels.tolist()
    assert [sample["label"] for sample in by_position.__getitems__([3, -1])] == FIXED.labels[[3, -1]].tolist()
    by_key = NoisyLabelDataset(source.shuffle(seed=1), NOISE, key="id")
    assert {sample["id"]: sample["label"] for sample in by_key} == BY_KEY
    assert isinstance(by_key[0]["label"], int)
    formatted = NoisyLabelDataset(source.with_format("torch", columns=["label"]), FIXED)
    batch = next(iter(DataLoader(formatted, batch_size=COUNT, generator=torch.Generator())))
    assert batch["label"].tolist() == FIXED.labels.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_hugging_face_streams(workers: int) -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    import datasets

    table = datasets.Dataset.from_dict({"label": LABELS.tolist(), "__key__": KEYS})
    for stream in (table.to_iterable_dataset(num_shards=4), table.to_iterable_dataset(num_shards=3).shuffle(seed=2)):
        noisy = NoisyLabelDataset(stream, NOISE)
        assert isinstance(noisy, NoisyLabelStream)
        loader = DataLoader(noisy, batch_size=None, num_workers=workers, generator=torch.Generator())
        assert as_pairs(loader) == BY_KEY


def test_hugging_face_streams_resume() -> None:
    pytest.importorskip("datasets.arrow_dataset")  # where it is missing, "datasets" is tests/datasets
    import datasets

    stream = datasets.Dataset.from_dict({"label": LABELS.tolist(), "__key__": KEYS}).to_iterable_dataset(num_shards=4)
    noisy = NoisyLabelDataset(stream, NOISE)
    begun = iter(noisy)
    first = as_pairs([next(begun) for _ in range(17)])
    state = noisy.state_dict()
    resumed = NoisyLabelDataset(stream, NOISE)
    resumed.load_state_dict(state)
    rest = as_pairs(resumed)
    assert first | rest == BY_KEY
    assert len(rest) == COUNT - 17


# --- WebDataset


def write_shards(folder: Path, shards: int) -> list[str]:
    """Tar files of ``key.cls`` and ``key.txt``."""
    paths = []
    for shard in range(shards):
        path = folder / f"shard-{shards}-{shard}.tar"
        with tarfile.open(path, "w") as tar:
            for key, label in list(zip(KEYS, LABELS, strict=True))[shard::shards]:
                for extension, content in (("cls", str(label)), ("txt", f"caption {key}")):
                    entry = tarfile.TarInfo(f"{key}.{extension}")
                    entry.size = len(content)
                    tar.addfile(entry, BytesIO(content.encode()))
        paths.append(str(path))
    return paths


@CLOSED_LATE
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shards", [2, 3])
def test_webdataset_shards(wds: ModuleType, tmp_path: Path, workers: int, shards: int) -> None:
    paths = write_shards(tmp_path, shards)
    for decoded in (True, False):
        stream = wds.WebDataset(paths, shardshuffle=False, empty_check=False)
        stream = stream.decode() if decoded else stream
        noisy = NoisyLabelDataset(stream, NOISE, label="cls")
        assert isinstance(noisy, NoisyLabelStream)
        loader = DataLoader(noisy, batch_size=None, num_workers=workers, generator=torch.Generator())
        samples = list(loader)
        assert {sample["__key__"]: int(sample["cls"]) for sample in samples} == BY_KEY
        assert len(samples) == COUNT
        assert isinstance(samples[0]["cls"], int if decoded else bytes)


@CLOSED_LATE
def test_webdataset_shuffled_and_as_tuples(wds: ModuleType, tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 4)
    shuffled = wds.WebDataset(paths[::-1], shardshuffle=False).shuffle(20, seed=1).decode()
    stream = shuffled.to_tuple("__key__", "cls")
    got = dict(NoisyLabelDataset(stream, NOISE, label=1, key=0))
    assert got == BY_KEY


# --- bad input


def test_bad_noise_and_sources() -> None:
    with pytest.raises(TypeError, match="`noise` must be NoisyLabels or a LabelNoise, got ndarray"):
        NoisyLabelDataset(PAIRS, LABELS)
    with pytest.raises(TypeError, match="`noise` must be a LabelNoise for a stream"):
        NoisyLabelDataset(Stream(RECORDS), FIXED)
    with pytest.raises(ValueError, match="`noise` must have one label for each of the 3 samples, got 48"):
        NoisyLabelDataset(PAIRS[:3], FIXED, label=1)
    with pytest.raises(TypeError, match="`keep` must be a str, the key to keep the clean value under, got 5"):
        NoisyLabelDataset(PAIRS, FIXED, keep=5)


def test_labels_that_are_not_those_of_the_noise() -> None:
    with pytest.raises(ValueError, match="sample 0 has the label 1, but the noise was drawn for 0: `source` must have"):
        NoisyLabelDataset(PAIRS[1:] + PAIRS[:1], FIXED, label=1)[0]
    unknown = NoisyLabels(FIXED.labels, FIXED.flipped, None, 0.5, 0.5, 3)
    assert NoisyLabelDataset(PAIRS[::-1], unknown, label=1)[0][1] == FIXED.labels[0]


@pytest.mark.parametrize(
    ("sample", "options", "error", "message"),
    [
        ((1.0, 2), {"label": "y"}, ValueError, "`label` must be an index of a sample, which is a tuple of 2; got 'y'"),
        ((1.0, 2), {"label": 2}, ValueError, "which is a tuple of 2; got 2"),
        ({"y": 2}, {}, ValueError, "`label` must be one of the keys of a sample, 'y'; got 'label'"),
        ({"label": 2}, {"key": "id"}, ValueError, "`key` must be one of the keys of a sample, 'label'; got 'id'"),
        (2, {}, TypeError, "samples must be dictionaries, tuples or lists, got int"),
        ({"label": 2.0}, {}, TypeError, "`label` must be an integer, got 2.0"),
        ({"label": torch.tensor([1, 2])}, {}, TypeError, r"a label must be one class index, got shape \(2,\)"),
        ({"label": np.ones(2, int)}, {}, TypeError, r"a label must be one class index, got shape \(2,\)"),
        ({"label": "cat"}, {}, TypeError, "a label must be a class index, got 'cat'"),
        ({"label": 9}, {}, ValueError, r"`label` must be in \[0, num_classes = 5\), got 9"),
        ({"label": 1, "id": 1.5}, {"key": "id"}, TypeError, "`key` must be an integer, got 1.5"),
        ((1.0, 2), {"label": 1, "keep": "clean"}, ValueError, "`keep` must be None where samples are no dictionaries"),
        ({"label": 1}, {"keep": "label"}, ValueError, "`keep` must be a new key, got 'label', which samples have"),
    ],
)
def test_bad_samples(sample: Any, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NoisyLabelDataset([sample], NOISE, **options)[0]


def test_bad_indices() -> None:
    noisy = NoisyLabelDataset(PAIRS, FIXED, label=1)
    for index in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=rf"`index` must be in \[0, 48\), got {index}"):
            noisy[index]
    with pytest.raises(TypeError, match="`index` must be an integer, got 'label'"):
        noisy["label"]


def test_streams_need_a_key() -> None:
    with pytest.raises(ValueError, match="`key` must be given for a stream: its samples have no index"):
        next(iter(NoisyLabelDataset(Stream(RECORDS), NOISE, key=None)))
    with pytest.raises(ValueError, match="`key` must be one of the keys of a sample, 'label'; got '__key__'"):
        next(iter(NoisyLabelDataset(Stream([{"label": 1}]), NOISE)))


def test_noise_from_a_matrix() -> None:
    noise = from_transition(LABELS, np.roll(np.eye(CLASSES), 1, axis=1), seed=0)
    assert [label for _, label in NoisyLabelDataset(PAIRS, noise, label=1)] == ((LABELS + 1) % CLASSES).tolist()


def test_of_tuples_the_label_is_the_last_entry() -> None:
    for samples in (PAIRS, [(at, "more", label) for at, label in PAIRS], [list(pair) for pair in PAIRS]):
        shown = list(NoisyLabelDataset(samples, FIXED))
        assert [sample[-1] for sample in shown] == FIXED.labels.tolist()
        assert [type(sample) for sample in shown] == [type(sample) for sample in samples]
    named = namedtuple("named", "label image")
    assert NoisyLabelDataset([named(label, at) for at, label in PAIRS], FIXED)[0] == named(FIXED.labels[0], 0.0)
    streamed = NoisyLabelDataset(Stream([(key, label) for key, label in zip(KEYS, LABELS, strict=True)]), NOISE, key=0)  # type: ignore[arg-type]
    assert dict(streamed) == BY_KEY
