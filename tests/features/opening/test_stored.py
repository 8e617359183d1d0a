"""Parquet: nulls and uneven lists are named with their row; folders; damage that shows while reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.features.opening import open_file
from spectrum_files.conftest import features, fixed_lists, parquet

arrow = pytest.importorskip("pyarrow")


def test_uneven_lists_are_named_by_row(tmp_path: Path) -> None:
    lists = [list(row) for row in features(90)]
    lists[71] = lists[71][:4]
    path = parquet(tmp_path / "x.parquet", {"features": lists}, row_group_size=40)
    with pytest.raises(InputFileError, match=r"x.parquet, row 71: 4 features, the first row has 6"):
        list(open_file(path).blocks(0, 90, 32))


def test_nulls_are_named_by_row(tmp_path: Path) -> None:
    lists: list[object] = [list(row) for row in features(90)]
    lists[33] = None
    path = parquet(tmp_path / "x.parquet", {"features": lists})
    with pytest.raises(InputFileError, match=r"x.parquet, row 33: 'features' is null; drop or fill such rows"):
        list(open_file(path).blocks(0, 90, 32))
    inner = [list(row) for row in features(90)]
    inner[40][2] = None
    path = parquet(tmp_path / "y.parquet", {"features": inner})
    with pytest.raises(InputFileError, match=r"y.parquet, from row 32: 'features' must have no nulls, got 1"):
        list(open_file(path).blocks(0, 90, 32))


def test_files_of_a_folder_must_fit(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", {"features": fixed_lists(features(20))})
    parquet(tmp_path / "b.parquet", {"features": fixed_lists(features(20, width=5))})
    file = open_file(tmp_path)
    assert file.num_rows == 40
    with pytest.raises(InputFileError, match=r"b.parquet, row 20: 5 features, the first row has 6"):
        list(file.blocks(0, 40, 32))
    parquet(tmp_path / "b.parquet", {"other": [1.0]})
    with pytest.raises(InputFileError, match=r"b.parquet has no column 'features', which .*a.parquet has"):
        open_file(tmp_path)


def test_whole_numbers_and_lists_among_columns(tmp_path: Path) -> None:
    rows = features(20)
    path = parquet(tmp_path / "x.parquet", {"c0": rows[:, 0], "c1": np.arange(20), "l": fixed_lists(rows)})
    block = next(open_file(path, "c*").blocks(0, 20, 20))
    np.testing.assert_allclose(block.numpy(), np.column_stack([rows[:, 0], np.arange(20)]))
    with pytest.raises(InputFileError, match="'l' is a column of lists, one of several: name one as the key"):
        open_file(path, "*")


def test_damage_inside_is_found_while_reading(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", {"features": fixed_lists(features())}, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"x\.parquet is no Parquet file, or damaged"):
        list(open_file(path).blocks(0, 230, 50))
