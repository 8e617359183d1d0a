"""The length of pre-training, the learning rate of each step, and the error of a diverged training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from ...errors import StudyError
from ..config import PretrainingConfig


class Schedule(NamedTuple):
    """A linear rise times half a cosine that is zero at ``steps``.

    Step t counts from zero: peak · min((t + 1) / warmup, 1) · (1 + cos(π t / steps)) / 2.

    >>> [round(Schedule(1.0, steps=4, per_epoch=2, warmup=2.0)(step), 3) for step in range(4)]
    [0.5, 0.854, 0.5, 0.146]
    """

    peak: float
    steps: int
    per_epoch: int
    """Steps in an epoch; the last of them may see fewer examples."""
    warmup: float
    """In steps."""

    @classmethod
    def of(cls, config: PretrainingConfig, rows: int) -> Schedule:
        """The schedule of a configuration for so many examples."""
        per_epoch = math.ceil(rows / config.batch_size)
        return cls(config.learning_rate, config.epochs * per_epoch, per_epoch, config.warmup * per_epoch)

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        warmed = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
        decayed = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.peak * warmed * decayed


class Saved(NamedTuple):
    """A checkpoint that was written."""

    path: Path
    step: int


def diverged(where: str, step: int, schedule: Schedule, loss: float, saved: Saved | None) -> StudyError:
    """The error of a training whose loss or gradient is not finite."""
    kept = "no checkpoint was asked for" if saved is None else f"the checkpoint before it is {saved.path}"
    at = "" if saved is None else f" (step {saved.step})"
    return StudyError(
        f"pre-training at {where} stopped in step {step} of {schedule.steps}: its loss is {loss:g} or its gradient is "
        f"not finite, at the learning rate {schedule(step):.3g}; {kept}{at}; lower `pretraining.learning_rate` or "
        "lengthen `pretraining.warmup`"
    )
