"""Reading in blocks: memory does not grow with the file, progress comes late, both files are read at one pace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.spectrum_files import analyze_files, passes
from spectrum_files.conftest import features

MEASURE = """
import resource, sys, torch
torch.set_num_threads(1)
from noisymodel.spectrum_files import analyze_files
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
analyze_files(sys.argv[1], last_row=30_000, method="gram")  # what a small file takes
before = peak()
found = analyze_files(sys.argv[1], method="gram")
print(found.files[0].spectrum.num_samples, peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Most of the file is holes; neither all of it nor its pages may become resident."""
    rows, width = 1_000_000, 64
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
        file.write(features(1000, width=width).tobytes())
        file.truncate(begin + rows * width * 4)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, grown = map(int, done.stdout.split())
    assert count == rows
    assert grown < 60, f"{grown} MiB more for a file of 244 MiB"


def test_progress_is_for_what_takes_long(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", features())
    analyze_files(tmp_path / "x.npy", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(passes, "_QUIET", 0.0)
    analyze_files(tmp_path / "x.npy", progress=True)
    assert "x: " in capsys.readouterr().err
    analyze_files(tmp_path / "x.npy")
    assert capsys.readouterr().err == ""


def test_each_file_is_read_once_and_the_baseline_once_for_each_other(tmp_path: Path, monkeypatch) -> None:
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", features(seed=number))
    read: list[list[tuple[str, bool]]] = []
    real = passes.read

    def noting(readers, *given, **options):
        read.append([(reader.name, reader.parts is not None) for reader in readers])
        real(readers, *given, **options)

    monkeypatch.setattr("noisymodel.spectrum_files.run.read", noting)
    analyze_files([tmp_path / f"{number}.npy" for number in range(3)], baseline="0")
    assert read == [[("1", True), ("0", True)], [("2", True), ("0", False)]]
    read.clear()
    analyze_files([tmp_path / f"{number}.npy" for number in range(3)])
    assert read == [[("0", True)], [("1", True)], [("2", True)]]


def test_files_of_other_widths_are_read_at_one_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.features.opening.rows.BLOCK_BYTES", 3000)
    np.save(tmp_path / "a.npy", features(width=3))
    np.save(tmp_path / "b.npy", features(width=11))
    found = analyze_files([tmp_path / "a.npy", tmp_path / "b.npy"], baseline="a")
    assert 0 < found.comparisons[0].cka < 1


def test_a_file_with_fewer_rows_than_it_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisymodel.features.opening import arrays

    np.save(tmp_path / "x.npy", features())
    monkeypatch.setattr(arrays.ArrayFile, "blocks", lambda *_: iter(()))
    with pytest.raises(InputFileError, match=r"x.npy ends at row 0 of 230: it is damaged"):
        analyze_files(tmp_path / "x.npy")
