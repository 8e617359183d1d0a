"""Figures of records, and paired intervals over seeds and over what was tested on.

An interval resamples seeds and, independently, the groups of test rows (headwords, chapters, emoji, families of fonts),
2,000 times, and takes the 2.5th and 97.5th percentile. It holds the scatter of splits, of training and of the choice of
test rows; it does not hold the choice of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cells import IN_DOMAIN
from .measure import Record, Test

DRAWS = 2000
BINS = 15


def calibration_error(test: Test) -> float:
    """Expected calibration error over 15 bins of equal width, in points."""
    places = np.minimum((test.confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(places, weights=test.correct - test.confidence.astype(float), minlength=BINS)
    return float(100 * np.abs(gaps).sum() / len(places))


def macro_f1(test: Test) -> float:
    """F1 averaged over the classes that the test has, in %."""
    size = int(max(test.labels.max(), test.predicted.max())) + 1
    table = np.zeros((size, size))
    np.add.at(table, (test.labels, test.predicted), 1)
    there = table.sum(1) > 0
    return float(100 * np.mean((2 * np.diag(table) / np.maximum(table.sum(0) + table.sum(1), 1))[there]))


def figures(record: Record) -> dict[str, dict[str, float]]:
    """Accuracy (%), log-loss, ECE (points), macro-F1 and confidence (%) of each test; ``OOD``: means over shifts."""
    found = {
        name: {
            "accuracy": 100 * float(test.correct.mean()),
            "log_loss": -float(test.log_likelihood.astype(float).mean()),
            "ece": calibration_error(test) if np.isfinite(test.confidence).all() else float("nan"),
            "f1": macro_f1(test),
            "confidence": 100 * float(test.confidence.astype(float).mean()),
        }
        for name, test in record.tests.items()
    }
    shifts = [name for name in found if name != IN_DOMAIN]
    return found | {"OOD": {key: float(np.mean([found[n][key] for n in shifts])) for key in found[IN_DOMAIN]}}


def mean_figures(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Means over seeds."""
    per_seed = [figures(record) for record in records]
    return {
        name: {key: float(np.mean([one[name][key] for one in per_seed])) for key in per_seed[0][name]}
        for name in per_seed[0]
    }


def gain_draws(ours: Sequence[Record], theirs: Sequence[Record], *, seed: int = 0) -> dict[str, np.ndarray]:
    """(1 + draws,) differences of accuracy in points, in-domain and OOD: as measured first, then resampled."""
    largest = 1 + max(int(test.groups.max()) for record in ours for test in record.tests.values())
    names = list(ours[0].tests)
    sums = {name: np.zeros((largest, len(ours))) for name in names}
    counts = {name: np.zeros((largest, len(ours))) for name in names}
    for column, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for name in names:
            better = a.tests[name].correct.astype(float) - b.tests[name].correct
            sums[name][:, column] = np.bincount(a.tests[name].groups, weights=better, minlength=largest)
            counts[name][:, column] = np.bincount(a.tests[name].groups, minlength=largest)
    random = np.random.default_rng(seed)
    weights = np.ones((1 + DRAWS, largest))
    weights[1:] = random.multinomial(largest, np.full(largest, 1 / largest), size=DRAWS)
    seeds = np.tile(np.arange(len(ours)), (1 + DRAWS, 1))
    seeds[1:] = random.integers(len(ours), size=(DRAWS, len(ours)))

    def gain(name: str) -> np.ndarray:
        ratio = (weights @ sums[name]) / np.maximum(weights @ counts[name], 1e-9)
        return 100 * np.take_along_axis(ratio, seeds, axis=1).mean(axis=1)

    shifts = [name for name in names if name != IN_DOMAIN]
    return {"id": gain(IN_DOMAIN), "ood": np.mean([gain(name) for name in shifts], axis=0)}


def interval(draws: np.ndarray) -> list[float]:
    """The measured value, and the 2.5th and 97.5th percentile of the rest."""
    low, high = np.percentile(draws[1:], [2.5, 97.5])
    return [round(float(value), 2) for value in (draws[0], low, high)]
