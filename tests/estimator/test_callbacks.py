"""The examples of docs/trainers.md that log epochs, with stand-ins of the same interface for the three libraries.

None of the three is installed: tensorboard needs grpc and werkzeug, wandb and mlflow are larger still.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "trainers.md"


class Recorder:
    """What was logged, as (step, name, value), through the methods of all three libraries."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, str, float]] = []
        self.entered = 0

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.entered -= 1

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        assert global_step is not None
        self._add(global_step, tag, scalar_value)

    def log(self, data: dict[str, Any], step: int | None = None) -> None:
        assert step is not None
        assert type(data) is dict
        for name, value in data.items():
            self._add(step, name, value)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.log(metrics, step)

    def _add(self, step: int, name: str, value: float) -> None:
        assert self.entered == 1, "logged outside the run"
        assert isinstance(value, int | float)
        self.logged.append((step, name, value))


def stand_ins(recorder: Recorder) -> Mapping[str, ModuleType]:
    def start(log_dir: str) -> Recorder:
        assert log_dir
        return recorder

    def init(*, project: str, mode: str) -> Recorder:
        assert (project, mode) == ("digits", "offline")
        return recorder

    modules = {name: ModuleType(name) for name in ("torch.utils.tensorboard", "wandb", "mlflow")}
    vars(modules["torch.utils.tensorboard"])["SummaryWriter"] = start
    vars(modules["wandb"])["init"] = init
    vars(modules["mlflow"]).update(start_run=lambda: recorder, log_metrics=recorder.log_metrics)
    return modules


@pytest.mark.parametrize("library", ["torch.utils.tensorboard", "wandb", "mlflow"])
def test_every_epoch_is_logged(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if re.search(rf"^(import|from) {re.escape(library)}\b", block, re.MULTILINE)]
    recorder = Recorder()
    for name, module in stand_ins(recorder).items():
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})  # noqa: S102 - our own page
    by_name: dict[str, list[int]] = {}
    for step, name, _ in recorder.logged:
        by_name.setdefault(name, []).append(step)
    steps = by_name["epoch"]
    assert len(steps) >= 10  # more where fewer would be too few steps
    assert steps == list(range(steps[0], steps[0] + len(steps)))
    assert by_name["train_total"] == by_name["train_consistency"] == steps
    losses = [value for _, name, value in recorder.logged if name == "train_task"]
    assert losses[-1] < losses[0]
