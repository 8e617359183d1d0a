"""``noisymodel analyze``: tables and files, and one line for whatever is wrong."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from noisymodel.cli import main
from noisymodel.spectrum import analyze
from spectrum_files.conftest import features


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.save(tmp_path / "clean.npy", features())
    np.save(tmp_path / "noisy.npy", features() + features(seed=1))
    np.savez(tmp_path / "both.npz", clean=features(), noisy=features(seed=1))
    features().tofile(tmp_path / "x.bin")
    return tmp_path


def run(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = main(["analyze", *shlex.split(arguments.replace("@", f"{folder}/"))])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_table_and_nothing_else(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(files.rglob("*"))
    code, out, err = run("@clean.npy first=@noisy.npy --baseline clean", files, capsys)
    assert (code, err) == (0, "")
    assert out.splitlines()[2].split() == ["clean", "first"]
    assert f"{analyze(features()).entropy:.3g}" in out
    assert out.rstrip().endswith("Results: printed alone; --out DIR keeps them as JSON, figures and a page")
    assert sorted(files.rglob("*")) == before


def test_files_are_written_into_the_folder_alone(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    (files / "elsewhere").mkdir()
    monkeypatch.chdir(files / "elsewhere")
    code, out, _ = run("@clean.npy @noisy.npy --out @out/deep", files, capsys)
    assert code == 0
    assert out.rstrip().splitlines()[-1] == (
        f"Results: {files}/out/deep/results.json, {files}/out/deep/spectra.safetensors, {files}/out/deep/report.html, "
        f"{files}/out/deep/figures"
    )
    assert list((files / "elsewhere").iterdir()) == []
    assert len(list((files / "out" / "deep" / "figures").iterdir())) == 8
    code, _, err = run("@clean.npy --out @out/deep", files, capsys)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "results.json exists: name another --out, or replace it with --force" in err
    code, out, _ = run("@clean.npy --out @out/deep --force --no-figures", files, capsys)
    assert code == 0
    assert not list((files / "out" / "deep" / "figures").iterdir())
    assert "figures" not in out.splitlines()[-1]


def test_json_is_all_of_stdout(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--key clean --key noisy --json --metrics sve,lsvr --preset official --intervals 4 --seed 2"
    code, out, err = run(f"@both.npz {options}", files, capsys)
    assert code == 0
    content = json.loads(out)
    assert [file["name"] for file in content["files"]] == ["clean", "noisy"]
    assert content["files"][0]["metrics"]["entropy"] == pytest.approx(analyze(features(), preset="official").entropy)
    assert list(content["files"][0]["intervals"]) == ["entropy", "largest_ratio"]
    assert content["settings"]["seed"] == 2
    assert err.startswith("Results: printed alone")


def one(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(run(f"{arguments} --json", folder, capsys)[1])["files"][0]


def test_every_option_arrives(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert one("@clean.npy --rows 10:50", files, capsys)["rows"] == [10, 50]
    assert one("@clean.npy --rows 10: --max-rows 30", files, capsys)["rows"] == [10, 40]
    assert one("@clean.npy --rows :20 --max-rows 30", files, capsys)["rows"] == [0, 20]
    assert one("@x.bin --dtype float32 --num-features 6", files, capsys)["num_samples"] == 230
    assert one("@both.npz --column noisy", files, capsys)["key"] == "noisy"
    ways = ("", "--center column", "--center row", "--normalize", "--preset official")
    found = [one(f"@clean.npy {way}", files, capsys)["metrics"] for way in ways]
    assert len({metrics["entropy"] for metrics in found}) == 5  # type: ignore[index]
    assert one("@clean.npy --method gram", files, capsys)["num_features"] == 6
    _, out, _ = run("@clean.npy @noisy.npy --baseline clean --top-k 3 --intervals", files, capsys)
    assert "(k = 3)" in out
    assert "95 % intervals" in out


def test_notes_go_to_stderr(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(files / "half.npy", features().astype(np.float16))
    code, out, err = run("@half.npy", files, capsys)
    assert code == 0
    assert err.startswith("note: half is stored in float16")
    assert "note" not in out


def test_ctrl_c_leaves_nothing(files: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("noisymodel.spectrum_files.analyze_files", stopped)
    code, _, err = run("@clean.npy --out @out --no-figures", files, capsys)
    assert code == 130
    assert "Stopped; nothing was written" in err
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("@no.npy", "there is no file"),
        ("@x.bin", "x.bin says nothing of its rows"),
        ("@x.bin --dtype float32 --num-features 7", "x.bin has 5520 bytes, which is no whole number of rows"),
        ("@note.txt", "note.txt is none of the files that are known"),
        ("@nan.npy", "nan.npy: row 77 holds NaN or infinity; drop or repair such rows"),
        ("@clean.npy @nan.npy --intervals", "nan.npy: row 77 holds NaN or infinity"),
        ("@empty.npy", "empty.npy: the array is empty"),
        ("@both.npz", "both.npz holds several matrices, clean, noisy: name one as the key"),
        ("@both.npz --key x", "both.npz has no array 'x'"),
        ("@clean.npy --preset official --normalize", "`preset` sets `center` and `normalize` itself"),
        ("@clean.npy --metrics rank", "`metrics` must be of entropy"),
        ("@clean.npy --rows 5:5", "expected rows such as 0:1000, 1000: or :1000, got '5:5'"),
        ("@clean.npy --rows 5", "expected rows such as"),
        ("@clean.npy --rows 500:", "clean.npy has 230 rows: none from 500"),
        ("@clean.npy --max-rows 0", "expected a positive integer, got '0'"),
        ("@clean.npy --seed x", "expected a whole number, got 'x'"),
        ("@clean.npy --intervals 1", "`intervals` must be 0, or a number of blocks of at least 2"),
        ("@clean.npy --baseline @no.npy", "there is no file"),
        ("@clean.npy @noisy.npy --baseline clean --top-k 7", "top_k must be at most min(N, D) = 6"),
        ("a=@clean.npy a=@noisy.npy", "two files are called 'a': give each a name of its own"),
        ("@clean.npy --out @note.txt", "note.txt is a file: name a folder for the results"),
        ("", "the following arguments are required"),
    ],
)
def test_bad_input(arguments: str, told: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = features()
    rows[77, 2] = np.nan
    np.save(files / "nan.npy", rows)
    np.save(files / "empty.npy", rows[:0])
    (files / "note.txt").write_text("hello")
    before = sorted(files.rglob("*"))
    code, out, err = run(arguments + ("" if "--out" in arguments else " --out @out"), files, capsys)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert told in err
    assert sorted(files.rglob("*")) == before


def test_terminals_that_know_few_letters(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("ascii", "cp1252"):
        shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", shown)
        name = files / "Δ 日.npy"
        np.save(name, features())
        out = files / encoding
        arguments = ["analyze", str(files / "clean.npy"), str(name), "--baseline", "clean", "--no-figures"]
        assert main([*arguments, "--out", str(out)]) == 0
        shown.flush()
        printed = shown.buffer.getvalue().decode(encoding)
        assert "? ?" in printed
        assert json.loads((out / "results.json").read_text(encoding="utf-8"))["files"][1]["name"] == "Δ 日"


def test_the_output_folder_is_tried_before_the_work(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the work was begun")

    monkeypatch.setattr("noisymodel.spectrum_files.analyze_files", never)
    (files / "file").write_text("x")
    for out, told in (
        (f"@{'x' * 300}", "too long"),
        ("@file/deep", "cannot be written to"),
        ("/proc/x", "/proc/x"),
    ):
        code, _, err = run(f"@clean.npy --no-figures --out {out}", files, capsys)
        assert (code, len(err.splitlines())) == (2, 1)
        assert told in err


def test_a_disk_that_is_full_leaves_nothing_half_written(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, out, err = run("@clean.npy --no-figures --out @out", files, capsys)
    assert code == 2
    assert "Marchenko" in out, "what was found is shown"
    assert err.strip().endswith("cannot be written to (No space left on device)")
    assert not list((files / "out").rglob("*.partial"))
