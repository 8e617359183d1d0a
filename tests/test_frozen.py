"""The comparison with frozen results: it needs a file, sees a change, and renews only when told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import frozen


def test_frozen_values_are_compared_and_renewed_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "FOLDER", tmp_path / "frozen")
    monkeypatch.delenv(frozen.RENEW, raising=False)
    values = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError, match=r"heads\.json has no 'linear'"):
        frozen.assert_frozen("heads", "linear", values)
    with monkeypatch.context() as patch:
        patch.setenv(frozen.RENEW, "1")
        frozen.assert_frozen("heads", "linear", values)
        frozen.assert_frozen("heads", "labels", np.array([2, 0, 1]))
    frozen.assert_frozen("heads", "linear", values)
    frozen.assert_frozen("heads", "labels", torch.tensor([2, 0, 1]))
    with pytest.raises(AssertionError, match="results have changed"):
        frozen.assert_frozen("heads", "linear", values + 1e-6)
    with pytest.raises(AssertionError, match="results have changed"):
        frozen.assert_frozen("heads", "labels", [2, 1, 1])
    with pytest.raises(AssertionError, match="heads, linear"):
        frozen.assert_frozen("heads", "linear", values.flatten())
    with pytest.raises(AssertionError, match="float64 or integers, got float32"):
        frozen.assert_frozen("heads", "linear", values.float())
