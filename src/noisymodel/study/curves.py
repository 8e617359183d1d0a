"""Learning curves: loss and accuracies of every epoch of tuning, on the test sets of the study."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..heads import Head
from .data import Examples
from .record import CLEAN_SHIFT, CurveRow, Row


class CurveRecorder:
    """What a training run calls after each epoch; ``rows`` grows.

    Args:
        tests: shift -> test set, its inputs as the head sees them.
        row: makes a row of a metric, a value and a shift.
        accuracy: of a head on a test set.
    """

    def __init__(
        self,
        tests: Mapping[str, Examples],
        row: Callable[[str, float, str], Row],
        accuracy: Callable[[Head, Examples], float],
    ) -> None:
        self.rows: list[CurveRow] = []
        self._tests, self._row, self._accuracy = tests, row, accuracy

    def __call__(self, head: Head, epoch: Mapping[str, float]) -> None:
        """Record one epoch; the head is only looked at."""
        found = [self._row("training_loss", epoch["train_total"], CLEAN_SHIFT)]
        found += [self._row("accuracy", self._accuracy(head, test), shift) for shift, test in self._tests.items()]
        self.rows += [CurveRow(*row, epoch=int(epoch["epoch"])) for row in found]
