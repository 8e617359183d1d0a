"""WebDataset shards are indexed once and read by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import webdataset

from noisymodel.errors import ConfigError, InputFileError
from noisymodel.study.data.suite.declaration import PicturesTable
from noisymodel.study.data.suite.pictures import LazyPictures
from study.data.suite.lookalikes import encoded, opened, shard, tar


def test_shards_in_any_order(tmp_path: Path) -> None:
    shard(tmp_path / "b.tar", 3)
    shard(tmp_path / "a.tar", 0)
    rows = opened(path=str(tmp_path), labels="index")
    assert rows.codes.tolist() == [0, 1, 0, 1, 0, 1]
    assert rows.chosen_captions()[4] == ("a picture 4",)
    assert rows.found.pictures is not None
    lazy = LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=4))
    shades = lazy[np.array([5, 0, 3])].mean((1, 2, 3)) * 255
    assert np.allclose(shades, [50, 0, 30], atol=2), "JPEG is not exact"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_the_same_samples_as_webdataset_reads(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", 0)
    stream = webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8")
    theirs = [(sample["cls"], sample["txt"], sample["jpg"]) for sample in stream]
    rows = opened(path=str(path), labels="index")
    assert [label for label, _, _ in theirs] == rows.codes.tolist()
    assert [(text,) for _, text, _ in theirs] == rows.chosen_captions()
    assert rows.found.pictures is not None
    assert all(np.array_equal(theirs[row][2], np.asarray(rows.found.pictures.read(row))) for row in range(3))


def test_members_by_name_and_keys_of_json(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", 0, caption=None)
    rows = opened(path=str(path), caption_column="json:alt", labels="index")
    assert rows.chosen_captions() == [("alt 0",), ("alt 1",), ("alt 2",)]
    assert opened(path=str(path)).found.captions is None
    rows = opened(path=str(tmp_path / "{a,a}.tar"), label_column="json:width")
    assert rows.classes == ("5",)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"x/1.png": encoded(1), "x/2.png": b"no picture"})
    rows = opened(path=str(path))
    assert rows.found.pictures is not None
    with pytest.raises(InputFileError, match=r"a\.tar, sample x/2 cannot be read as a picture"):
        LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=4))[np.array([0, 1])]


def test_shards_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no .tar shards"):
        opened(path=str(tmp_path / "empty"), format="webdataset")
    tar(tmp_path / "a.tar", {"1.txt": b"words alone"})
    with pytest.raises(ConfigError, match=r"a\.tar, sample 1: it has no picture \(\.jpg"):
        opened(path=str(tmp_path / "a.tar"))
    tar(tmp_path / "b.tar", {"1.png": encoded(1), "1.cls": b"0", "2.png": encoded(2)})
    with pytest.raises(ConfigError, match=r"1 of 2 samples have a \.cls with the label"):
        opened(path=str(tmp_path / "b.tar"))
    tar(tmp_path / "c.tar", {"1.png": encoded(1)})
    with pytest.raises(ConfigError, match=r"0 of 1 samples have a \.text with the caption"):
        opened(path=str(tmp_path / "c.tar"), caption_column="text")
    tar(tmp_path / "d.tar", {"1.png": encoded(1), "1.txt": b"\xff\xfe"})
    with pytest.raises(ConfigError, match=r"d\.tar, 1\.txt: .*can't decode"):
        opened(path=str(tmp_path / "d.tar"))
    (tmp_path / "e.tar").write_bytes(b"rubbish" * 100)
    with pytest.raises(ConfigError, match=r"e\.tar is damaged"):
        opened(path=str(tmp_path / "e.tar"))


@pytest.mark.parametrize("rest", [0, 3, 700, 1100, 1536])
def test_a_shard_that_is_cut_off_is_no_shard(tmp_path: Path, rest: int) -> None:
    whole = shard(tmp_path / "a.tar", 0).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) - 10240 * (len(whole) // 10240 - 1) - rest])
    with pytest.raises(ConfigError, match=r"a.tar"):
        opened(path=str(tmp_path / "a.tar"))
