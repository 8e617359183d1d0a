"""What pair noise costs, as ratios against named baselines in the same run.

``python tests/benchmarks/test_pairs_benchmark.py`` prints the tables (12 million pairs; about two minutes);
``pytest tests/benchmarks --benchmark-only`` records a tenth of that and holds the ratios, with room for a busy machine.

Baselines: *published* is the procedure of noisy-correspondence code (shuffle the indices, shuffle the images of the
first r·N among themselves; captions may come back), vectorised; *loop* draws for every selected pair another one until
its image differs, which is what a derangement by hand looks like (and keeps no caption's count).
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pytest

from noisymodel.datasets import NoisyLabelDataset, NoisyPairDataset
from noisymodel.noise import LabelNoise, PairNoise, corrupt_features, corrupt_tokens, shuffle_pairs, symmetric
from noisymodel.noise.pairs import PAIR_MODES

PAIRS, TENTH, RATE = 12_000_000, 1_200_000, 0.3
LOOPED = 20_000
HELD = {"published": 8.0, "loop": 5.0}  # at most so many times the first; at least so many times faster than the second


def published(images: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(0)
    order = generator.permutation(len(images))
    chosen = order[: int(RATE * len(images))]
    noisy = images.copy()
    noisy[chosen] = generator.permutation(noisy[chosen])
    return noisy


def loop(images: np.ndarray, count: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    permutation = np.arange(len(images))
    for place in generator.permutation(len(images))[:count]:
        other = int(generator.integers(len(images)))
        while images[other] == images[place]:
            other = int(generator.integers(len(images)))
        permutation[place] = other
    return permutation


def seconds(*calls: Callable[[], object], turns: int = 3) -> list[float]:
    """The least CPU time of each call; the calls take turns, so that what slows the machine slows all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(turns):
        for index, call in enumerate(calls):
            begin = time.process_time()
            call()
            best[index] = min(best[index], time.process_time() - begin)
    return best


def image_ids(pairs: int, captions: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.arange(pairs) // captions)


@pytest.mark.parametrize("captions", [1, 5])
@pytest.mark.parametrize("mode", PAIR_MODES)
def test_against_published_code_and_a_loop(mode: str, captions: int, benchmark) -> None:
    images = image_ids(TENTH, captions)
    small = images[: LOOPED * 10]
    ours, plain, looped, empty = seconds(
        lambda: shuffle_pairs(images, RATE, mode=mode, seed=0),
        lambda: published(images),
        lambda: loop(small, LOOPED),
        lambda: loop(small, 0),
    )
    looped = (looped - empty) / LOOPED * RATE * TENTH
    benchmark.extra_info["times the published procedure"] = ours / plain
    benchmark.extra_info["times faster than a loop over pairs"] = looped / ours
    benchmark.pedantic(lambda: shuffle_pairs(images, RATE, mode=mode, seed=0), rounds=3)
    assert ours / plain <= HELD["published"]
    assert looped / ours >= HELD["loop"]


def print_pairs() -> None:
    print(f"{PAIRS:,} pairs, rate {RATE}: seconds of CPU\n")
    print("| | one caption an image | five | one image has half of all |\n|---|---|---|---|")
    half = np.random.default_rng(0).permutation(np.maximum(np.arange(PAIRS) - PAIRS // 2, 0))
    cases = [image_ids(PAIRS, 1), image_ids(PAIRS, 5), half]
    for name, call in {
        "published procedure (captions may come back)": published,
        **{mode: lambda ids, mode=mode: shuffle_pairs(ids, RATE, mode=mode, seed=0) for mode in PAIR_MODES},
    }.items():
        times = [seconds(lambda ids=ids, call=call: call(ids), turns=2)[0] for ids in cases]
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in times) + " |")
    looped = seconds(lambda: loop(cases[1][:200_000], LOOPED), turns=1)[0] / LOOPED * RATE * PAIRS
    print(f"| loop over pairs ({LOOPED:,} timed) | | {looped:.0f} | |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of the process, the three arrays of ids (0.27 GiB) among it: {peak:.1f} GiB\n")


def print_samples() -> None:
    count = 100_000
    records = [{"__key__": f"{i:09d}", "image": 0, "text": f"caption {i}", "label": i % 10} for i in range(count)]
    labels = np.arange(count) % 10
    cases = {
        "the records alone": records,
        "NoisyLabelDataset, NoisyLabels": NoisyLabelDataset(records, symmetric(labels, RATE, seed=0)),
        "NoisyLabelDataset, LabelNoise": NoisyLabelDataset(
            records, LabelNoise("symmetric", RATE, num_classes=10, seed=0)
        ),
        "NoisyPairDataset, NoisyPairs": NoisyPairDataset(records, shuffle_pairs(count, RATE, seed=0)),
        "NoisyPairDataset, PairNoise": NoisyPairDataset(
            records, PairNoise(RATE, [record["text"] for record in records], seed=0)
        ),
    }
    print("| reading a sample | microseconds |\n|---|---|")
    times = seconds(*[lambda source=source: [source[i] for i in range(count)] for source in cases.values()])
    for name, value in zip(cases, times, strict=True):
        print(f"| {name} | {value / count * 1e6:.1f} |")


def print_inputs() -> None:
    rows = np.random.default_rng(0).standard_normal((100_000, 256), dtype=np.float32)
    tokens = np.random.default_rng(0).integers(5, 30_000, size=(10_000, 128))
    print("\n| inputs | nanoseconds a number |\n|---|---|")
    features = {
        "numpy's standard_normal alone": lambda: np.random.default_rng(0).standard_normal(rows.shape, np.float32),
        "gaussian, sigma": lambda: corrupt_features(rows, sigma=0.1, seed=0),
        "gaussian, relative_sigma": lambda: corrupt_features(rows, relative_sigma=0.1, seed=0),
        "gaussian, snr": lambda: corrupt_features(rows, snr=10, seed=0),
        "dropout": lambda: corrupt_features(rows, "dropout", rate=0.1, seed=0),
        "neftune": lambda: corrupt_features(rows, "neftune", alpha=5, seed=0),
    }
    for name, value in zip(features, seconds(*features.values()), strict=True):
        print(f"| {name} | {value / rows.size * 1e9:.1f} |")
    for mode in ("substitute", "mask", "delete", "swap"):
        options = {"vocabulary_size": 30_000, "mask_token": 4, "pad_token": 0, "special_tokens": {1, 2}}
        (value,) = seconds(lambda m=mode, o=options: corrupt_tokens(tokens, 0.15, mode=m, **o, seed=0))
        print(f"| tokens, {mode} | {value / tokens.size * 1e9:.1f} |")


if __name__ == "__main__":
    print(f"numpy {np.__version__}, {platform.machine()}\n")
    print_pairs()
    print_samples()
    print_inputs()
