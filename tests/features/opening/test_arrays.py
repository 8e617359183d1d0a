"""Arrays in files: damage and early ends are found while they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_is_found_at_the_end(save, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save(path, x=features())
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    file = open_file(path)
    with pytest.raises(InputFileError, match=r"x\.npz is no .npz archive, or damaged|x.npz is damaged: the array 'x'"):
        list(file.blocks(0, 230, 50))


def test_columns_after_each_other_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.asfortranarray(features()))
    file = open_file(tmp_path / "x.npz")
    np.testing.assert_array_equal(torch.cat(list(file.blocks(3, 230, 50))).numpy(), features()[3:])
    np.testing.assert_array_equal(file.array(), features())


def test_other_arrays_of_the_archive_may_be_anything(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", names=np.array(["a", None], dtype=object), x=features(), k=np.float32(3))
    assert open_file(tmp_path / "x.npz").key == "x"
