"""Files of features by their path: every format gives the same rows, and whatever is wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from noisymodel import FeatureStore
from noisymodel.errors import InputFileError
from noisymodel.features.opening import open_features, open_file
from spectrum_files.conftest import KINDS, features, fixed_lists, parquet, write


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    rows = features()
    path, options = write(kind, tmp_path, rows)
    file = open_file(path, **options)  # type: ignore[arg-type]
    assert (file.num_rows, file.num_features, file.dtype) == (230, 6, "float32")
    for first, last, size in ((0, 230, 1000), (0, 230, 64), (31, 200, 50), (229, 230, 7), (0, 70, 70)):
        blocks = list(file.blocks(first, last, size))
        assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
        assert all(block.dtype == torch.float32 for block in blocks)
        np.testing.assert_array_equal(torch.cat(blocks).numpy(), rows[first:last])


def test_arrays_to_fit_on_are_mapped_where_they_can_be(tmp_path: Path) -> None:
    rows = features()
    for kind in KINDS:
        if kind == "raw":
            continue  # its rows have no width
        found = open_features(write(kind, tmp_path, rows)[0])
        assert isinstance(found, FeatureStore) == (kind == "store")
        assert isinstance(found, np.memmap) == (kind in ("npy", "npy fortran", "safetensors")), kind
        np.testing.assert_array_equal(np.asarray(found[:]), rows)
        assert np.asarray(found[:1]).dtype == np.dtype("=f4")
    save_file({"x": torch.from_numpy(rows).bfloat16()}, tmp_path / "half.safetensors")
    half = open_features(tmp_path / "half.safetensors")
    np.testing.assert_array_equal(half, torch.from_numpy(rows).bfloat16().float().numpy())


def test_columns_of_text_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffid;label;f0;f1;name\n1;3;0.5;2;a\n2;4;-1e3;.25;b\n", encoding="utf-8")
    for name, columns in ((None, [[0.5, 2], [-1000, 0.25]]), ("f1", [[2], [0.25]]), ("f*", [[0.5, 2], [-1000, 0.25]])):
        found = open_features(path, key=name)
        assert found.dtype == np.float32
        assert found.tolist() == columns
    assert open_features(path, key="label").tolist() == [[3], [4]]
    for text, told in [
        ("a,b\n1,2\n1,x\n", "x.csv, line 3: 'b' must be a number, got 'x'"),
        ("a,b\n1,2\n1\n", "x.csv, line 3: 1 fields, the header has 2"),
        ("1.5,2\n1,2\n", "has no header: name its columns"),
        ("label,name\n1,a\n", "no columns of numbers, only 'label', 'name'"),
        ("f0,f1\n", "no columns of numbers"),
    ]:
        path.write_text(text)
        with pytest.raises(InputFileError, match=told):
            open_features(path)
    with pytest.raises(InputFileError, match="no column 'z'"):
        open_features(path, key="z")


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *((kind, dtype) for kind in ("safetensors", "raw") for dtype in (torch.float16, torch.bfloat16, torch.float64)),
        *(("store", dtype) for dtype in (torch.float16, torch.bfloat16)),
    ],
)
def test_other_precisions_are_read_as_they_lie(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    rows = torch.from_numpy(features()).to(dtype)
    path, name = tmp_path / "x", str(dtype).removeprefix("torch.")
    options: dict[str, object] = {}
    if kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file({"x": rows}, path)
    elif kind == "raw":
        path = path.with_suffix(".bin")
        path.write_bytes(rows.view(torch.uint8).numpy().tobytes())
        options = {"dtype": name, "num_features": 6}
    else:
        with FeatureStore.create(path, num_features=6, dtype=dtype) as store:
            store.append(rows)
    file = open_file(path, **options)  # type: ignore[arg-type]
    assert file.dtype == name
    assert torch.equal(torch.cat(list(file.blocks(0, 230, 100))), rows)


def test_which_array_is_taken(tmp_path: Path) -> None:
    a, b = features(), features(seed=1)
    np.savez(tmp_path / "two.npz", a=a, b=b, n=np.arange(3))
    np.savez(tmp_path / "named.npz", a=a, features=b)
    for path, key, expected in (("two.npz", "b", b), ("named.npz", None, b), ("named.npz", "a", a)):
        file = open_file(tmp_path / path, key)
        assert torch.equal(next(file.blocks(0, 230, 230)), torch.from_numpy(expected))
    with pytest.raises(InputFileError, match=r"two.npz holds several matrices, a, b: name one as the key"):
        open_file(tmp_path / "two.npz")
    with pytest.raises(InputFileError, match=r"two.npz has no array 'c', only a, b, n"):
        open_file(tmp_path / "two.npz", "c")
    with pytest.raises(InputFileError, match=r"'n' must be floating point and of shape \(N, D\), got int64"):
        open_file(tmp_path / "two.npz", "n")
    columns = {"f0": a[:, 0], "f1": a[:, 1], "score": a[:, 2], "l": fixed_lists(a), "m": fixed_lists(b)}
    path = parquet(tmp_path / "x.parquet", columns)
    assert open_file(path, "f*").num_features == 2
    assert open_file(path, "score").num_features == 1
    assert torch.equal(next(open_file(path, "m").blocks(0, 230, 230)), torch.from_numpy(b))
    with pytest.raises(InputFileError, match=r"x\.parquet has several columns of lists, l, m: name one as the key"):
        open_file(path)
    with pytest.raises(InputFileError, match=r"x\.parquet has no column 'z', only f0, f1, score, l, m"):
        open_file(path, "z")


def damaged(folder: Path) -> dict[str, tuple[Path, dict[str, object], str]]:
    """Name -> path, options, and what is said."""
    rows = features()
    np.save(folder / "cut.npy", rows)
    whole = (folder / "cut.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[:-10])
    (folder / "long.npy").write_bytes(whole + bytes(4))
    for name in ("junk.npy", "junk.npz", "junk.safetensors", "junk.parquet", "junk.xyz", "junk.pt"):
        (folder / name).write_bytes(b"junk")
    (folder / "nothing.npy").write_bytes(b"")
    np.save(folder / "one.npy", rows[0])
    np.save(folder / "three.npy", rows[None])
    np.save(folder / "whole.npy", rows.astype(np.int32))
    np.save(folder / "empty.npy", rows[:0])
    np.save(folder / "flat.npy", rows[:, :0])
    np.save(folder / "objects.npy", np.array([None, 1], dtype=object), allow_pickle=True)
    np.save(folder / "records.npy", np.zeros(3, dtype=[("日", "f4")]))
    np.savez(folder / "none.npz", n=np.arange(3))
    save_file({"n": torch.zeros(3, dtype=torch.int64)}, folder / "none.safetensors")
    rows.tofile(folder / "x.bin")
    (folder / "plain").mkdir()
    with FeatureStore.create(folder / "bare", num_features=6):
        pass
    parquet(folder / "texts.parquet", {"t": ["a", "b"]})
    parquet(folder / "rowless.parquet", {"features": fixed_lists(rows[:0])})
    raw = {"dtype": "float32"}
    return {
        "cut": (folder / "cut.npy", {}, "cut.npy is cut off: its header promises 5648 bytes, it has 5638"),
        "long": (folder / "long.npy", {}, "long.npy has 4 bytes more than its header says"),
        "junk npy": (folder / "junk.npy", {}, "junk.npy is no .npy file, or damaged"),
        "no bytes": (folder / "nothing.npy", {}, "nothing.npy is no .npy file, or damaged"),
        "junk npz": (folder / "junk.npz", {}, "junk.npz is no .npz archive, or damaged"),
        "junk safetensors": (folder / "junk.safetensors", {}, "junk.safetensors is no safetensors file, or damaged"),
        "junk parquet": (folder / "junk.parquet", {}, "junk.parquet is no Parquet file, or damaged"),
        "ending": (folder / "junk.xyz", {}, "junk.xyz is none of the files that are known: a feature store's folder"),
        "pickle": (folder / "junk.pt", {}, "junk.pt may be a pickle, which can run code: save it as"),
        "vector": (folder / "one.npy", {}, r"one.npy: the array must be floating point and of shape \(N, D\)"),
        "tensor": (folder / "three.npy", {}, r"got float32 of shape \(1, 230, 6\)"),
        "integers": (folder / "whole.npy", {}, r"got int32 of shape \(230, 6\)"),
        "no rows": (folder / "empty.npy", {}, r"empty.npy: the array is empty, its shape is \(0, 6\)"),
        "no columns": (folder / "flat.npy", {}, r"flat.npy: the array is empty, its shape is \(230, 0\)"),
        "objects": (folder / "objects.npy", {}, "objects.npy holds Python objects, not numbers"),
        "records": (folder / "records.npy", {}, "records.npy holds an array of records, not of numbers"),
        "no matrix npz": (folder / "none.npz", {}, "none.npz holds no floating-point matrix, only n"),
        "no matrix": (folder / "none.safetensors", {}, "none.safetensors holds no floating-point matrix, only n"),
        "raw": (folder / "x.bin", {}, "x.bin says nothing of its rows: give their dtype and their number of features"),
        "raw width": (folder / "x.bin", {**raw, "num_features": 7}, r"no whole number of rows of 7 x float32 \(28"),
        "raw dtype": (folder / "x.bin", {"dtype": "int8", "num_features": 6}, "the dtype must be one of float64,"),
        "dtype": (folder / "one.npy", raw, "a dtype and a number of features are for .bin and .raw files alone"),
        "folder": (folder / "plain", {}, "plain is a folder without manifest.json and without .parquet files"),
        "missing": (folder / "no.npy", {}, "there is no file .*no.npy"),
        "bare store": (folder / "bare", {}, "bare has no rows: nothing is committed yet"),
        "store key": (folder / "bare", {"key": "x"}, "is a feature store, whose features have no other key: got 'x'"),
        "npy key": (folder / "one.npy", {"key": "x"}, "one.npy holds one matrix, which has no name"),
        "texts": (folder / "texts.parquet", {}, "has no column of floating-point numbers or lists, only t"),
        "texts by key": (folder / "texts.parquet", {"key": "t"}, "the column 't' holds texts, not numbers"),
        "no parquet rows": (folder / "rowless.parquet", {}, "rowless.parquet has no rows"),
    }


CASES = [
    "cut", "long", "junk npy", "no bytes", "junk npz", "junk safetensors", "junk parquet", "ending", "pickle", "vector",
    "tensor", "integers", "no rows", "no columns", "objects", "records", "no matrix npz", "no matrix", "raw",
    "raw width", "raw dtype", "dtype", "folder", "missing", "bare store", "store key", "npy key", "texts",
    "texts by key", "no parquet rows",
]  # fmt: skip


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, object], str]]:
    pytest.importorskip("pyarrow")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy says that names beyond ASCII need a newer format
        return damaged(tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_in_one_line(case: str, bad: dict[str, tuple[Path, dict[str, object], str]]) -> None:
    assert list(bad) == CASES
    path, options, told = bad[case]
    with pytest.raises(InputFileError, match=told) as caught:
        open_file(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
