"""Tables: files are columns, intervals in brackets, columns that do not fit go below."""

from __future__ import annotations

import numpy as np
import pytest

from noisymodel.spectrum_files import FilesAnalysis, analyze_files, text_tables
from noisymodel.spectrum_files.table import Table, plain_text, settings_line
from spectrum_files.conftest import features


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> FilesAnalysis:
    folder = tmp_path_factory.mktemp("table")
    for number, name in enumerate(("clean", "noisy", "wide")):
        np.save(folder / f"{name}.npy", features(300, width=8 if name == "wide" else 6, seed=number))
    files = [folder / f"{name}.npy" for name in ("clean", "noisy", "wide")]
    return analyze_files(files, baseline="clean", intervals=5, metrics=["sve", "alpha"], top_k=2)


def test_what_is_in_the_tables(found: FilesAnalysis) -> None:
    text = text_tables(found, width=200)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["rows"].split() == ["rows", "300", "300", "300"]
    assert lines["features"].split() == ["features", "6", "6", "8"]
    interval = found["clean"].intervals["entropy"]
    assert f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]" in lines["SVE (nats)"]
    assert lines["exponent α of λᵢ ∝ i^−α"].split()[-3:] == ["–", "–", "–"]
    assert "95 % intervals (jackknife over rows)" in text
    degrees = np.degrees(found.comparisons[0].rotation)
    assert f"{degrees:.3g} (k = 2)" in lines["rotation of the top-k subspace (degrees)"]
    assert lines["rotation of the top-k subspace (degrees)"].endswith("–")
    assert lines["linear CKA"].split()[2] == f"{found.comparisons[0].cka:.3g}"
    difference = found.comparisons[0].differences["entropy"]
    assert f"{difference:+.3g} [" in lines["Δ SVE (nats)"]


def test_columns_that_do_not_fit_go_below() -> None:
    table = Table("t", "Caption", ("", "one", "two", "three"), (("row", "1" * 8, "2" * 8, "3" * 8),))
    assert plain_text(table, 25).splitlines() == [
        "Caption", "", "          one       two", "row  11111111  22222222", "", "        three", "row  33333333",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"center": "none", "preset": None, "normalize": False}, "as they are"),
        ({"center": "column", "preset": None, "normalize": False}, "columns centred"),
        ({"center": "row", "preset": None, "normalize": True}, "rows of unit length, then rows centred"),
        ({"center": "none", "preset": None, "normalize": True}, "rows of unit length"),
        ({"center": "none", "preset": "official", "normalize": False}, "rows of unit length, then centred (preset"),
    ],
)
def test_preparation_in_words(settings: dict[str, object], text: str) -> None:
    line = settings_line(FilesAnalysis((), (), {**settings, "method": "gram"}, ()))
    assert line.startswith(f"features {text}")
    assert line.endswith("; method gram")
