"""Another default dtype and another default device of torch change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustness.calls import calls

NOT_HERE = {  # they make modules, which a default device is meant for; the core has tests of its own
    "heads", "models", "baselines", "training", "sweeping", "estimator", "study", "objective", "losses",
}  # fmt: skip
MOVED = {"plot"}  # matplotlib's axes are compared by nothing


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def flat(value: Any) -> list[Any]:
    """Arrays and numbers of a result, to be compared."""
    if isinstance(value, torch.Tensor):
        return [(str(value.dtype), value.device.type, value.tolist())]
    if isinstance(value, np.ndarray):
        return [(str(value.dtype), value.tolist())]
    if isinstance(value, str | int | float | bool | None):
        return [value]
    if isinstance(value, dict):
        return [part for key in value for part in flat(value[key])]
    if isinstance(value, list | tuple):
        return [part for one in value for part in flat(one)]
    state = getattr(value, "state_dict", None)
    if callable(state):
        return flat(dict(state()))
    return [part for one in vars(value).values() for part in flat(one)] if hasattr(value, "__dict__") else []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("default", [default_dtype, lambda: torch.device("meta")], ids=["float64", "meta"])
def test_defaults_change_nothing(default: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchmetrics")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    rooms = ("noise", "datasets", "spectrum", "plot", "features")
    made = [call for call in calls(tmp_path, rooms) if call.room not in NOT_HERE]
    assert len(made) > 60
    for call in made:
        given = {name: as_tensor(value) for name, value in call.arguments().items()} if call.room == "noise" else {}
        expected = call(**given)
        with default():
            found = call(**given)
        if call.room not in MOVED:
            np.testing.assert_equal(flat(found), flat(expected), err_msg=f"{call.room}.{call.name}")


def as_tensor(value: Any) -> Any:
    """Arrays as tensors, so that the results are tensors."""
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
