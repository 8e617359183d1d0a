"""Pictures become float32 of one size, whatever they were; what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisymodel.errors import InputFileError
from noisymodel.study.data.suite.declaration import PicturesTable
from noisymodel.study.data.suite.pictures import ArrayPictures, FilePictures, LazyPictures, prepared
from study.data.suite.lookalikes import encoded, pixels, write

RGB = PicturesTable(size=4)
GREY = PicturesTable(size=4, channels=1)


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards."""
    found = np.zeros((height, width, 3), dtype=np.uint8)
    found[..., 0] = np.linspace(0, 255, width)[None]
    found[..., 1] = np.linspace(0, 255, height)[:, None]
    return found


def test_a_picture_of_the_right_size_is_only_scaled() -> None:
    array = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    assert np.array_equal(prepared(Image.fromarray(array), RGB), array.transpose(2, 0, 1).astype(np.float32) / 255)
    assert prepared(array, RGB).dtype == np.float32
    assert np.array_equal(prepared(array, RGB), prepared(array.transpose(2, 0, 1), RGB))


def test_crop_keeps_the_centre_and_squash_keeps_all() -> None:
    wide = gradient(8, 24)
    crop = prepared(wide, PicturesTable(size=8))
    assert np.allclose(crop[0], (wide[:, 8:16, 0] / 255), atol=1e-6), "height is right already: nothing is resampled"
    squash = prepared(wide, PicturesTable(size=8, fit="squash"))
    assert squash[0, 0, 0] < 0.1
    assert squash[0, 0, -1] > 0.9
    close = prepared(gradient(32, 32), PicturesTable(size=8, shorter_side=16))
    assert 0.2 < close[0].min() < close[0].max() < 0.8, "the middle half of a picture of twice the size"


def test_colours_and_grey() -> None:
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    assert np.allclose(prepared(red, GREY), 0.299)
    assert np.allclose(prepared(Image.fromarray(red), GREY), 0.299, atol=0.005), "PIL rounds to 8 bits"
    assert prepared(pixels(255, (4, 4), 1), RGB).shape == (3, 4, 4)
    assert prepared(np.full((4, 4), 0.5), RGB).tolist() == np.full((3, 4, 4), 0.5).tolist()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "L", "1", "CMYK"])
def test_every_mode_of_pil_is_three_channels(mode: str) -> None:
    picture = Image.fromarray(gradient(6, 6)).convert(mode)
    found = prepared(picture, RGB)
    assert found.shape == (3, 4, 4)
    assert 0 <= found.min() < 0.5 < found.max() <= 1


def test_sixteen_bits_are_not_cut_off() -> None:
    deep = np.array([[0, 65535], [32768, 65535]], dtype=np.uint16)
    found = prepared(Image.fromarray(deep), PicturesTable(size=2, channels=1))
    assert np.allclose(found[0], [[0, 1], [0.5, 1]], atol=1e-4)


def test_border_is_cut_before_all_else() -> None:
    framed = np.full((8, 8, 3), 255, dtype=np.uint8)
    framed[2:-2, 2:-2] = 0
    assert prepared(framed, RGB, border=2).max() == 0
    with pytest.raises(ValueError, match="8 × 8 pixels, a border of 4 leaves none"):
        prepared(framed, RGB, border=4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 2), dtype=np.uint8), r"1 or 3 channels, got shape \(4, 4, 2\)"),
        (np.zeros((4, 4), dtype=np.int64), "pixels are int64, expected uint8"),
        (np.full((4, 4), 7.0), r"floating point of \[7, 7\], expected \[0, 1\]"),
        (np.full((4, 4), np.nan), "floating point of"),
        (np.full((4, 4), 70000, dtype=np.int32), "expected at most 16 bits"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(array, RGB)
    with pytest.raises(InputFileError, match=f"where.npz, row 0 cannot be read as a picture: .*{message}"):
        LazyPictures(ArrayPictures(array[None], "where.npz"), np.array([0]), RGB)[np.array([0])]


def test_rows_are_decoded_when_they_are_asked_for(tmp_path: Path) -> None:
    for row in range(5):
        write(tmp_path / f"{row}.png", encoded(50 * row))
    pictures = FilePictures(tmp_path, [f"{row}.png" for row in range(5)])
    for threads in (1, 3):
        lazy = LazyPictures(pictures, np.array([4, 2, 0, 2]), PicturesTable(size=4, threads=threads))
        assert lazy.shape == (4, 3, 4, 4)
        assert len(lazy) == 4
        shades = lazy[np.array([0, 3, 2])].mean((1, 2, 3)) * 255
        assert np.allclose(shades, [200, 100, 0], atol=1e-3)
    (tmp_path / "2.png").write_bytes(encoded(3)[:40])
    assert lazy[np.array([0])].shape == (1, 3, 4, 4), "a damaged neighbour does not matter"
    with pytest.raises(InputFileError, match=r"2\.png cannot be read as a picture"):
        lazy[np.array([0, 1])]
    (tmp_path / "2.png").unlink()
    with pytest.raises(InputFileError, match=r"2\.png cannot be read as a picture: .*No such file"):
        lazy[np.array([1])]
