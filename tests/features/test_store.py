"""`FeatureStore`: what goes in comes out, whatever the appends, shards and types."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import noisymodel
from noisymodel import NMTune, fit
from noisymodel.errors import InputFileError
from noisymodel.features import FeatureStore, FeatureStoreError

Make = Callable[..., FeatureStore]


def test_public_names() -> None:
    assert noisymodel.FeatureStore is noisymodel.features.FeatureStore
    assert issubclass(FeatureStoreError, InputFileError)
    assert list(inspect.signature(FeatureStore.append).parameters)[1:4] == ["features", "labels", "ids"]


def test_rows_come_back(store: FeatureStore, rows: Tensor) -> None:
    assert len(store) == 25
    assert store.shape == store.features.shape == (25, 4)
    assert store.num_features == 4
    assert store.dtype == store.features.dtype == torch.float32
    assert torch.equal(store.features[:], rows)
    assert store.labels is not None
    assert store.labels[:].tolist() == [i % 3 for i in range(25)]
    assert store.ids is not None
    assert list(store.ids) == [f"é{i}" for i in range(25)]
    assert store.columns == ("features", "labels", "ids", "year", "name")
    assert torch.equal(store.column("year")[:], torch.arange(25, dtype=torch.int16))
    assert store.column("name")[-1] == "n24"
    assert repr(store).endswith(
        "rows=25, num_features=4, dtype='float32', columns=['features', 'labels', 'ids', 'year', 'name'])"
    )
    store.verify()


def test_a_store_is_a_source_of_features(store: FeatureStore, rows: Tensor) -> None:
    assert torch.equal(store[np.array([3, 20])], rows[[3, 20]])
    assert torch.equal(store[24], rows[24])


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_appends_and_shards_do_not_change_the_content(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, 30), max_size=6)))
    flushed = data.draw(st.sets(st.sampled_from(range(8)), max_size=3))
    folder = tmp_path_factory.mktemp("store")
    rows = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    names = [chr(200 + i) * (i % 4) for i in range(30)]
    probabilities = torch.rand(30, 2, generator=torch.Generator().manual_seed(1))
    with FeatureStore.create(folder, num_features=3, shard_rows=data.draw(st.integers(1, 31))) as store:
        for step, (start, end) in enumerate(zip([0, *cuts], [*cuts, 30], strict=True)):
            store.append(rows[start:end], probabilities[start:end], names[start:end], columns={"n": names[start:end]})
            if step in flushed:
                store.flush()
                assert store.pending == 0
            assert len(store) + store.pending == end
    store = FeatureStore.open(folder)
    store.verify()
    assert torch.equal(store.features[:], rows)
    assert store.labels is not None
    assert torch.equal(store.labels[:], probabilities)
    assert store.labels.dtype == torch.float32
    assert list(store.ids or []) == store.column("n")[:] == names


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", torch.bfloat16, np.float16, np.dtype("f4")])
@pytest.mark.parametrize("given_dtype", [torch.float64, torch.bfloat16])
def test_dtypes(tmp_path: Path, dtype: object, given_dtype: torch.dtype) -> None:
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).to(given_dtype)
    with FeatureStore.create(tmp_path / "s", num_features=3, dtype=dtype) as store:  # pyright: ignore[reportArgumentType] - all kinds
        store.append(rows)
    store = FeatureStore.open(tmp_path / "s")
    assert str(store.dtype).removeprefix("torch.") in str(dtype) or dtype == np.dtype("f4")
    assert torch.equal(store.features[:], rows.to(store.dtype))
    assert store.labels is None
    assert store.ids is None
    wanted = np.float16 if store.dtype == torch.float16 else np.float32
    assert np.asarray(store.features).dtype == wanted
    assert [batch.dtype for batch in store.batches(4)] == [store.dtype] * 2


def test_numpy_rows_with_a_foreign_byte_order(tmp_path: Path) -> None:
    rows = np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1]
    with FeatureStore.create(tmp_path / "s", num_features=3) as store:
        store.append(rows, np.array([1, 2], dtype=">i2"))
    assert store.features[:].tolist() == rows.tolist()
    assert store.labels is not None
    assert store.labels.dtype == torch.int64
    assert store.labels[:].tolist() == [1, 2]


def test_what_is_appended_is_copied(tmp_path: Path) -> None:
    rows, labels = torch.zeros(3, 2), np.zeros(3, dtype=np.int64)
    with FeatureStore.create(tmp_path / "s", num_features=2, shard_rows=2) as store:
        store.append(rows, labels)
        assert (len(store), store.pending) == (2, 1)
        rows.fill_(1)
        labels.fill(1)
    assert not store.features[:].any()
    assert store.labels is not None
    assert not store.labels[:].any()


def test_appended_arrays_are_left_alone(tmp_path: Path) -> None:
    rows = np.ones((3, 2), dtype=np.float32)
    rows.flags.writeable = False
    with FeatureStore.create(tmp_path / "s", num_features=2) as store:
        store.append(rows)
        store.append(torch.ones(2, 2, requires_grad=True))
    assert len(store) == 5


def test_len_counts_what_is_committed(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=4)
    store.append(torch.zeros(3, 1))
    assert (len(store), store.pending, len(FeatureStore.open(tmp_path / "s"))) == (0, 3, 0)
    store.append(torch.zeros(6, 1))
    assert (len(store), store.pending, len(FeatureStore.open(tmp_path / "s"))) == (8, 1, 8)
    store.flush()
    assert (len(store), store.pending, len(store.features)) == (9, 0, 9)
    store.close()
    store.close()
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "manifest.json", "shard-000000.safetensors", "shard-000001.safetensors", "shard-000002.safetensors",
    ]  # fmt: skip


def test_a_reader_shows_the_rows_of_when_it_was_opened(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=2) as store:
        store.append(torch.zeros(2, 1))
        reader = FeatureStore.open(tmp_path / "s")
        store.append(torch.ones(2, 1))
        assert len(reader) == 2
        assert not reader.features[:].any()
        reader.verify()
    reader.close()
    assert len(reader.features[:]) == 2


def test_an_empty_store(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=3) as store:
        store.append(torch.zeros(0, 3), [], [])
    store = FeatureStore.open(tmp_path / "s")
    store.verify()
    assert (len(store), store.features.shape, store.labels, store.ids) == (0, (0, 3), None, None)
    assert store.features[:].shape == np.asarray(store.features).shape == (0, 3)
    assert list(store.batches(2)) == list(store.batches(2, shuffle=True)) == []
    with pytest.raises(IndexError, match="row 0 is out of range: there are 0 rows"):
        store.features[0]
    with pytest.raises(ValueError, match="`features` must have rows, got none"):
        fit(NMTune(3, 2, generator=torch.Generator().manual_seed(0)), store, [])


@pytest.mark.parametrize("shard_rows", [7, 100])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fit_on_a_store_is_fit_on_its_rows(tmp_path: Path, shard_rows: int, dtype: str) -> None:
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    labels = torch.arange(30) % 2
    with FeatureStore.create(tmp_path / "s", num_features=4, dtype=dtype, shard_rows=shard_rows) as store:
        store.append(features, labels)
    weights: list[Tensor] = []
    for source, targets in [(features, labels), (store, store.labels), (store.features, store.labels)]:
        head = NMTune(4, 2, generator=torch.Generator().manual_seed(0))
        fit(head, source, targets, epochs=2, batch_size=8, seed=0, validation=(source, targets))
        weights.append(torch.cat([value.flatten() for value in head.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_pickling_takes_the_rows_along_as_they_were(store: FeatureStore, rows: Tensor) -> None:
    with FeatureStore.create(store.path, num_features=4, append=True) as writer:
        columns = {"year": np.zeros(1, dtype=np.int16), "name": ["x"]}
        writer.append(torch.zeros(1, 4), [0], ["x"], columns=columns)
        with pytest.raises(TypeError, match="open for writing cannot be pickled: close it"):
            pickle.dumps(writer)
    other = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert torch.equal(other.features[:], rows)
    assert len(pickle.loads(pickle.dumps(writer))) == 26  # noqa: S301 - our own


def test_a_reader_cannot_append(store: FeatureStore) -> None:
    for call in (lambda: store.append(torch.zeros(1, 4)), store.flush):
        with pytest.raises(ValueError, match=r"was opened for reading: FeatureStore.create\(..., append=True\)"):
            call()


def test_a_closed_writer_cannot_append(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s", num_features=1)
    store.close()
    for call in (lambda: store.append(torch.zeros(1, 1)), store.flush):
        with pytest.raises(ValueError, match=r"is not open for writing in this process"):
            call()


def test_rows_are_committed_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with FeatureStore.create(tmp_path / "s", num_features=1) as store:
            store.append(torch.ones(2, 1))
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert len(FeatureStore.open(tmp_path / "s")) == 2


def test_metadata_is_copied(make: Make) -> None:
    metadata = {"backbone": "b", "sizes": (1, 2)}
    store = make(metadata=metadata)
    store.metadata["backbone"] = "other"
    metadata["backbone"] = "other"
    assert store.metadata == {"backbone": "b", "sizes": [1, 2]}
    assert store.created_with["noisymodel"] == noisymodel.__version__
    assert set(store.created_with) == {"noisymodel", "torch", "numpy", "python"}


def test_check_backbone(make: Make) -> None:
    mine = {"backbone": "a", "weights": "123", "transform": {"size": 224}, "layer": "pool"}
    store = make(metadata={**mine, "versions": {"torch": "2"}, "note": "x"})
    other = make("other", metadata={**mine, "note": "y"})
    store.check_backbone(other)
    store.check_backbone({**mine, "note": "z"})
    store.check_backbone(other.fingerprint or "")
    for key in mine:
        with pytest.raises(
            FeatureStoreError, match=rf"store are of another backbone: {key} is .* here and 'else' there"
        ):
            store.check_backbone({**mine, key: "else"})
    with pytest.raises(FeatureStoreError, match="of another backbone; extract them"):
        store.check_backbone("0" * 64)


def test_check_backbone_never_passes_silently(make: Make) -> None:
    bare, known = make(metadata={"note": "x"}), make("known", metadata={"backbone": "a"})
    assert bare.fingerprint is None
    with pytest.raises(FeatureStoreError, match=r"the store .*store does not say which backbone"):
        bare.check_backbone(known)
    with pytest.raises(FeatureStoreError, match="what it is compared with does not say which backbone"):
        known.check_backbone({})


def test_unknown_column(store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="`name` must be one of 'features', 'labels', 'ids', 'year', 'name', got 'x'"):
        store.column("x")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_features": 0}, ValueError, "`num_features` must be at least 1, got 0"),
        ({"num_features": 2.0}, TypeError, "`num_features` must be an integer"),
        ({"dtype": "float64"}, ValueError, "`dtype` must be one of 'float32', 'float16', 'bfloat16', got 'float64'"),
        ({"dtype": torch.int8}, ValueError, "`dtype` must be one of .*, got 'torch.int8'"),
        ({"dtype": object()}, ValueError, "`dtype` must be one of"),
        ({"shard_rows": 0}, ValueError, "`shard_rows` must be at least 1, got 0"),
        ({"metadata": [1]}, TypeError, "`metadata` must be a dictionary, got list"),
        ({"metadata": {1: 2}}, TypeError, "`metadata` must have strings as keys, got 1"),
        ({"metadata": {"a": object()}}, TypeError, "`metadata` must be what JSON can hold"),
        ({"metadata": {"a": float("nan")}}, TypeError, "`metadata` must be what JSON can hold"),
    ],
)
def test_bad_arguments_of_create(tmp_path: Path, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FeatureStore.create(tmp_path / "s", **{"num_features": 2, **options})
    assert not (tmp_path / "s").exists()
