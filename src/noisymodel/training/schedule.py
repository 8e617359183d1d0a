"""The training settings that may differ between heads of one batched model, and the learning rate of each step."""

from __future__ import annotations

import math
from typing import NamedTuple

from .._checks import check_number


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


class Rates(NamedTuple):
    """A head's settings of AdamW and the schedule; heads with the same rates share an optimizer step."""

    learning_rate: float
    weight_decay: float
    warmup: float

    def checked(self, epochs: int) -> Rates:
        """Check the range of each number, and return them as Python numbers."""
        return Rates(
            check_number(self.learning_rate, "learning_rate", minimum=0, exclusive_minimum=True),
            check_number(self.weight_decay, "weight_decay", minimum=0),
            check_number(self.warmup, "warmup", minimum=0, maximum=epochs),
        )

    def schedule(self, epochs: int, steps: int) -> Schedule:
        """The learning rates of so many epochs of so many steps."""
        return Schedule(self.learning_rate, epochs * steps, round(self.warmup * steps))
