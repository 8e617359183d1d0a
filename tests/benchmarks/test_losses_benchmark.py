"""What the regularizers cost, as ratios against named baselines of the same run.

``python tests/benchmarks/test_losses_benchmark.py`` prints one table, one thread, on the CPU; ``pytest tests/benchmarks
--benchmark-only`` records the times and holds the ratios, with room for a busy machine. Times on the CPU are the
process's own, so that other processes disturb them little.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
import torch
from torch import Tensor

from noisymodel.losses import nmtune_regularization
from reference.matrices import falling
from reference.published import covariance_and_dominant

Size = tuple[int, int]

FASTER = {(64, 768): 4.0, (64, 2048): 12.0, (256, 1024): 2.5}  # at least, than the published code
DEARER = {  # at most, than the same step without regularizers
    (64, 768): 1.15, (64, 2048): 1.15, (128, 2048): 1.15, (64, 384): 1.25, (256, 768): 1.25, (256, 1024): 1.25
}  # fmt: skip
ROOM = 1.3  # of a busy machine
WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 0.04, "dominant_weight": 0.001}


def rows(size: Size, device: str = "cpu", seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(device)


def realistic(size: Size) -> Tensor:
    """Features whose singular values fall from 1 to 1/100."""
    return falling(*size, 2).float()


FEATURES = {"Gaussian": rows, "σ from 1 to 1/100": realistic}


def published(features: Tensor) -> None:
    covariance_and_dominant(features).backward()


def ours(features: Tensor) -> None:
    nmtune_regularization(features, None, top_k=min(5, *features.shape), **WEIGHTS).total.backward()


class Step:
    """A training step of the published network: Linear(D, 4D)–BN–ReLU–Linear(4D, D) + residual, classifier, AdamW."""

    def __init__(self, size: Size, device: str = "cpu", features: Tensor | None = None) -> None:
        width = size[1]
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            self.network = torch.nn.Sequential(
                torch.nn.Linear(width, 4 * width),
                torch.nn.BatchNorm1d(4 * width),
                torch.nn.ReLU(),
                torch.nn.Linear(4 * width, width),
            ).to(device)
            self.classifier = torch.nn.Linear(width, 10).to(device)
        parameters = [*self.network.parameters(), *self.classifier.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-3)
        self.features = rows(size, device) if features is None else features
        self.targets = torch.arange(size[0], device=device) % 10

    def loss(self, regularized: bool) -> Tensor:
        tuned = self.network(self.features) + self.features
        loss = torch.nn.functional.cross_entropy(self.classifier(tuned), self.targets)
        if regularized:
            loss = loss + nmtune_regularization(tuned, self.features, top_k=min(5, *tuned.shape), **WEIGHTS).total
        return loss

    def __call__(self, regularized: bool) -> None:
        self.optimizer.zero_grad()
        self.loss(regularized).backward()
        self.optimizer.step()


def seconds(*calls: Callable[[], object], device: str = "cpu", budget: float = 3.0, in_a_row: int = 5) -> list[float]:
    """The fastest run of each call; the calls take turns, so that what slows the machine slows all of them.

    In a turn a call is made ``in_a_row`` times: at N = 64 the first one after another call is slower by up to a half,
    since neither its code nor its data are in a cache any more.
    """
    torch.empty(30 * 2**20, dtype=torch.uint8).fill_(0)  # from then on the allocator keeps freed pages, as in training
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = [float("inf")] * len(calls)
    start = time.perf_counter()
    for turn in range(2000):
        for index, call in enumerate(calls):
            for _ in range(in_a_row if turn else 1):
                begin = clock()
                call()
                if device != "cpu":
                    torch.cuda.synchronize()
                if turn:  # the first is a warm-up
                    best[index] = min(best[index], clock() - begin)
        if turn > 2 and time.perf_counter() - start > budget:
            break
    return best


def times_faster(size: Size, features: Tensor, budget: float = 3.0) -> tuple[float, float]:
    """Seconds of the published regularizers, forward and backward, and of these."""
    leaf = features.requires_grad_()
    baseline, here = seconds(lambda: published(leaf), lambda: ours(leaf), budget=budget)
    return baseline, here


def times_dearer(size: Size, features: Tensor, budget: float = 6.0) -> tuple[float, float]:
    """Seconds of a step without regularizers, and of the same step with all three."""
    step = Step(size, features=features)
    baseline, here = seconds(lambda: step(False), lambda: step(True), budget=budget, in_a_row=1)
    return baseline, here


@pytest.mark.parametrize("size", FASTER, ids=str)
def test_regularizers_against_the_published_code(size: Size, benchmark) -> None:
    for name, features in FEATURES.items():
        baseline, here = times_faster(size, features(size))
        benchmark.extra_info[f"times faster than torch.svd and the D×D covariance, {name}"] = baseline / here
        assert baseline / here >= FASTER[size] / ROOM
    benchmark.pedantic(ours, (rows(size).requires_grad_(),), rounds=3)


@pytest.mark.parametrize("size", DEARER, ids=str)
def test_a_whole_step_against_the_same_step_without_regularizers(size: Size, benchmark) -> None:
    baseline, here = times_dearer(size, rows(size))
    benchmark.extra_info["times the step without regularizers"] = here / baseline
    benchmark.pedantic(Step(size), (True,), rounds=3)
    assert here / baseline <= DEARER[size] * ROOM


def print_table() -> None:
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} thread(s), ms of CPU time\n")
    columns = ("what", "baseline", "N×D", "features", "baseline, ms", "here, ms", "ratio", "target")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")

    def line(what: str, against: str, size: Size, name: str, found: tuple[float, float], ratio: str, aim: str) -> None:
        times = " | ".join(f"{1000 * time:.2f}" for time in found)
        print(f"| {what} | {against} | {size[0]}×{size[1]} | {name} | {times} | {ratio} | {aim} |", flush=True)

    for size, target in FASTER.items():
        for name, features in FEATURES.items():
            found = times_faster(size, features(size), budget=6)
            ratio, aim = f"{found[0] / found[1]:.1f}", f"≥ {target:g}"
            line("covariance and dominant term", "published code", size, name, found, ratio, aim)
    for size, target in DEARER.items():
        for name, features in FEATURES.items():
            found = times_dearer(size, features(size), budget=20)
            ratio, aim = f"{found[1] / found[0]:.2f}", f"≤ {target:g}"
            line("training step, all terms", "the step without", size, name, found, ratio, aim)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print_table()
