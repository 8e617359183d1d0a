"""Formats of public data sets, on look-alikes of the published files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite.declaration import PicturesTable
from noisymodel.study.data.suite.pictures import LazyPictures
from noisymodel.study.data.suite.rows import Rows
from study.data.suite.lookalikes import encoded, opened, write


def shades(rows: Rows) -> list[list[int]]:
    """The mean of each channel of each picture."""
    assert rows.found.pictures is not None
    lazy = LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=32))
    return (lazy[np.arange(len(lazy))].mean((2, 3)) * 255).round().astype(int).tolist()


def cifar(labels: list[list[int]]) -> bytes:
    """Red of 10·row, green of 1, blue of 2."""
    rows = [bytes([*own, *[10 * row] * 1024, *[1] * 1024, *[2] * 1024]) for row, own in enumerate(labels)]
    return b"".join(rows)


def test_cifar_10_and_100(tmp_path: Path) -> None:
    write(tmp_path / "ten/batches.meta.txt", "airplane\nautomobile\n\n")
    write(tmp_path / "ten/data_batch_1.bin", cifar([[1], [0]]))
    write(tmp_path / "ten/data_batch_2.bin", cifar([[1]]))
    rows = opened(path=str(tmp_path / "ten/data_batch_{1..2}.bin"), format="cifar")
    assert rows.classes == ("airplane", "automobile")
    assert rows.codes.tolist() == [1, 0, 1]
    assert shades(rows) == [[0, 1, 2], [10, 1, 2], [0, 1, 2]]
    write(tmp_path / "hundred/fine_label_names.txt", "apple\nbear\n")
    write(tmp_path / "hundred/train.bin", cifar([[7, 1], [8, 0]]))
    rows = opened(path=str(tmp_path / "hundred/train.bin"), format="cifar")
    assert rows.codes.tolist() == [1, 0], "the fine label is the second byte"
    assert shades(rows) == [[0, 1, 2], [10, 1, 2]]


def test_cifar_that_is_cut_off_or_has_too_many_classes(tmp_path: Path) -> None:
    write(tmp_path / "batches.meta.txt", "airplane\n")
    write(tmp_path / "a.bin", cifar([[0]])[:-1])
    with pytest.raises(ConfigError, match=r"a\.bin is cut off, or not the binary version of CIFAR-10"):
        opened(path=str(tmp_path / "a.bin"), format="cifar")
    write(tmp_path / "b.bin", cifar([[3]]))
    with pytest.raises(ConfigError, match="`labels` must be from 0 to 0, got 3 to 3"):
        opened(path=str(tmp_path / "b.bin"), format="cifar")


def test_svhn(tmp_path: Path) -> None:
    pictures = np.zeros((32, 32, 3, 2), dtype=np.uint8)
    pictures[..., 0, 1], pictures[..., 2, 0] = 90, 30
    savemat(tmp_path / "test_32x32.mat", {"X": pictures, "y": np.array([[10], [4]])})
    rows = opened(path=str(tmp_path / "test_32x32.mat"), format="svhn")
    assert rows.codes.tolist() == [0, 4], "10 is the digit 0"
    assert shades(rows) == [[0, 0, 30], [90, 0, 0]]
    pictures[:16] = 255
    savemat(tmp_path / "top.mat", {"X": pictures, "y": np.array([[10], [4]])})
    flags = opened(path=str(tmp_path / "top.mat"), format="svhn").found.pictures
    assert flags is not None
    assert flags.read(0)[..., 0].mean(1).tolist() == [255] * 16 + [0] * 16, "rows come before columns"
    write(tmp_path / "bad.mat", "no matrix")
    with pytest.raises(ConfigError, match=r"bad\.mat cannot be read as a MATLAB file"):
        opened(path=str(tmp_path / "bad.mat"), format="svhn")
    savemat(tmp_path / "other.mat", {"Z": 1})
    with pytest.raises(ConfigError, match=r"other\.mat has no variable 'X'"):
        opened(path=str(tmp_path / "other.mat"), format="svhn")


def test_flowers(tmp_path: Path) -> None:
    for number in range(1, 6):
        write(tmp_path / f"jpg/image_{number:05d}.jpg", encoded(10 * number, "PNG"))
    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([[77, 77, 1, 2, 2]])})
    savemat(tmp_path / "setid.mat", {"trnid": [[3, 1]], "valid": [[4]], "tstid": [[5, 2]]})
    train = opened(path=str(tmp_path), format="flowers-102", split="train")
    assert train.classes == ("001", "002", "077")
    assert train.codes.tolist() == [0, 2, 1]
    assert [shade[0] for shade in shades(train)] == [30, 10, 40]
    test = opened(path=str(tmp_path), format="flowers-102", split="test")
    assert [test.classes[code] for code in test.codes] == ["002", "077"]
    with pytest.raises(ConfigError, match="`split` must be train or test, got 'val'"):
        opened(path=str(tmp_path), format="flowers-102", split="val")
    (tmp_path / "jpg/image_00002.jpg").unlink()
    with pytest.raises(ConfigError, match=r"names files that are not there: .*jpg/image_00002\.jpg"):
        opened(path=str(tmp_path), format="flowers-102", split="test")


def cars(root: Path) -> None:
    kind = [("fname", "O"), ("class", "O")]
    for part, name in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        (root / "devkit").mkdir(parents=True, exist_ok=True)
        rows = np.array([[("00001.jpg", 2), ("00002.jpg", 1)]], dtype=kind)
        savemat(root / name, {"annotations": rows})
        for number in (1, 2):
            write(root / f"cars_{part}/{number:05d}.jpg", encoded(10 * number, "PNG"))
    names = np.array([["AM General Hummer", "Acura RL"]], dtype=object)
    savemat(root / "devkit/cars_meta.mat", {"class_names": names})


def test_cars(tmp_path: Path) -> None:
    cars(tmp_path)
    for split in ("train", "test"):
        rows = opened(path=str(tmp_path), format="stanford-cars", split=split)
        assert rows.classes == ("AM General Hummer", "Acura RL")
        assert rows.codes.tolist() == [1, 0]
        assert [shade[0] for shade in shades(rows)] == [10, 20]
    with pytest.raises(ConfigError, match="`split` must be train or test, got ''"):
        opened(path=str(tmp_path), format="stanford-cars")


def test_video_frames(tmp_path: Path) -> None:
    write(tmp_path / "val/x/1.JPEG", encoded(10, "PNG"))
    write(tmp_path / "val/y/2.JPEG", encoded(20, "PNG"))
    write(tmp_path / "metadata/pmsets.json", json.dumps({"val/y/2.JPEG": ["val/y/3.JPEG"], "val/x/1.JPEG": []}))
    write(tmp_path / "metadata/labels.json", json.dumps({"val/x/1.JPEG": [1, 0], "val/y/2.JPEG": [0]}))
    write(tmp_path / "misc/imagenet_vid_class_index.json", json.dumps({"1": ["n02", "bear"], "0": ["n01", "cat"]}))
    rows = opened(path=str(tmp_path), format="imagenet-vid-robust")
    assert rows.classes == ("n01", "n02")
    assert rows.codes.tolist() == [1, 0], "anchors alone, the first label of each"
    assert [shade[0] for shade in shades(rows)] == [10, 20]
    write(tmp_path / "metadata/labels.json", "[]")
    with pytest.raises(ConfigError, match=r"labels\.json is damaged: it holds no JSON object"):
        opened(path=str(tmp_path), format="imagenet-vid-robust")
    write(tmp_path / "metadata/labels.json", "{")
    with pytest.raises(ConfigError, match=r"labels\.json is damaged: no JSON"):
        opened(path=str(tmp_path), format="imagenet-vid-robust")
