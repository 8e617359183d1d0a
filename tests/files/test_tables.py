"""Tables: every row is read as it stands, or an error names it; what is written is the same table."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.files import open_table


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, *names: str) -> list[tuple[str, ...]]:
    return [values for _, values in open_table(path).values(*names)]


def test_separators_byte_order_marks_and_packed_files(tmp_path: Path) -> None:
    wanted = [("cat", "a, b"), ("dog", 'say "x"')]
    tables = {
        "comma.csv": 'label,text\ncat,"a, b"\ndog,"say ""x"""\n',
        "capitals.CSV": 'label,text\ncat,"a, b"\ndog,"say ""x"""\n',
        "semicolon.csv": 'label;text\ncat;a, b\ndog;"say ""x"""\n',
        "tab.csv": 'label\ttext\ncat\ta, b\ndog\t"say ""x"""\n',
        "tab.TSV": 'label\ttext\ncat\ta, b\ndog\tsay "x"\n',
        "marked.csv": '\ufefflabel,text\r\ncat,"a, b"\r\ndog,"say ""x"""\r\n',
        "lines.jsonl": '\ufeff{"label": "cat", "text": "a, b"}\n{"label": "dog", "text": "say \\"x\\""}\n',
    }
    for name, text in tables.items():
        path = put(tmp_path, name, text)
        packed = put(tmp_path, f"{name}.gz", gzip.compress(text.encode()))
        for one in (path, packed):
            assert rows(one, "label", "text") == wanted, one
            table = open_table(one)
            out = tmp_path / f"new-{one.name}"
            table.write(out, "label", [None, "eel"])
            assert rows(out, "label", "text") == [wanted[0], ("eel", wanted[1][1])], one
            content = gzip.decompress(out.read_bytes()) if one is packed else out.read_bytes()
            assert content.startswith(b"\xef\xbb\xbf") == text.startswith("\ufeff"), "the mark is kept"
            assert content.count(b"\r\n") == text.count("\r\n"), "line ends are kept"
            assert content.replace(b"eel", b"dog") == text.encode() or name == "tab.TSV", "and so is the rest"


def test_a_quote_swallows_no_row(tmp_path: Path) -> None:
    swallowed = {
        "x.tsv": 'id\ttext\n1\t"open\n2\tnext"\n3\tc\n',
        "only.tsv": 'text\n"open\nnext"\n',
        "end.tsv": 'id\ttext\n1\ta\n2\t"open\n3\tb\n',
        "tab.csv": 'id\ttext\n1\t"open\n2\tnext"\n3\tc\n',
    }
    for name, text in swallowed.items():
        with pytest.raises(InputFileError, match=r"line [23]: (a quote opens a text that ends in line|unexpected end)"):
            rows(put(tmp_path, name, text), "text")
    assert rows(put(tmp_path, "inside.tsv", 'id\ttext\n1\tsix" nails\n2\tb\n'), "text") == [('six" nails',), ("b",)]
    assert rows(put(tmp_path, "lines.csv", 'id,text\n1,"two\nlines"\n'), "text") == [("two\nlines",)]


def test_what_is_no_table_is_named_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    deep = "[" * 100_000
    wrong = {
        "short.csv": ("label,id\na,1\nb\n", "line 3: 1 fields, the header has 2"),
        "open.csv": ('label,id\na,1\n"b,2\n', "line 3: unexpected end"),
        "late.csv": ('label,id\n"b" c,2\n', "line 2: ',' expected after"),
        "latin.csv": (b"label\na\n\xff\n", "line 3: no UTF-8"),
        "wide.csv": ("\ufefflabel\na\n".encode("utf-16"), "line 1: no UTF-8"),
        "twice.csv": ("label,label\n1,2\n", "has 2 columns 'label'"),
        "null.csv": (b"label\na\n\x00\n", "line 3"),
        "deep.jsonl": (f'{{"label": 1}}\n{deep}\n', "line 2: no JSON .nested too deep"),
        "list.jsonl": ("[1]\n", "line 1: expected a JSON object"),
        "half.jsonl": ('{"label": "a"}\n{"label": "\\ud800"}\n', "line 2: 'label' holds .* half of a surrogate"),
        "true.jsonl": ('{"label": true}\n', r"line 1: 'label' must be a text or an integer, got True \(bool\)"),
        "float.jsonl": ('{"label": 1.5}\n', "line 1: 'label' must be a text or an integer, got 1.5"),
        "none.jsonl": ('{"other": 1}\n', "line 1: 'label' must be a text or an integer, got nothing"),
        "cut.csv.gz": (gzip.compress(b"label\n" + bytes(range(65, 90)) * 50)[:-20], "cannot be read|is damaged"),
        "no.csv.gz": (b"label\na\n", "cannot be read"),
        "x.parquet": (b"PAR1 and no more", "no Parquet file, or damaged"),
        "x.pkl": (b"", "may be a pickle"),
        "x.dat": (b"", "is no table that is known"),
    }
    for name, (content, told) in wrong.items():
        with pytest.raises(InputFileError, match=told) as caught:
            rows(put(tmp_path, name, content), "label")
        assert "\n" not in str(caught.value), name


def test_a_label_a_line_keeps_its_line_ends(tmp_path: Path) -> None:
    table = open_table(put(tmp_path, "labels.txt", b"\xef\xbb\xbfa\r\nb, c\nd"))
    assert table.columns() == ["label"]
    assert list(table.values("label")) == [(1, ("a",)), (2, ("b, c",)), (3, ("d",))]
    table.write(tmp_path / "out.txt", "label", ["x", None, "y"])
    assert (tmp_path / "out.txt").read_bytes() == b"\xef\xbb\xbfx\r\nb, c\ny"


def test_pipes_folders_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name, told in {
        "folder.csv": "is a folder",
        "pipe.csv": "is a pipe or a device",
        "zero.csv": "is a pipe or a device",
        "none.csv": "there is no file",
        f"{'x' * 300}.csv": "cannot be read .*too long",
        "nu\0ll.csv": "cannot be read",
    }.items():
        with pytest.raises(InputFileError, match=told):
            open_table(tmp_path / name)


def test_parquet_keeps_types_and_names_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "small": pa.array([3, 1, 2], pa.int8()),
        "large": pa.array([2**64 - 1, 0, 5], pa.uint64()),
        "kind": pa.array(["b", "a", "b"]).dictionary_encode(),
        "truth": pa.array([True, False, True]),
        "gap": pa.array(["a", None, "b"]),
    }
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table(columns), path)
    table = open_table(path)
    assert rows(path, "large") == [("18446744073709551615",), ("0",), ("5",)]
    for name, new in {"small": "7", "large": "9", "kind": "c"}.items():
        table.write(tmp_path / "new.parquet", name, [None, new, None])
        found = parquet.read_table(tmp_path / "new.parquet")
        assert found.schema == parquet.read_table(path).schema
        assert [str(value) for value in found[name].to_pylist()][1] == new
    with pytest.raises(InputFileError, match=r"row 0: 'truth' must be a text or an integer, got True \(bool\)"):
        rows(path, "truth")
    with pytest.raises(InputFileError, match="row 1: 'gap' must be a text or an integer, got nothing"):
        rows(path, "gap")


def test_arrays_are_columns(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    labels, features = np.array([3, 1, 2], np.int16), np.eye(3, dtype=np.float32)
    names = np.array(["b", "a", "b"])
    np.save(tmp_path / "x.npy", labels)
    np.savez_compressed(tmp_path / "x.npz", labels=labels, names=names, features=features)
    save_file({"labels": labels, "features": features}, tmp_path / "x.safetensors")
    for name in ("x.npy", "x.npz", "x.safetensors"):
        table = open_table(tmp_path / name)
        assert list(table.values("labels")) == [(0, ("3",)), (1, ("1",)), (2, ("2",))]
        table.write(tmp_path / f"new-{name}", "labels", [None, "2", None])
        assert rows(tmp_path / f"new-{name}", "labels") == [("3",), ("2",), ("2",)]
    assert np.load(tmp_path / "new-x.npy").dtype == np.int16
    with np.load(tmp_path / "new-x.npz") as found:
        assert (found["features"] == features).all()
        assert (found["names"] == names).all()
    assert (load_file(tmp_path / "new-x.safetensors")["features"] == features).all()
    open_table(tmp_path / "x.npz").write(tmp_path / "long.npz", "names", ["a longer name", None, None])
    assert rows(tmp_path / "long.npz", "names")[0] == ("a longer name",)
    np.save(tmp_path / "truth.npy", labels > 1)
    with pytest.raises(InputFileError, match=r"integers or texts of shape .*, got bool"):
        rows(tmp_path / "truth.npy", "labels")


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    np.save(tmp_path / "bomb.npy", np.zeros(3, np.int64))
    content = (tmp_path / "bomb.npy").read_bytes().replace(b"(3,), }         ", b"(3000000000000,)")
    put(tmp_path, "bomb.npy", content)
    put(tmp_path, "bomb.safetensors", (2**60).to_bytes(8, "little") + b"{}")
    deep = ("[" * 100_000).encode()
    put(tmp_path, "deep.safetensors", len(deep).to_bytes(8, "little") + deep)
    put(tmp_path, "bomb.npz", b"PK\x03\x04" + bytes(100))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputFileError, match=r"cut off|no safetensors|no \.np[yz]") as caught:
            rows(path, "labels")
        assert "\n" not in str(caught.value)


def test_untouched_lines_of_json_stay_as_they_are(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jsonl", b'{"label":0,   "x": 1e3}\n{"label": 1, "y": "\\ud800"}')
    open_table(path).write(tmp_path / "same.jsonl", "label", [None, None])
    assert (tmp_path / "same.jsonl").read_bytes() == path.read_bytes()
    open_table(path).write(tmp_path / "new.jsonl", "label", ["4", "5"])
    found = [json.loads(line) for line in (tmp_path / "new.jsonl").read_bytes().splitlines()]
    assert [record["label"] for record in found] == [4, 5]
