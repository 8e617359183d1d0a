"""Readers of the special formats of public data sets; none uses pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputFileError
from ....files import read_json
from .declaration import SetTable
from .pictures import ArrayPictures, FilePictures
from .places import matching, read_lines
from .rows import Found, named, numbered

_CIFAR_PIXELS = 3 * 32 * 32


def read_cifar(path: Path, _: SetTable) -> Found:
    """CIFAR-10 (one byte of label) and CIFAR-100 (a coarse and a fine label; the fine one counts) in binary form."""
    files = matching(path)
    folder = files[0].parent
    ten, hundred = folder / "batches.meta.txt", folder / "fine_label_names.txt"
    names = hundred if hundred.is_file() else ten
    head = 2 if names == hundred else 1
    classes = tuple(filter(None, read_lines(names)))
    parts: list[NDArray[np.uint8]] = []
    for file in files:
        content = np.fromfile(file, dtype=np.uint8)
        if not len(content) or len(content) % (head + _CIFAR_PIXELS):
            raise InputFileError(f"{file} is cut off, or not the binary version of CIFAR-{10 if head == 1 else 100}")
        parts.append(content.reshape(-1, head + _CIFAR_PIXELS))
    rows = np.concatenate(parts)
    return Found(
        str(path),
        numbered(len(rows)),
        named(rows[:, head - 1], classes, path),
        classes,
        pictures=ArrayPictures(rows[:, head:].reshape(-1, 3, 32, 32), str(path)),
        lists=(names,),
        files=tuple(files),
    )


def read_svhn(path: Path, _: SetTable) -> Found:
    """SVHN's cropped digits: ``X`` (32, 32, 3, n) and ``y``, where 10 is the digit 0."""
    content = _matlab(path, ("X", "y"))
    digits = np.asarray(content["y"]).reshape(-1).astype(np.int64) % 10
    classes = tuple(map(str, range(10)))
    return Found(
        str(path),
        numbered(len(digits)),
        named(digits, classes, path),
        classes,
        pictures=ArrayPictures(np.ascontiguousarray(np.asarray(content["X"]).transpose(3, 0, 1, 2)), str(path)),
        files=(path,),
    )


def read_flowers(path: Path, table: SetTable) -> Found:
    """Flowers-102: ``jpg/image_00001.jpg``, ``imagelabels.mat``, ``setid.mat``.

    Split ``train`` is the published training and validation part together.
    """
    parts = {"train": ("trnid", "valid"), "test": ("tstid",)}
    if table.split not in parts:
        raise InputFileError(f"{path}: `split` must be train or test, got {table.split!r}")
    labels, splits = path / "imagelabels.mat", path / "setid.mat"
    numbers = np.asarray(_matlab(labels, ("labels",))["labels"]).reshape(-1).astype(np.int64)
    content = _matlab(splits, parts[table.split])
    chosen = np.concatenate([np.asarray(content[part]).reshape(-1).astype(np.int64) for part in parts[table.split]])
    paths = [f"jpg/image_{number:05d}.jpg" for number in chosen]
    return _in_files(path, paths, [f"{numbers[number - 1]:03d}" for number in chosen], None, (labels, splits))


def read_cars(path: Path, table: SetTable) -> Found:
    """Stanford Cars, with the labels of its development kit.

    ``cars_train`` with ``devkit/cars_train_annos.mat``, ``cars_test`` with ``cars_test_annos_withlabels.mat``, classes
    in ``devkit/cars_meta.mat``.
    """
    annotations = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    if table.split not in annotations:
        raise InputFileError(f"{path}: `split` must be train or test, got {table.split!r}")
    lists = (path / "devkit/cars_meta.mat", path / annotations[table.split])
    classes = tuple(str(name) for name in np.atleast_1d(_matlab(lists[0], ("class_names",))["class_names"]))
    rows = np.atleast_1d(_matlab(lists[1], ("annotations",))["annotations"])
    paths = [f"cars_{table.split}/{row['fname']}" for row in rows]
    numbers = np.array([int(row["class"]) - 1 for row in rows])
    return _in_files(path, paths, named(numbers, classes, path), classes, lists)


def read_video_frames(path: Path, _: SetTable) -> Found:
    """ImageNet-Vid-Robust, single frames.

    The anchor frames of ``metadata/pmsets.json`` with the first label of each in ``metadata/labels.json``; classes are
    the 30 synsets of ``misc/imagenet_vid_class_index.json``.
    """
    names = ("metadata/pmsets.json", "metadata/labels.json", "misc/imagenet_vid_class_index.json")
    lists = tuple(path / name for name in names)
    anchors, labels, index = (read_json(file) for file in lists)
    classes = tuple(index[str(number)][0] for number in range(len(index)))
    paths = sorted(anchors)
    numbers = np.array([int(labels[name][0]) for name in paths])
    return _in_files(path, paths, named(numbers, classes, path), classes, lists)


def _in_files(
    folder: Path, paths: list[str], labels: list[str], classes: tuple[str, ...] | None, lists: tuple[Path, ...]
) -> Found:
    return Found(str(folder), paths, labels, classes, pictures=FilePictures(folder, paths), lists=lists)


def _matlab(path: Path, names: tuple[str, ...]) -> Mapping[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found: Mapping[str, Any] = loadmat(path, squeeze_me=True)
    except (OSError, ValueError, NotImplementedError, TypeError, MatReadError) as error:
        raise InputFileError(f"{path} cannot be read as a MATLAB file: {error}") from None
    absent = [name for name in names if name not in found]
    if absent:
        raise InputFileError(f"{path} has no variable {absent[0]!r}")
    return found
