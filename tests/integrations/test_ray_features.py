"""Features of Ray datasets: those of one process and in order, also where workers are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisymodel import FeatureStore
from noisymodel.errors import FeatureStoreError, MissingExtraError
from noisymodel.features import extract

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning",
        "ignore::FutureWarning",
        "ignore::ResourceWarning",
        "ignore:.*:pytest.PytestWarning",
    ),  # Ray's own
]


class Dying(nn.Module):
    """A linear layer whose process is killed in the first pass of row 40, once."""

    def __init__(self, marks: str = "") -> None:
        super().__init__()
        self.layer, self.marks = nn.Linear(3, 2), marks

    def forward(self, rows: Tensor) -> Tensor:
        if self.marks:
            Path(self.marks, f"{int(rows[0, 0])}").touch()
            if 40 in rows[:, 0] and not Path(self.marks, "died").exists():
                Path(self.marks, "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(rows)


def backbone(marks: str = "") -> Dying:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Dying(marks)


def rows(count: int) -> np.ndarray:
    return np.stack([[float(index), 1.0, index % 7] for index in range(count)]).astype(np.float32)


def dataset(ray, count: int, first: int = 0):
    items = [{"x": rows(count)[index], "y": index % 3, "key": f"row {index}"} for index in range(first, count)]
    return ray.data.from_items(items, override_num_blocks=5)


def test_the_store_is_that_of_one_process_though_a_worker_dies(ray, tmp_path: Path) -> None:
    from noisymodel.integrations.ray import extract as ray_extract

    marks = tmp_path / "marks"
    marks.mkdir()
    options = {"column": "x", "labels": "y", "ids": "key", "batch_size": 8}
    store = ray_extract(dataset(ray, 100), backbone(str(marks)), tmp_path / "store", **options)
    assert (marks / "died").exists()
    alone = extract(backbone(), [torch.from_numpy(rows(100))], tmp_path / "alone")
    torch.testing.assert_close(store[:], alone[:])
    assert store.labels is not None
    assert store.labels[:].tolist() == [index % 3 for index in range(100)]
    assert list(store.ids[:]) == [f"row {index}" for index in range(100)]
    assert store.metadata["weights"] == alone.metadata["weights"]
    for mark in marks.iterdir():
        mark.unlink()
    (marks / "died").touch()
    more = ray_extract(dataset(ray, 130), backbone(str(marks)), tmp_path / "store", **options)
    assert len(more) == 130
    assert min(int(mark.name) for mark in marks.iterdir() if mark.name != "died") >= 100  # the others were there
    with pytest.raises(FeatureStoreError, match=r"the same (rows|data) in the same order"):
        ray_extract(dataset(ray, 130, first=3), backbone(str(marks)), tmp_path / "store", **options)
    again = ray_extract(dataset(ray, 140), backbone(), tmp_path / "plain", column="x", batch_size=8)
    torch.testing.assert_close(again[:130], more[:])


def test_parquet_files_are_written_by_the_workers(ray, tmp_path: Path) -> None:
    from noisymodel.features import from_parquet
    from noisymodel.integrations.ray import extract as ray_extract

    ray_extract(dataset(ray, 40), backbone(), tmp_path / "files", column="x", ids="key", parquet=True)
    found = ray.data.read_parquet(str(tmp_path / "files")).take_all()
    wanted = extract(backbone(), [torch.from_numpy(rows(40))], tmp_path / "alone")
    assert len(found) == 40
    for row in found:
        place = int(row["ids"].removeprefix("row "))
        np.testing.assert_allclose(row["features"], wanted[place], rtol=1e-5)
    assert from_parquet


class Lengths:
    metadata = {"backbone": "lengths"}  # noqa: RUF012 - never changed

    def embed(self, texts, *, received=None):
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_texts_through_an_api(ray, tmp_path: Path) -> None:
    from noisymodel.integrations.ray import embed

    texts = ray.data.from_items([{"text": "x" * (index + 1), "key": index} for index in range(30)])
    options = {"client": Lengths(), "column": "text", "ids": "key", "batch_size": 4}
    store = embed(texts, tmp_path / "store", **options)
    assert store[:][:, 0].tolist() == list(range(1, 31))
    assert len(embed(texts, tmp_path / "store", **options)) == 30
    assert isinstance(store, FeatureStore)


def test_ray_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisymodel.integrations.ray import extract as ray_extract

    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"noisymodel\[ray\]"):
        ray_extract(None, backbone(), tmp_path / "store", column="x")  # type: ignore[arg-type]
