"""Folders, arrays, tables and lists: the same rows whatever the file system, and errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite.declaration import PicturesTable
from noisymodel.study.data.suite.pictures import LazyPictures
from noisymodel.study.data.suite.rows import Rows, identity
from study.data.suite.lookalikes import NAMES, encoded, folder, opened, pixels, write


def shades(rows: Rows) -> list[int]:
    """The shade of each picture."""
    assert rows.found.pictures is not None
    lazy = LazyPictures(rows.found.pictures, rows.order, PicturesTable(size=4))
    return (lazy[np.arange(len(lazy))].mean((1, 2, 3)) * 255).round().astype(int).tolist()


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_folder_is_in_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = opened(path=str(folder(tmp_path)))
    assert rows.classes == NAMES
    assert rows.codes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert shades(rows) == [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]
    scandir, listdir = os.scandir, os.listdir

    class Backwards:
        def __init__(self, path: Any) -> None:
            with scandir(path) as entries:
                self.entries = iter(list(entries)[::-1])

        def __enter__(self) -> Any:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

        def __next__(self) -> Any:
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Backwards)
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=True))
    assert opened(path=str(tmp_path)).found.names == rows.found.names


def test_folders_that_are_numbers(tmp_path: Path) -> None:
    rows = opened(path=str(folder(tmp_path, ("0", "10", "2"), 1)), labels="index")
    assert rows.codes.tolist() == [0, 10, 2]
    assert rows.classes is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "there is nothing at"),
        ({"readme.md": b""}, "holds no pictures"),
        ({"a.png": encoded(0)}, "has pictures but no folder for each class"),
        ({"a.png": encoded(0), "x/b.png": encoded(0)}, "has pictures beside its folders of classes, such as a.png"),
    ],
)
def test_folders_that_are_none(tmp_path: Path, content: dict[str, bytes], message: str) -> None:
    for name, own in content.items():
        write(tmp_path / "set" / name, own)
    with pytest.raises(ConfigError, match=f"config key `suite.pretraining.path`: .*{message}"):
        opened(path=str(tmp_path / "set"))


def test_a_file_where_a_folder_is_declared(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", "")
    with pytest.raises(ConfigError, match="there is no folder"):
        opened(path=str(tmp_path / "x.txt"), format="folder")


# ---- arrays ----------------------------------------------------------------------------------------------------------


def arrays(**changes: Any) -> dict[str, Any]:
    images = np.stack([pixels(10 * row, (4, 4)) for row in range(4)])
    return {"images": images, "labels": np.array([1, 0, 1, 0])} | changes


def test_npz_and_a_folder_of_npy_are_the_same(tmp_path: Path) -> None:
    classes = np.array(["no", "yes"])
    np.savez(tmp_path / "a.npz", **arrays(classes=classes))
    for name, array in arrays(classes=classes).items():
        write(tmp_path / "b" / "x", "")
        np.save(tmp_path / "b" / f"{name}.npy", array)
    for rows in (opened(path=str(tmp_path / "a.npz")), opened(path=str(tmp_path / "b"))):
        assert rows.classes == ("no", "yes")
        assert rows.codes.tolist() == [1, 0, 1, 0]
        assert shades(rows) == [0, 10, 20, 30]
    assert isinstance(opened(path=str(tmp_path / "b")).found.pictures.array, np.memmap)


def test_labels_of_arrays_are_texts_or_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays(labels=np.array(["x", "y", "x", "y"])))
    assert opened(path=str(tmp_path / "a.npz")).classes == ("x", "y")
    np.savez(tmp_path / "b.npz", **arrays())
    assert opened(path=str(tmp_path / "b.npz"), labels="index").classes is None
    assert opened(path=str(tmp_path / "b.npz"), labels="index", classes=("p", "q")).classes == ("p", "q")


def test_arrays_of_texts_and_captions(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", texts=np.array(["one", "two"]), labels=np.array([0, 1]))
    assert opened(path=str(tmp_path / "a.npz")).chosen_texts() == [("one",), ("two",)]
    np.savez(tmp_path / "b.npz", **arrays(captions=np.array(["a", "b", "c", "d"])))
    assert opened(path=str(tmp_path / "b.npz")).chosen_captions()[3] == ("d",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pictures": np.zeros(3)}, "no array `images` or `texts`, only pictures"),
        (arrays(labels=np.array([1, 0])), "differ in their number of rows: images 4, labels 2"),
        (arrays(labels=np.zeros(4)), r"`labels` must be integers or texts, one a row; got float64 \(4,\)"),
        (arrays(classes=np.array(["one"])), "`labels` must be from 0 to 0, got 0 to 1"),
        (arrays(images=np.zeros((0, 4, 4)), labels=np.zeros(0, int)), "holds no rows"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ConfigError, match=message):
        opened(path=str(tmp_path / "a.npz"))


def test_no_pickle_and_no_rubbish(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ConfigError, match=r"a.npz cannot be read as NumPy arrays: .*allow_pickle=False"):
        opened(path=str(tmp_path / "a.npz"))
    write(tmp_path / "b.npz", b"PK\3\4 rubbish")
    with pytest.raises(ConfigError, match=r"b.npz cannot be read as NumPy arrays"):
        opened(path=str(tmp_path / "b.npz"))


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_with_paths(tmp_path: Path, ending: str) -> None:
    folder(tmp_path / "pictures")
    values = {"file": ["dog/1.png", "ant/0.png"], "kind": ["dog", "ant"], "said": ["a dog", "an ant"]}
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        parquet.write_table(pyarrow.table(values), path)
    elif ending == "jsonl":
        write(
            path,
            "".join(
                f'{{"file": "{f}", "kind": "{k}", "said": "{s}"}}\n' for f, k, s in zip(*values.values(), strict=True)
            ),
        )
    else:
        mark = {"csv": ",", "tsv": "\t"}[ending]
        write(path, "\n".join(mark.join(row) for row in [list(values), *zip(*values.values(), strict=True)]) + "\n")
    rows = opened(
        path=str(path), root=str(tmp_path / "pictures"), path_column="file", label_column="kind", caption_column="said"
    )
    assert rows.classes == ("ant", "dog")
    assert rows.codes.tolist() == [1, 0]
    assert shades(rows) == [31, 0]
    assert rows.chosen_captions() == [("a dog",), ("an ant",)]


def test_tables_of_texts_in_several_files(tmp_path: Path) -> None:
    write(tmp_path / "part-1.csv", "text,other,label\none,uno,1\n")
    write(tmp_path / "part-0.csv", "text,other,label\nzero,nulla,0\nnone,niente,-1\n")
    rows = opened(
        path=str(tmp_path / "part-*.csv"), format="table", text_pair_column="other", labels="index",
        classes=("no", "yes"), drop_labels=("-1",),
    )  # fmt: skip
    assert rows.chosen_texts() == [("zero", "nulla"), ("one", "uno")]
    assert rows.codes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("a,b\n1,2\n", {}, "has no column 'path' or 'text', only a, b"),
        ("path,label\nx.png,1\n", {}, "names files that are not there: .*x.png"),
        ("text,label\nx,1\n", {"label_column": "lable"}, "has no column 'lable', only 'text', 'label'"),
        ("text,label\nx,1\ny\n", {}, "line 3: 1 fields, the header has 2"),
        ("text,label\n", {}, "holds no rows"),
        ("text,label\nx,one\n", {"labels": "index"}, "label 'one' is no integer"),
        ("text,label\nx,-1\n", {"labels": "index"}, "label -1 is not at least 0; `drop_labels` leaves rows out"),
        ("text,label\nx,2\n", {"labels": "index", "classes": ("a", "b")}, "label 2 is not of 0 to 1"),
        ("text,label\nx,c\n", {"classes": ("a", "b")}, "labels 'c' are not among the 2 classes given"),
        ("text,label\nx,c\n", {"drop_labels": ("c",)}, "all rows have labels of `drop_labels`"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, content: str, more: dict[str, Any], message: str) -> None:
    write(tmp_path / "a.csv", content)
    with pytest.raises(ConfigError, match=message):
        opened(path=str(tmp_path / "a.csv"), **more)


def test_classes_in_a_file(tmp_path: Path) -> None:
    write(tmp_path / "names.txt", "yes\nno\n\n")
    write(tmp_path / "a.csv", "text,label\nx,no\ny,yes\n")
    rows = opened(tmp_path, path="a.csv", classes_file="names.txt")
    assert rows.classes == ("yes", "no")
    assert rows.codes.tolist() == [1, 0]
    write(tmp_path / "names.txt", "yes\nyes\n")
    with pytest.raises(ConfigError, match=r"names.txt must have distinct names"):
        opened(tmp_path, path="a.csv", classes_file="names.txt")
    with pytest.raises(ConfigError, match=r"the list .*none.txt cannot be read"):
        opened(tmp_path, path="a.csv", classes_file="none.txt")


# ---- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "more", "labels"),
    [
        ("ant/0.png 7\n\n# a remark\ndog/1.png 3\n", {}, ["7", "3"]),
        ("ant/0.png big ant\ndog/1.png DC-3\n", {"label_from": "rest"}, ["big ant", "DC-3"]),
        ("ant/0 1\ndog/1 2\n", {"file_pattern": "{}.png", "label_from": "folder"}, ["ant", "dog"]),
    ],
)
def test_lists(tmp_path: Path, lines: str, more: dict[str, str], labels: list[str]) -> None:
    folder(tmp_path / "x")
    write(tmp_path / "lists" / "train.txt", lines)
    rows = opened(tmp_path, path="lists/train.txt", root="x", **more)
    assert rows.found.labels == labels
    assert shades(rows) == [0, 31]


def test_labels_from_the_names_of_files(tmp_path: Path) -> None:
    write(tmp_path / "images/great_dane_12.jpg", encoded(3))
    write(tmp_path / "list.txt", "great_dane_12 1 1 1\n")
    rows = opened(path=str(tmp_path / "list.txt"), file_pattern="images/{}.jpg", label_from="stem")
    assert rows.classes == ("great_dane",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ant/0.png 1\nant/9.png 1\nant/8.png 1\n", "names files that are not there: .*9.png and 1 more"),
        ("ant/0.png\n", "line 1: no label in 'ant/0.png'"),
        ("", "holds no rows"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, lines: str, message: str) -> None:
    folder(tmp_path)
    write(tmp_path / "a.txt", lines)
    with pytest.raises(ConfigError, match=message):
        opened(path=str(tmp_path / "a.txt"))


def test_formats_are_guessed_or_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", "")
    with pytest.raises(ConfigError, match=r"the format does not follow from the ending; `format` is one of folder"):
        opened(path=str(tmp_path / "a.xyz"))
    with pytest.raises(ConfigError, match=r"`suite.pretraining.format`: .*did you mean 'folder'\?"):
        opened(path=str(tmp_path / "a.xyz"), format="fodler")
    with pytest.raises(ConfigError, match=r"there is nothing at .*gone.csv"):
        opened(path=str(tmp_path / "gone.csv"))


def test_files_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    write(tmp_path / "a.txt", "ant/0.png 1\ndog/1.png 2\n")
    looks: list[str] = []
    stat = Path.stat

    def counted(path: Path, **keywords: bool) -> os.stat_result:
        looks.append(path.name)
        return stat(path, **keywords)

    monkeypatch.setattr(Path, "stat", counted)
    rows = opened(path=str(tmp_path / "a.txt"))
    identity([rows])
    assert sorted(name for name in looks if name.endswith("png")) == ["0.png", "1.png"]
    (tmp_path / "dog/1.png").unlink()
    (tmp_path / "dog/1.png").mkdir()
    with pytest.raises(ConfigError, match=r"names files that are not there: .*1\.png"):
        opened(path=str(tmp_path / "a.txt"))
