"""What `fit` and `sweep` add to the training itself, as ratios against named baselines.

``python tests/benchmarks/test_training_benchmark.py`` prints the tables, one thread (the sweep two, where there are
two), on the device that is its argument (``cpu``); ``pytest tests/benchmarks --benchmark-only`` records the times and
holds the ratios, with room for a busy machine. Times on the CPU are the process's own, so that other processes disturb
them little; the sweep's are also given by the clock on the wall, which says what two cores are worth.

The baseline of `fit` is a bare loop over the same layers with the same loss and optimizer on tensors in memory, rows
drawn anew in each epoch by ``features[index]``: no checks, no history, no schedule. ``--imagenet`` (for a GPU) times an
epoch of 1,281,167 × 2048 float16 features, 1000 classes, batches of 1024; ``--rows`` makes it smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from noisymodel import LinearProbe, MLPProbe, NMTune, fit
from noisymodel.features import FeatureStore
from noisymodel.heads import Head
from noisymodel.losses import nmtune_regularization

FIT_TARGET, FIT_HELD = 0.90, 0.80  # of the bare loop's rows per second: the aim, and what is held on a busy machine
SWEEP_TARGET, SWEEP_HELD = 8.0, 10.0  # 32 heads, times the time of one
IMAGENET = 1_281_167


class Case(NamedTuple):
    """A head, and the rows that it is trained on."""

    make: type[Head]
    width: int
    classes: int
    count: int
    batch: int
    rate: float = 1e-3

    def head(self, device: str = "cpu") -> Head:
        return self.make(self.width, self.classes, generator=torch.Generator().manual_seed(0)).to(device)

    def rows(self) -> tuple[Tensor, Tensor]:
        features = torch.randn(self.count, self.width, generator=torch.Generator().manual_seed(1))
        return features, torch.arange(self.count) % self.classes

    def __str__(self) -> str:
        return f"{self.make.__name__} {self.width}, batch {self.batch}"


CASES = [
    Case(NMTune, 384, 24, 4000, 64),
    Case(MLPProbe, 384, 24, 4000, 64),
    Case(NMTune, 768, 24, 2000, 256),
    Case(MLPProbe, 768, 24, 2000, 256),
    Case(LinearProbe, 2048, 100, 8000, 256, 1e-2),
]
STORAGES = ["tensor", "array", "memmap", "memmap, float16", "store"]


def bare_loop(head: Head, features: Tensor, targets: Tensor, *, epochs: int, batch: int, rate: float) -> None:
    """A plain loop over the head's own layers."""
    network, classifier, objective = head.network, head.classifier, head.objective
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    regularizer: dict[str, Any] = {
        name: getattr(objective, name)
        for name in ("consistency_weight", "covariance_weight", "dominant_weight", "top_k", "reduction")
    }
    generator = torch.Generator().manual_seed(0)
    head.train()
    for _ in range(epochs):
        for index in torch.randperm(len(features), generator=generator).split(batch):
            index = index.to(features.device)
            rows, labels = features[index], targets[index]
            tuned = network(rows)
            loss = functional.cross_entropy(classifier(tuned), labels)
            if head.regularized:
                loss = loss + nmtune_regularization(tuned, rows, **regularizer).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def stored(features: Tensor, storage: str, folder: Path) -> Any:
    """The same rows, kept elsewhere."""
    if storage == "tensor":
        return features
    if storage == "array":
        return features.numpy()
    if storage == "store":
        with FeatureStore.create(folder / "store", num_features=features.shape[1], shard_rows=1500) as store:
            store.append(features)
        return FeatureStore.open(folder / "store")
    path = folder / f"{storage}.npy"
    np.save(path, features.numpy().astype(np.float16 if "float16" in storage else np.float32))
    return np.load(path, mmap_mode="r")


def seconds(*calls: Callable[[], object], device: str = "cpu", budget: float = 10.0, turns: int = 30) -> list[float]:
    """The fastest run of each call; the calls take turns, so that what slows the machine slows all of them."""
    torch.empty(30 * 2**20, dtype=torch.uint8).fill_(0)  # from then on the allocator keeps freed pages, as in training
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = [float("inf")] * len(calls)
    start = time.perf_counter()
    for turn in range(turns):
        for index, call in enumerate(calls):
            begin = clock()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn:  # the first is a warm-up
                best[index] = min(best[index], clock() - begin)
        if turn > 1 and time.perf_counter() - start > budget:
            break
    return best


def compared(case: Case, storages: list[str], folder: Path, device: str = "cpu", budget: float = 10.0) -> list[float]:
    """Seconds of an epoch: of the bare loop, then of `fit` with each storage."""
    features, targets = case.rows()
    loaded, labels = features.to(device), targets.to(device)
    head = case.head(device)
    options: dict[str, Any] = {"epochs": 1, "seed": 0}

    def bare() -> None:
        bare_loop(head, loaded, labels, epochs=1, batch=case.batch, rate=case.rate)

    def fitted(rows: Any) -> Callable[[], object]:
        return lambda: fit(head, rows, targets, batch_size=case.batch, learning_rate=case.rate, **options)

    calls = [fitted(stored(features, storage, folder)) for storage in storages]
    return seconds(bare, *calls, device=device, budget=budget)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fit_against_a_bare_loop(case: Case, tmp_path: Path, benchmark) -> None:
    bare, *ours = compared(case, STORAGES, tmp_path)
    shares = {storage: bare / own for storage, own in zip(STORAGES, ours, strict=True)}
    benchmark.extra_info["share of a bare loop's rows per second"] = shares
    features, targets = case.rows()
    benchmark.pedantic(fit, (case.head(), features, targets), {"epochs": 1, "batch_size": case.batch}, rounds=1)
    assert min(shares.values()) >= FIT_HELD
