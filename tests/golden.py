"""Golden values: computed once by independent float64 code, stored in ``reference/golden.json``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = json.loads((Path(__file__).parent / "reference" / "golden.json").read_text())

RECIPES = {
    "gauss_1000x64": lambda: np.random.default_rng(0).standard_normal((1000, 64)),
    "diag_4321": lambda: np.diag([4.0, 3.0, 2.0, 1.0]),
    "identity_32": lambda: np.eye(32),
    "one_row_1x16": lambda: np.random.default_rng(2).standard_normal((1, 16)),
    "wide_20x100": lambda: np.random.default_rng(3).standard_normal((20, 100)),
    "constant_rows_50x8": lambda: np.tile(np.arange(1.0, 9.0), (50, 1)),
    "zeros_10x5": lambda: np.zeros((10, 5)),
}


def golden_matrix(name: str) -> np.ndarray:
    """The matrix that the golden values of ``name`` belong to, checked to be the same one."""
    matrix = RECIPES[name]()
    check = GOLDEN["spectra"][name].get("check", {})
    assert list(matrix.shape) == GOLDEN["spectra"][name]["shape"]
    if check:
        assert matrix.sum() == pytest.approx(check["sum"], rel=1e-12, abs=1e-12)
        assert (matrix**2).sum() == pytest.approx(check["sumsq"], rel=1e-12, abs=1e-12)
        assert matrix.ravel()[:3].tolist() == check["first"][:3]
    return matrix
