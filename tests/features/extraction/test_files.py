from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisymodel.errors import InputFileError
from noisymodel.features.extraction.files import PictureFolder, read_texts


def shape(picture: Image.Image) -> torch.Tensor:
    return torch.tensor(picture.size)


def fill(folder: Path, names: list[str]) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2 + index, 3, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_classes_are_folders(tmp_path: Path) -> None:
    found = PictureFolder(fill(tmp_path, ["dog/b.png", "cat/x/a.JPG", "dog/a.png"]), shape)
    (tmp_path / "dog" / "notes.txt").write_text("none")
    assert found.classes == ["cat", "dog"]
    assert found.paths == ["cat/x/a.JPG", "dog/a.png", "dog/b.png"]
    assert [found[index][1:] for index in range(3)] == [(0, "cat/x/a.JPG"), (1, "dog/a.png"), (1, "dog/b.png")]
    assert found[2][0].tolist() == [3, 2]
    assert len(found) == 3


def test_pictures_without_classes(tmp_path: Path) -> None:
    found = PictureFolder(fill(tmp_path, ["b.png", "a.png"]), shape)
    assert found.classes == []
    assert found.labels == [0, 0]


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="holds no pictures"):
        PictureFolder(tmp_path, shape)
    fill(tmp_path, ["dog/b.png", "loose.png"])
    with pytest.raises(InputFileError, match=r"pictures beside its folders of classes, such as loose\.png"):
        PictureFolder(tmp_path, shape)
    (tmp_path / "loose.png").unlink()
    (tmp_path / "dog" / "cut.png").write_bytes((tmp_path / "dog" / "b.png").read_bytes()[:40])
    with pytest.raises(InputFileError, match=r"cut\.png cannot be read as a picture"):
        PictureFolder(tmp_path, shape)[1]


def test_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo words\n")
    assert read_texts(tmp_path / "a.txt") == (["one", "two words"], None, [])
    (tmp_path / "b.csv").write_text('label,text\nz,"a, b"\ny,c\nz,d\n')
    found = read_texts(tmp_path / "b.csv")
    assert found == (["a, b", "c", "d"], [1, 0, 1], ["y", "z"])
    assert list(found.batches(2)) == [(["a, b", "c"], [1, 0], [0, 1]), (["d"], [1], [2])]
    (tmp_path / "d.jsonl").write_text('{"text": "a", "label": 10}\n{"text": "b", "label": 9}\n')
    assert read_texts(tmp_path / "d.jsonl") == (["a", "b"], [1, 0], ["9", "10"])
    (tmp_path / "c.tsv").write_text("body\tkind\nx\t1\n")
    assert read_texts(tmp_path / "c.tsv", text_column="body").labels is None
    assert read_texts(tmp_path / "c.tsv", text_column="body", label_column="kind").classes == ["1"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "has no texts"),
        ("a.txt", "x\n\ny\n", "line 2: the text is empty"),
        ("a.csv", "body\nx\n", "no column 'text', only 'body'"),
        ("a.csv", "", "no column 'text', only nothing"),
        ("a.csv", "text,label\nx\n", "line 2: 1 fields, the header has 2"),
    ],
)
def test_bad_texts(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError, match=told):
        read_texts(tmp_path / name)
    with pytest.raises(InputFileError, match="there is no file"):
        read_texts(tmp_path / "none.txt")
