"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import NamedTuple


class Schedule(NamedTuple):
    """A linear rise to ``peak`` over ``warmup`` steps, then half a cosine to zero at ``steps``.

    At step t, from zero: peak · (t + 1) / warmup, then peak · (1 + cos(π (t − warmup) / (steps − warmup))) / 2.

    >>> [round(Schedule(1.0, steps=6, warmup=2)(step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """

    peak: float
    steps: int
    warmup: int = 0

    def __call__(self, step: int) -> float:
        """The learning rate of step ``step``."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        return self.peak * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup))) / 2
