"""Labels in files: the same classes from every format, the same text out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.files import class_order, label_text, read_labels


def formats(folder: Path, labels: list[str]) -> list[Path]:
    """The same labels in every format, as a text and, where that is the same text, as integers."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    found = [folder / f"labels{ending}" for ending in (".csv", ".tsv", ".txt", ".jsonl", ".parquet", ".npy", ".npz")]
    csv, tsv, txt, jsonl, table, npy, npz = found
    csv.write_text("label\n" + "".join(f'"{label}"\n' for label in labels))
    tsv.write_text("id\tlabel\n" + "".join(f"{i}\t{label}\n" for i, label in enumerate(labels)))
    txt.write_text("".join(f"{label}\n" for label in labels))
    jsonl.write_text("".join(json.dumps({"label": label}) + "\n" for label in labels))
    parquet.write_table(pa.table({"x": list(range(len(labels))), "label": labels}), table)
    np.save(npy, np.array(labels))
    np.savez(npz, labels=np.array(labels), other=np.eye(2))
    for path in (csv, tsv, txt, jsonl):
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        found.append(packed)
    capital = folder / "CAPITAL.CSV"
    capital.write_bytes(b"\xef\xbb\xbf" + csv.read_bytes())
    found.append(capital)
    if all(str(int(label)) == label for label in labels if label.lstrip("-").isdecimal()) and labels[0] == "10":
        numbers = folder / "numbers.npy"
        np.save(numbers, np.array([int(label) for label in labels]))
        lines = folder / "numbers.jsonl"
        lines.write_text("".join(json.dumps({"label": int(label)}) + "\n" for label in labels))
        found += [numbers, lines]
    return found


def test_a_class_is_the_same_in_every_format(tmp_path: Path) -> None:
    for number, (labels, classes) in enumerate(
        [
            (["10", "9", "-1", "9", "10"], ("-1", "9", "10")),
            (["cat ", "dog", "cat "], ("cat ", "dog")),
            (["007", "7", "07"], ("007", "07", "7")),
            (["b", "10", "9", "B"], ("10", "9", "B", "b")),
            (["0.5", "0.25", "1e-2"], ("1e-2", "0.25", "0.5")),
            (["é", "日本", "100", "200"], ("100", "200", "é", "日本")),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for path in formats(folder, labels):
            found = read_labels(path)
            assert found.classes == classes, path
            assert found.values.tolist() == labels, path
            assert found.encode(labels).tolist() == found.codes.tolist(), path
            assert found.decode(found.codes).tolist() == labels, path
            assert len(found) == len(labels)


def test_labels_are_integers_where_every_text_is_the_numbers_own(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for text, wanted in {
        "10\n9\n-1\n": [10, 9, -1],
        "01\n9\n": ["01", "9"],
        "1\nx\n": ["1", "x"],
        "+1\n2\n": ["+1", "2"],
        "18446744073709551615\n1\n": ["18446744073709551615", "1"],
        f"{'9' * 5000}\n1\n": ["9" * 5000, "1"],
    }.items():
        path.write_text(text)
        assert read_labels(path).labels.tolist() == wanted


def test_the_column_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,label,kind\n1,a,x\n2,b,y\n")
    assert read_labels(path).values.tolist() == ["a", "b"]
    path.write_text("labels,id\na,1\nb,2\n")
    assert read_labels(path).values.tolist() == ["a", "b"]
    path.write_text("kind\na\n")
    assert read_labels(path).values.tolist() == ["a"]
    with pytest.raises(InputFileError, match="no column 'label', only 'kind': name one"):
        read_labels(path, column="label")
    path.write_text("﻿one,two\n1,2\n")
    with pytest.raises(InputFileError, match="no column 'label', only 'one', 'two'"):
        read_labels(path)


def test_labels_that_are_refused_are_named(tmp_path: Path) -> None:
    for name, content, told in [
        ("x.txt", "a\n\nb\n", "line 2: the label is missing"),
        ("x.txt", "a\n  \n", "line 2: the label is missing"),
        ("x.txt", "", "has no rows"),
        ("x.txt", "cat\ndog\ncat \n", r"'cat' \(line 1\) and 'cat ' \(line 3\) differ in spaces"),
        ("x.csv", "label\n", "has no rows"),
        ("x.csv", "label,id\na,1\n,2\n", "line 3: the label is missing"),
        ("x.csv", 'label,id\n"a\nb",1\n', "line 2: the label 'a.nb' has a line break"),
        ("x.jsonl", '{"label": 1}\n{"label": false}\n', r"line 2: 'label' must be .*got False \(bool\)"),
        ("x.pt", "", "is no file of labels"),
        ("x.json", "[1]", "is no file of labels"),
        ("none.csv", None, "there is no file"),
    ]:
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputFileError, match=told):
            read_labels(path)
    with pytest.raises(InputFileError, match="one label a line and no columns"):
        read_labels(tmp_path / "x.txt", column="label")
    (tmp_path / "x.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"'c' is no class of .*x\.txt, which has 'a', 'b'"):
        read_labels(tmp_path / "x.txt").encode(["a", "c"])


def test_the_text_of_a_label() -> None:
    assert class_order(["10", 9, np.int64(-1)]) == ["-1", "9", "10"]
    for wrong in (True, np.True_, 1.0, None, b"a"):
        with pytest.raises(TypeError, match="a label must be a text or an integer"):
            label_text(wrong)
