"""What label noise costs, as ratios against named baselines in the same run.

``python tests/benchmarks/test_noise_benchmark.py`` prints the tables (10 million labels, 1000 classes; some minutes);
``pytest tests/benchmarks --benchmark-only`` records the times of a tenth of that and holds the ratios, with room for a
busy machine. Baselines that loop over samples are timed on a few thousand of them and compared per sample.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pytest
import torch

from noisymodel.noise import LabelNoise, from_transition, instance_dependent, symmetric, symmetric_transition
from reference.noise import loop_instance_dependent, loop_rows, per_class_choice

CLASSES, RATE = 1000, 0.4
SAMPLES, TENTH = 10_000_000, 1_000_000
MANY = 4_000_000  # of instance-dependent noise: 1 GiB of features
LOOPED = 3000  # samples of the baselines that loop over samples
TARGETS = {"per class": (20, 8), "per sample": (50, 50)}  # wanted at 10 million; held at a tenth on a busy machine
MATRIX = symmetric_transition(CLASSES, RATE)


def labels_of(samples: int) -> np.ndarray:
    return np.random.default_rng(0).integers(CLASSES, size=samples)


def symmetric_noise(labels: np.ndarray) -> object:
    return symmetric(labels, RATE, num_classes=CLASSES, seed=0)


def symmetric_bernoulli(labels: np.ndarray) -> object:
    return symmetric(labels, RATE, num_classes=CLASSES, selection="bernoulli", seed=0)


def transition_noise(labels: np.ndarray) -> object:
    return from_transition(labels, MATRIX, seed=0)


def transition_bernoulli(labels: np.ndarray) -> object:
    return from_transition(labels, MATRIX, selection="bernoulli", seed=0)


OURS = {
    "symmetric, exact": symmetric_noise,
    "symmetric, Bernoulli": symmetric_bernoulli,
    "from_transition, exact": transition_noise,
    "from_transition, Bernoulli": transition_bernoulli,
}


def seconds(*calls: Callable[[], object], turns: int = 3) -> list[float]:
    """The fastest run of each call; the calls take turns, so that what slows the machine slows all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(turns):
        for index, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - begin)
    return best


def instance_case(classes: int, features: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((samples, features), dtype=np.float32)
    return generator.integers(classes, size=samples), rows


@pytest.mark.parametrize("name", OURS)
def test_against_the_loops_over_classes_and_samples(name: str, benchmark) -> None:
    labels = labels_of(TENTH)
    few = labels[:LOOPED]
    ours, by_class, by_sample = seconds(
        lambda: OURS[name](labels), lambda: per_class_choice(labels, MATRIX, seed=0), lambda: loop_rows(few, MATRIX, 0)
    )
    benchmark.extra_info["times faster than a choice per class"] = by_class / ours
    benchmark.extra_info["times faster than a draw per sample"] = by_sample / LOOPED * TENTH / ours
    benchmark.pedantic(OURS[name], (labels,), rounds=3)
    assert by_class / ours >= TARGETS["per class"][1]
    assert by_sample / LOOPED * TENTH / ours >= TARGETS["per sample"][1]


@pytest.mark.parametrize(("classes", "features", "samples"), [(10, 512, 50_000), (100, 512, 50_000)])
def test_instance_dependent_against_its_loop(classes: int, features: int, samples: int, benchmark) -> None:
    labels, rows = instance_case(classes, features, samples)
    few = min(LOOPED, samples)
    ours, loop = seconds(
        lambda: instance_dependent(labels, rows, 0.2, num_classes=classes, seed=0),
        lambda: loop_instance_dependent(labels[:few], rows[:few], 0.2, classes, seed=0),
    )
    benchmark.extra_info["times faster than the loop over samples"] = loop / few * samples / ours
    benchmark.pedantic(lambda: instance_dependent(labels, rows, 0.2, num_classes=classes, seed=0), rounds=3)
    assert loop / few * samples / ours >= 10  # at its size of millions 50, when the projections have paid off


def print_labels() -> None:
    labels = labels_of(SAMPLES)
    few = labels[:LOOPED]
    by_class, by_sample, *ours = seconds(
        lambda: per_class_choice(labels, MATRIX, seed=0),
        lambda: loop_rows(few, MATRIX, 0),
        *(lambda call=call: call(labels) for call in OURS.values()),
    )
    by_sample *= SAMPLES / LOOPED
    print(f"{SAMPLES:,} labels, {CLASSES} classes, rate {RATE}\n")
    print(
        "| | seconds | choice per class / here | target | draw per sample / here | target |\n|---|---|---|---|---|---|"
    )
    print(f"| a choice per class (cleanlab's definition) | {by_class:.2f} | | | | |")
    print(f"| a draw per sample ({LOOPED:,} timed) | {by_sample:.0f} | | | | |")
    for name, own in zip(OURS, ours, strict=True):
        ratios = (
            f"{by_class / own:.0f} | {TARGETS['per class'][0]} | {by_sample / own:.0f} | {TARGETS['per sample'][0]}"
        )
        print(f"| {name} | {own:.2f} | {ratios} |")


def print_instances() -> None:
    print("\nInstance-dependent, rate 0.2, microseconds a sample\n")
    print("| samples × features, classes | loop over samples | here | times faster | target |\n|---|---|---|---|---|")
    for classes, features, samples in [(10, 512, 50_000), (10, 3072, 50_000), (100, 512, 50_000), (1000, 64, MANY)]:
        labels, rows = instance_case(classes, features, samples)
        few = min(LOOPED, samples)
        ours, loop = seconds(
            lambda a=labels, b=rows, k=classes: instance_dependent(a, b, 0.2, num_classes=k, seed=0),
            lambda a=labels[:few], b=rows[:few], k=classes: loop_instance_dependent(a, b, 0.2, k, seed=0),
        )
        loop, ours = loop / few * 1e6, ours / samples * 1e6
        print(f"| {samples:,} × {features}, {classes} | {loop:.1f} | {ours:.2f} | {loop / ours:.0f} | 50 |")


def print_streams() -> None:
    labels = labels_of(TENTH)
    noise = LabelNoise("symmetric", RATE, num_classes=CLASSES, seed=0)
    keys = [f"{index:09d}" for index in range(TENTH)]
    (many,) = seconds(lambda: noise.at_many(keys, labels))
    (one,) = seconds(lambda: [noise.at(key, 3) for key in keys[:100_000]])
    print(f"\nBy key, microseconds a sample: at {one * 10:.2f}, at_many {many / TENTH * 1e6:.2f}")


if __name__ == "__main__":
    print(f"numpy {np.__version__}, torch {torch.__version__}, {platform.machine()}, wall time, best of 3\n")
    print_labels()
    print_instances()
    print_streams()
