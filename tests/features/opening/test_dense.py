"""Matrices that lie in a file as bytes: a file that ends early is found while it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.features.opening import open_file
from spectrum_files.conftest import features


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_that_shrinks_is_damaged(order: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.require(features(), requirements=[order]))
    file = open_file(path)
    with path.open("r+b") as handle:
        handle.truncate(3000)
    with pytest.raises(InputFileError, match=r"x\.npy ends before its last row: it is damaged or still being written"):
        list(file.blocks(0, 230, 50))


def test_long_doubles_and_odd_versions(tmp_path: Path) -> None:
    rows = features().astype(np.longdouble)
    np.save(tmp_path / "long.npy", rows)
    block = next(open_file(tmp_path / "long.npy").blocks(0, 230, 230))
    np.testing.assert_array_equal(block.numpy(), rows.astype(np.float64))
    with (tmp_path / "second.npy").open("wb") as file:
        np.lib.format.write_array(file, features(), version=(2, 0))
    np.testing.assert_array_equal(next(open_file(tmp_path / "second.npy").blocks(0, 230, 230)).numpy(), features())
