"""Imports stream, and leave a whole store or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel.features import FeatureStore
from noisymodel.features.interchange.importing import Chunk, as_array, import_chunks

OPTIONS: dict[str, Any] = {
    "source": "the source",
    "dtype": None,
    "metadata": None,
    "shard_rows": 2,
    "allow_nonfinite": False,
}


def chunks(count: int, dtype: Any = np.float32) -> Iterator[Chunk]:
    for number in range(count):
        yield Chunk(np.full((2, 3), number, dtype=dtype), [number] * 2)


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    committed: list[int] = []

    def watched() -> Iterator[Chunk]:
        for chunk in chunks(4):
            yield chunk
            committed.append(len(list(tmp_path.glob(".s.*.partial/shard-*"))))
            assert not (tmp_path / "s").exists()

    store = import_chunks(watched(), tmp_path / "s", **OPTIONS)
    assert committed == [1, 2, 3, 4]
    assert store.features[:][:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(("given", "wanted"), [(np.float16, torch.float16), (np.float64, torch.float32)])
def test_the_dtype_is_that_of_the_first_rows(tmp_path: Path, given: Any, wanted: torch.dtype) -> None:
    assert import_chunks(chunks(1, given), tmp_path / "s", **OPTIONS).dtype == wanted
    other = import_chunks(chunks(1, given), tmp_path / "b", **{**OPTIONS, "dtype": "bfloat16", "metadata": {"a": 1}})
    assert (other.dtype, other.metadata) == (torch.bfloat16, {"a": 1})


def test_a_failed_import_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Chunk]:
        yield from chunks(2)
        yield Chunk(np.full((1, 3), np.nan), [0])

    with pytest.raises(ValueError, match=r"NaN or infinity in row 0 of these \(row 4 of the store\)"):
        import_chunks(broken(), tmp_path / "s", **OPTIONS)
    assert list(tmp_path.iterdir()) == []
    assert len(import_chunks(broken(), tmp_path / "s", **{**OPTIONS, "allow_nonfinite": True})) == 5


def test_what_a_killed_import_left_is_deleted_and_a_running_one_is_not(tmp_path: Path) -> None:
    left = FeatureStore.create(tmp_path / ".s.0123456789ab.partial", num_features=7)
    assert import_chunks(chunks(1), tmp_path / "s", **OPTIONS).shape == (2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.0123456789ab.partial", "s"]
    left.close()
    (tmp_path / ".t.0123456789ab.partial").mkdir()
    import_chunks(chunks(1), tmp_path / "t", **OPTIONS)
    (tmp_path / ".s.keep.partial").mkdir()
    shutil.rmtree(tmp_path / "s")
    import_chunks(chunks(1), tmp_path / "s", **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.keep.partial", "s", "t"]


def test_two_imports_into_one_folder_end_with_one_store(tmp_path: Path) -> None:
    def slow() -> Iterator[Chunk]:
        yield from chunks(2)
        import_chunks(chunks(1), tmp_path / "s", **OPTIONS)

    with pytest.raises(FileExistsError, match="s exists already"):
        import_chunks(slow(), tmp_path / "s", **OPTIONS)
    assert len(FeatureStore.open(tmp_path / "s")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(FileExistsError, match="s exists already: choose a path that does not"):
        import_chunks(chunks(1), tmp_path / "s", **OPTIONS)


def test_no_rows_and_no_matrix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the source must have rows, got none"):
        import_chunks(chunks(0), tmp_path / "s", **OPTIONS)
    with pytest.raises(ValueError, match=r"the features in the source must have shape \(N, D\), got rows \(\)"):
        import_chunks([Chunk(np.zeros(3))], tmp_path / "s", **OPTIONS)


def test_bfloat16_becomes_float32() -> None:
    array = as_array(torch.ones(2, dtype=torch.bfloat16))
    assert (array.dtype, array.tolist()) == (np.float32, [1.0, 1.0])
    assert as_array(torch.ones(2, dtype=torch.float16)).dtype == np.float16
