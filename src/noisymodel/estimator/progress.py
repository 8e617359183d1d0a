"""The progress bar of a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tqdm import tqdm


class Stage(NamedTuple):
    """A stage of a fit: its name, the most steps it takes, and the relative cost of a step."""

    name: str
    steps: int
    cost: float


class Bar:
    """A progress bar over several stages, all known before the first begins; silent unless shown."""

    def __init__(self, stages: Sequence[Stage], *, shown: bool) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._ends: dict[str, float] = {}
        total = 0.0
        for stage in stages:
            total += stage.steps * stage.cost
            self._ends[stage.name] = total
        self._bar = tqdm(
            total=total or 1.0, disable=not shown, bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
        )
        self._current: Stage | None = None
        self._began = time.perf_counter()

    def begin(self, name: str, what: str) -> Callable[[], None]:
        """Begin and show a stage; return the function to call after each of its steps."""
        self.finish()
        self._current = self._stages[name]
        self._began = time.perf_counter()
        if not self._bar.disable:
            self._bar.write(f"{name}: {what}")
            self._bar.set_description(name)
        return self.update

    def update(self) -> None:
        """Count one step of the current stage."""
        if self._current is not None:
            self._bar.update(min(self._current.cost, self._ends[self._current.name] - self._bar.n))

    def finish(self) -> None:
        """Go to the end of the current stage, which may have ended early."""
        if self._current is not None:
            self._bar.update(max(0.0, self._ends[self._current.name] - self._bar.n))
            self._current = None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if not self._bar.disable:
            self._bar.write(line)

    def close(self) -> None:
        """Finish and release the terminal."""
        self.finish()
        self._bar.close()
