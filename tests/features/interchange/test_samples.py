"""WebDataset in and out."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.errors import InputFileError, MissingExtraError
from noisymodel.features import FeatureStore, from_webdataset, to_webdataset
from noisymodel.features.interchange import importing

webdataset = pytest.importorskip("webdataset")
Make = Callable[..., FeatureStore]


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values), allow_pickle=True)
    return stream.getvalue()


def tar(path: Path, *samples: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for number, sample in enumerate(samples):
            for name, content in sample.items():
                info = tarfile.TarInfo(f"k{number}.{name}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("dtype", "batch_rows"), [("float32", 1), ("float16", 4), ("bfloat16", 100)])
def test_round_trip(make: Make, tmp_path: Path, dtype: str, batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", batch_rows)
    store = make(dtype=dtype)
    files = to_webdataset(store, tmp_path / "w", rows_per_file=10)
    assert [path.name for path in files] == ["000000.tar", "000001.tar", "000002.tar"]
    for number, source in enumerate([tmp_path / "w", files, [str(name) for name in files]]):
        other = from_webdataset(source, tmp_path / str(number), dtype=dtype, metadata={"a": 1}, shard_rows=9)
        assert torch.equal(other.features[:], store.features[:])
        assert set(other.columns) == set(store.columns)
        for name in ("labels", "year"):
            assert np.array_equal(np.asarray(other.column(name)), np.asarray(store.column(name)))
        assert list(other.ids or []) == list(store.ids or [])
        assert list(other.column("name")) == list(store.column("name"))
        assert other.metadata == {"a": 1}
        assert [shard.rows for shard in other._manifest.shards] == [9, 9, 7]


def test_webdataset_itself_reads_the_files(store: FeatureStore, tmp_path: Path) -> None:
    files = to_webdataset(store, tmp_path / "w", rows_per_file=100)
    with files[0].open("rb") as stream:
        samples = list(webdataset.tariterators.group_by_keys(
            webdataset.tariterators.tar_file_expander(iter([{"url": "x", "stream": stream}]))
        ))  # fmt: skip
    assert [sample["__key__"] for sample in samples] == [f"{row:012d}" for row in range(25)]
    decoded = webdataset.autodecode.Decoder([])(dict(samples[4]))
    assert decoded["cls"] == 1
    assert decoded["features.npy"].tolist() == store.features[4].tolist()
    assert decoded["ids.txt"] == "é4"


def test_files_are_the_same_each_time(store: FeatureStore, tmp_path: Path) -> None:
    first, second = (to_webdataset(store, tmp_path / name)[0].read_bytes() for name in "ab")
    assert first == second


def test_soft_labels_and_keys(tmp_path: Path) -> None:
    samples = [{"features.npy": npy([1.0, i]), "labels.npy": npy(np.float32([0.5, 0.5]))} for i in range(3)]
    store = from_webdataset(str(tar(tmp_path / "x.tar", *samples)), tmp_path / "s")
    assert list(store.ids or []) == ["k0", "k1", "k2"]
    assert store.labels is not None
    assert store.labels.shape == (3, 2)
    with FeatureStore.create(tmp_path / "t", num_features=2) as other:
        other.append(store.features[:], store.labels[:], [5, 6, 7])
    again = from_webdataset(to_webdataset(other, tmp_path / "w"), tmp_path / "again")
    assert torch.equal(again.column("labels")[:], other.column("labels")[:])  # pyright: ignore[reportArgumentType] - tensors
    assert again.ids is not None
    assert np.asarray(again.ids).tolist() == [5, 6, 7]


def test_entries_by_name_and_any_iterable(tmp_path: Path) -> None:
    samples = (
        {"__key__": str(i), "x.npy": npy([i, 1.0]), "y.cls": b"3", "n.txt": b"n", "z.json": b"{}"} for i in range(5)
    )
    store = from_webdataset(samples, tmp_path / "s", features="x.npy", labels="y.cls", ids="n.txt", columns=["z.json"])
    assert store.columns == ("features", "labels", "ids", "z")
    assert list(store.ids or []) == ["n"] * 5
    assert store.labels is not None
    assert store.labels[:].tolist() == [3] * 5


GOOD = {"features.npy": npy([1.0]), "cls": b"0"}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([GOOD, {"cls": b"0"}], r"the sample 'k1' in .*x.tar has no entry features.npy: it has __key__"),
        ([GOOD, {"features.npy": npy([1.0])}], "the sample 'k1' in .* has no entry cls"),
        ([{"features.npy": b"x", "cls": b"0"}], "the entry features.npy of the sample 'k0' in .*x.tar cannot be read"),
        ([{"features.npy": npy([1.0]), "cls": b"zero"}], "the entry cls of the sample 'k0' .* cannot be read"),
        ([{"features.npy": npy([None]), "cls": b"0"}], "the entry features.npy .* cannot be read .*pickle"),
        ([GOOD, {"features.npy": npy([1.0, 2.0]), "cls": b"0"}], r"the entries features.npy .* got \(1,\) and \(2,\)"),
    ],
)  # fmt: skip
def test_samples_that_do_not_fit(tmp_path: Path, samples: list[dict[str, bytes]], message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        from_webdataset(tar(tmp_path / "x.tar", *samples), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("nonsense")
    with pytest.raises(InputFileError, match=r"x.tar is no tar file, or damaged"):
        from_webdataset(tmp_path / "x.tar", tmp_path / "s")
    (tmp_path / "w").mkdir()
    with pytest.raises(InputFileError, match=r"w has no file \*.tar"):
        from_webdataset(tmp_path / "w", tmp_path / "s")
    with pytest.raises(ValueError, match="the samples must have rows, got none"):
        from_webdataset(iter([]), tmp_path / "s")


def test_bad_arguments(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`rows_per_file` must be at least 1, got 0"):
        to_webdataset(store, tmp_path / "w", rows_per_file=0)
    samples = [{"__key__": "a", "features.npy": npy([np.nan])}]
    with pytest.raises(ValueError, match="NaN or infinity"):
        from_webdataset(samples, tmp_path / "s")
    assert len(from_webdataset(samples, tmp_path / "s", allow_nonfinite=True)) == 1


def test_missing_extra(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    for call in (lambda: to_webdataset(store, tmp_path / "w"), lambda: from_webdataset([], tmp_path / "s")):
        with pytest.raises(MissingExtraError, match=r"`webdataset` is needed for .*noisymodel\[webdataset\]"):
            call()
