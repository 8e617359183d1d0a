"""From files to spectra: the values of `analyze`, intervals, comparisons, slices, notes, bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from noisymodel.errors import InputFileError
from noisymodel.spectrum import SpectrumAccumulator, analyze, jackknife_intervals
from noisymodel.spectrum_files import analyze_files
from noisymodel.spectrum_files.dealing import part_numbers
from noisymodel.spectrum_files.measures import DEFAULT, TITLES
from noisymodel.subspace import linear_cka, principal_angles
from spectrum_files.conftest import KINDS, features, write

OPTIONS = [
    {},
    {"center": "column"},
    {"center": "row"},
    {"normalize": True},
    {"preset": "official"},
    {"normalize": True, "center": "column"},
]


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    """Two files of the same samples: columns in the other order with noise."""
    clean = features(400) * np.float32([9, 7, 5, 3, 2, 1])
    noisy = (clean + features(400, seed=1)).astype(np.float32)
    np.save(tmp_path / "clean.npy", clean)
    np.savez(tmp_path / "noisy.npz", features=noisy)
    return {"clean": tmp_path / "clean.npy", "noisy": tmp_path / "noisy.npz"}


def arrays(pair: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    return np.load(pair["clean"]), np.load(pair["noisy"])["features"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_spectrum_is_that_of_the_matrix(kind: str, tmp_path: Path) -> None:
    rows = features()
    path, options = write(kind, tmp_path, rows)
    found = analyze_files(path, **options).files[0]  # type: ignore[arg-type]
    expected = analyze(rows)
    np.testing.assert_allclose(found.spectrum.singular_values, expected.singular_values, rtol=1e-9)
    assert isinstance(found.spectrum.singular_values, np.ndarray)
    assert found.rows == (0, 230)
    assert found.dtype == "float32"
    assert list(found.metrics) == list(DEFAULT)
    assert found.metrics["entropy"] == pytest.approx(expected.entropy, rel=1e-9)
    assert found.metrics["numerical_rank"] == expected.numerical_rank


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("method", ["tsqr", "gram"])
@pytest.mark.parametrize("intervals", [0, 5])
def test_operations_are_those_of_analyze(options, method: str, intervals: int, pair: dict[str, Path]) -> None:
    clean, noisy = arrays(pair)
    found = analyze_files(pair, baseline="clean", method=method, intervals=intervals, top_k=2, **options)
    for file, rows in zip(found.files, (clean, noisy), strict=True):
        expected = analyze(rows, **options)
        assert file.metrics["entropy"] == pytest.approx(expected.entropy, rel=1e-6 if method == "gram" else 1e-9)
        assert file.spectrum.centered == expected.centered
        assert bool(file.intervals) == bool(intervals)
    prepared = [prepare(rows, options) for rows in (clean, noisy)]
    (one,) = found.comparisons
    assert (one.name, one.baseline) == ("noisy", "clean")
    np.testing.assert_allclose(one.angles, principal_angles(prepared[1], prepared[0], k=2), rtol=1e-6)
    assert one.cka == pytest.approx(linear_cka(prepared[1], prepared[0]), rel=1e-9)
    assert one.cka_debiased == pytest.approx(linear_cka(prepared[1], prepared[0], debiased=True), rel=1e-9)
    difference = found["noisy"].metrics["entropy"] - found["clean"].metrics["entropy"]
    assert one.differences["entropy"] == difference


def prepare(rows: np.ndarray, options: dict[str, object]) -> np.ndarray:
    rows = rows.astype(np.float64)
    if options.get("normalize") or options.get("preset"):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if options.get("center") == "row" or options.get("preset"):
        rows = rows - rows.mean(axis=1, keepdims=True)
    return rows - rows.mean(axis=0) if options.get("center") == "column" else rows


def test_intervals_are_those_of_the_same_blocks(pair: dict[str, Path]) -> None:
    clean, noisy = arrays(pair)
    found = analyze_files(pair, baseline="clean", intervals=8, seed=3, metrics=["lsvr"])
    places = part_numbers(0, 400, 8, seed=3)
    blocks = [[block(rows[places == part]) for part in range(8)] for rows in (clean, noisy)]
    alone = jackknife_intervals(blocks[0], ["largest_ratio"])["largest_ratio"]
    paired = jackknife_intervals(blocks[1], ["largest_ratio"], against=blocks[0])["largest_ratio"]
    for mine, theirs in (
        (found["clean"].intervals["largest_ratio"], alone),
        (found.comparisons[0].intervals["largest_ratio"], paired),
    ):
        assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high), rel=1e-8)


def block(rows: np.ndarray) -> SpectrumAccumulator:
    made = SpectrumAccumulator(rows.shape[1])
    made.update(rows)
    return made


def test_the_baseline_may_be_another_file_and_comes_first(pair: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "third.npy", arrays(pair)[0][:, ::-1])
    found = analyze_files([pair["noisy"], pair["clean"]], baseline=tmp_path / "third.npy", top_k=1)
    assert [file.name for file in found.files] == ["third", "noisy", "clean"]
    assert [one.name for one in found.comparisons] == ["noisy", "clean"]
    assert found.comparisons[1].cka == pytest.approx(1.0, rel=1e-12)  # which columns in another order do not change
    assert found.comparisons[1].rotation > 0.5
    assert analyze_files([pair["clean"], pair["noisy"]], baseline="noisy").files[0].name == "noisy"


def test_rows_that_were_asked_for(pair: dict[str, Path]) -> None:
    clean, _ = arrays(pair)
    found = analyze_files(pair, first_row=100, last_row=250)["clean"]
    assert found.rows == (100, 250)
    assert found.metrics["entropy"] == pytest.approx(analyze(clean[100:250]).entropy, rel=1e-9)
    assert analyze_files(pair["clean"], first_row=390, last_row=1000).files[0].rows == (390, 400)
    with pytest.raises(InputFileError, match=r"clean.npy has 400 rows: none from 400 to its end"):
        analyze_files(pair, first_row=400)


def test_other_widths_and_counts_leave_out_what_is_not_there(tmp_path: Path) -> None:
    np.save(tmp_path / "base.npy", features(60))
    np.save(tmp_path / "wide.npy", features(60, width=8))
    np.save(tmp_path / "few.npy", features(50))
    found = analyze_files([tmp_path / f"{name}.npy" for name in ("base", "wide", "few")], baseline="base", intervals=4)
    wide, few = found.comparisons
    assert wide.angles is None
    assert wide.cka == pytest.approx(linear_cka(features(60, width=8), features(60)), rel=1e-9)
    assert wide.intervals
    assert few.cka is None
    assert not few.intervals
    assert few.angles is not None
    assert found.notes == (
        "wide has 8 features, base 6: there are no angles between their subspaces",
        "few has 50 rows, base 60: they have no CKA and no paired intervals",
    )


def test_notes_say_what_a_reader_should_know(tmp_path: Path) -> None:
    rows = torch.from_numpy(features())
    save_file({"x": rows.half()}, tmp_path / "half.safetensors")
    (note,) = analyze_files(tmp_path / "half.safetensors").notes
    assert note.startswith("half is stored in float16: the rounding of its features is part of the spectrum")
    np.save(tmp_path / "collapsed.npy", np.outer(np.ones(300), np.arange(1, 7.0)) + 1e-9 * features(300))
    found = analyze_files(tmp_path / "collapsed.npy", method="gram", intervals=3)
    assert [note for note in found.notes if "the Gram matrix cannot hold this spectrum" in note]
    np.save(tmp_path / "round.npy", np.tile(np.eye(6), (10, 1)))
    found = analyze_files(
        [tmp_path / "round.npy", tmp_path / "collapsed.npy"], baseline="round", top_k=2, first_row=0, last_row=60
    )
    assert any(note.startswith("singular values 2 and 3 of round are equal to rounding") for note in found.notes)


def test_undefined_values_are_null_in_json(tmp_path: Path) -> None:
    np.save(tmp_path / "zero.npy", np.zeros((20, 3)))
    np.save(tmp_path / "one.npy", features(20, width=3))
    found = analyze_files([tmp_path / "one.npy", tmp_path / "zero.npy"], baseline="one", intervals=4)
    assert math.isnan(found["zero"].metrics["entropy"])
    assert found["zero"].directions == 0
    assert found.comparisons[0].angles is None
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["files"][1]["metrics"]["entropy"] is None
    assert content["files"][1]["metrics"]["condition_number"] is None
    assert content["files"][0]["metrics"]["power_law_exponent"] is None  # its window begins at rank 11
    assert content["comparisons"][0]["linear_cka"] is None
    assert content["settings"]["baseline"] == "one"
    assert content["files"][0]["values_above_edge"] == found["one"].above_edge
    assert content["files"][0]["directions_for_90_percent"] == 3


def test_metrics_by_name(pair: dict[str, Path]) -> None:
    found = analyze_files(pair["clean"], metrics=list(TITLES), center="column").files[0]
    expected = analyze(arrays(pair)[0], center="column")
    assert set(found.metrics) == set(TITLES)
    assert found.metrics["nesum"] == pytest.approx(expected.stable_rank, rel=1e-9)
    assert found.metrics["eigenvalue_entropy"] < found.metrics["entropy"]
    assert list(analyze_files(pair["clean"], metrics="sve").files[0].metrics) == ["entropy"]


def test_the_row_with_nan_is_named(tmp_path: Path) -> None:
    for value, row in ((np.nan, 0), (np.inf, 229), (-np.inf, 100)):
        rows = features()
        rows[row, 3] = value
        np.save(tmp_path / "x.npy", rows)
        for first, intervals in ((0, 0), (0, 7), (row, 3)):
            if first == 229:
                continue
            with pytest.raises(InputFileError, match=rf"x.npy: row {row} holds NaN or infinity; drop or repair such"):
                analyze_files(tmp_path / "x.npy", first_row=first, intervals=intervals)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"center": "both"}, "`center` must be one of 'none', 'column', 'row', got 'both'"),
        ({"preset": "official", "normalize": True}, "`preset` sets `center` and `normalize` itself"),
        ({"method": "svd"}, "`method` must be one of 'tsqr', 'gram', got 'svd'"),
        ({"metrics": ["rank"]}, "`metrics` must be of entropy, largest_ratio, .* got 'rank'"),
        ({"metrics": []}, "`metrics` must name at least one metric, got none"),
        ({"metrics": ["nesum"]}, "nesum is of centred columns: `center` must be 'column'"),
        ({"intervals": 1}, "`intervals` must be 0, or a number of blocks of at least 2, got 1"),
        ({"top_k": 0}, "`top_k` must be at least 1"),
        ({"first_row": -1}, "`first_row` must be at least 0"),
        ({"seed": -1}, "`seed` must be in"),
        ({"baseline": "clean", "top_k": 7}, r"`?top_k`? must be at most min\(N, D\) = 6 of noisy, got 7"),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str, pair: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=message):
        analyze_files(pair, **options)  # type: ignore[arg-type]


def test_files_that_cannot_be_centred(tmp_path: Path) -> None:
    np.save(tmp_path / "thin.npy", features(5, width=1))
    with pytest.raises(InputFileError, match=r"thin.npy has 1 feature: rows cannot be centred"):
        analyze_files(tmp_path / "thin.npy", preset="official")
    with pytest.raises(InputFileError, match=r"thin.npy: one row cannot be centred by columns"):
        analyze_files(tmp_path / "thin.npy", center="column", last_row=1)
    found = analyze_files(tmp_path / "thin.npy", last_row=1, intervals=5)
    assert found.notes == ("thin has one row: there are no intervals",)
    with pytest.raises(KeyError, match="no file is called 'x': there are thin"):
        found["x"]
