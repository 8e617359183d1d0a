"""Archives: damage inside, arrays that cannot be read by rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.features.opening import archives, open_file
from spectrum_files.conftest import features


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


def test_columns_after_each_other_are_read_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", x=np.asfortranarray(features()))
    assert open_file(tmp_path / "x.npz").num_rows == 230
    monkeypatch.setattr(archives, "_WHOLE", 1000)
    with pytest.raises(InputFileError, match=r"'x' lies column after column .* save np.ascontiguousarray of it"):
        open_file(tmp_path / "x.npz")


def test_other_arrays_of_the_archive_may_be_anything(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", names=np.array(["a", None], dtype=object), x=features(), k=np.float32(3))
    assert open_file(tmp_path / "x.npz").key == "x"
