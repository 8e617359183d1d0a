"""What `fit` and `sweep` add to the training itself, as ratios against named baselines.

``python tests/benchmarks/test_training_benchmark.py`` prints the tables, one thread (``--threads``: more), on the
device that is its argument (``cpu``); ``pytest tests/benchmarks --benchmark-only`` records the times and
holds the ratios, with room for a busy machine. Times on the CPU are the process's own, so that other processes disturb
them little; the sweep's are also given by the clock on the wall, which says what two cores are worth.

The baseline of `fit` is a bare loop over the same layers with the same loss and optimizer on tensors in memory, rows
drawn anew in each epoch by ``features[index]``: no checks, no history, no schedule. With ``cuda``, or ``--only
imagenet``, an epoch of 1,281,167 × 2048 float16 features, 1000 classes, batches of 1024, is timed (``--rows``: fewer).
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from noisymodel import LinearProbe, MLPProbe, NMTune, fit, sweep
from noisymodel.features import FeatureStore
from noisymodel.heads import Head
from noisymodel.losses import nmtune_regularization

FIT_TARGET, FIT_HELD = 0.90, 0.80  # of the bare loop's rows per second: the aim, and what is held on a busy machine
SWEEP_HELD = {"NMTune, 384 hidden": 32.0, "linear probe": 16.0}  # 32 heads, times the time of one; the aim is 8
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
            rows, labels = head.normalized(features[index]), targets[index]
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


GRID = [
    {"consistency_weight": weight, "covariance_weight": other, "label_smoothing": smoothing, "learning_rate": rate}
    for weight in (0.1, 0.3, 1.0, 3.0)
    for other in (0.02, 3.0)
    for smoothing in (0.0, 0.1)
    for rate in (1e-3, 3e-3)
]
SWEEPS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {  # the head alone, and the 32
    "NMTune": ({}, GRID),
    "MLP": ({"method": "mlp"}, [{"method": "mlp", "learning_rate": 1e-3 * (1 + place)} for place in range(32)]),
    "NMTune, 384 hidden": ({"hidden_features": 384}, [{**entry, "hidden_features": 384} for entry in GRID]),
    "linear probe": ({"method": "linear"}, [{"method": "linear", "weight_decay": 1e-4 * 2**i} for i in range(32)]),
}
KINDS: dict[str, type[Head]] = {"nmtune": NMTune, "mlp": MLPProbe, "linear": LinearProbe}


def one_and_many(
    kind: str, device: str = "cpu", count: int = 8000
) -> tuple[Callable[[], object], Callable[[], object]]:
    """`fit` of one head, and `sweep` of 32; an epoch of ``count`` rows of 384 features, batches of 64."""
    alone, grid = SWEEPS[kind]
    features = torch.randn(count, 384, generator=torch.Generator().manual_seed(0)).to(device)
    targets = torch.arange(count) % 24
    settings = {key: value for key, value in alone.items() if key != "method"}
    make = KINDS[alone.get("method", "nmtune")]

    def one() -> object:
        head = make(384, 24, generator=torch.Generator().manual_seed(0), **settings).to(device)
        return fit(head, features, targets, epochs=1, seed=0)

    def many() -> object:
        return sweep(384, 24, grid, features, targets, validation=(features[:64], targets[:64]), epochs=1)

    return one, many


def products(heads: int) -> Callable[[], object]:
    """The floor of a step of ``heads`` heads: the matrix products of one head's step, each of them that often."""
    rows, hidden, upstream = (torch.randn(64, width) for width in (384, 1536, 1536))
    first, second = torch.randn(1536, 384), torch.randn(384, 1536)

    def step() -> None:
        for _ in range(heads):
            tuned = (rows @ first.T) @ second.T
            _ = tuned.T @ hidden, tuned @ second, upstream.T @ rows

    return step


@pytest.mark.parametrize("kind", ["NMTune, 384 hidden", "linear probe"])
def test_a_sweep_of_32_heads_against_one(kind: str, benchmark) -> None:
    one, many = one_and_many(kind, count=1000)
    alone, together = seconds(one, many, budget=20)
    benchmark.extra_info["times the time of one head"] = together / alone
    benchmark.pedantic(many, rounds=1)
    assert together / alone <= SWEEP_HELD[kind]


def imagenet(device: str, count: int, width: int, classes: int, batch: int) -> list[float]:
    """Seconds of an epoch of ImageNet's size, float16 features on the device: each head, uncompiled and compiled."""
    generator = torch.Generator().manual_seed(0)
    features = torch.empty(count, width, dtype=torch.float16)
    for part in features.split(1 << 16):
        part.copy_(torch.randn(part.shape, generator=generator))
    targets = torch.randint(classes, (count,), generator=generator)
    features = features.to(device)
    mode = "reduce-overhead" if device == "cuda" else True
    found: list[float] = []
    for make in (MLPProbe, NMTune):
        for compiled in (False, mode) if device == "cuda" else (False,):
            head = make(width, classes, generator=torch.Generator().manual_seed(0)).to(device)
            with torch.autocast(device, dtype=torch.bfloat16):
                result = fit(head, features, targets, epochs=2, batch_size=batch, seed=0, compile=compiled)
            found.append(result.history[-1]["seconds"])  # the second epoch: nothing is compiled in it
            print(f"| {make.__name__} | {compiled} | {found[-1]:.2f} s an epoch |")
    return found


def test_the_harness_of_imagenets_size_runs_at_a_small_one(benchmark) -> None:
    found = benchmark.pedantic(imagenet, ("cpu", 300, 64, 10, 100), rounds=1)
    assert len(found) == 2
    assert min(found) > 0


def print_fit(device: str) -> None:
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} thread(s), {device}\n")
    print("Share of a bare loop's rows per second\n")
    print(f"| head | ms a step, bare | {' | '.join(STORAGES)} |\n|---|---|{'---|' * len(STORAGES)}")
    for case in CASES:
        with TemporaryDirectory() as folder:
            bare, *ours = compared(case, STORAGES, Path(folder), device, budget=25)
        steps = -(-case.count // case.batch)
        cells = [f"{bare / steps * 1000:.2f}", *(f"{100 * bare / own:.0f} %" for own in ours)]
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


def print_sweep(device: str, count: int) -> None:
    print(
        f"\n32 heads in one sweep against one head alone, {count} rows, {torch.get_num_threads()} thread(s), {device}\n"
    )
    print("| heads | one, s | 32, s | ratio | by the clock on the wall |\n|---|---|---|---|---|")
    for kind in SWEEPS:
        one, many = one_and_many(kind, device, count)
        clocks = {time.process_time: [9e9, 9e9], time.perf_counter: [9e9, 9e9]}
        for turn in range(3):
            for place, call in enumerate((one, many)):
                begins = {clock: clock() for clock in clocks}
                call()
                if device != "cpu":
                    torch.cuda.synchronize()
                for clock, begin in begins.items():
                    clocks[clock][place] = min(clocks[clock][place], clock() - begin) if turn else 9e9
        (cpu, cpus), (wall, walls) = clocks.values()
        print(f"| {kind} | {cpu:.2f} | {cpus:.2f} | {cpus / cpu:.1f} | {walls / wall:.1f} |", flush=True)
    if device == "cpu":
        print()
        for kind in ("MLP", "NMTune"):
            one, _ = one_and_many(kind, count=count)
            alone, floor = seconds(one, products(32))
            ratio = -(-count // 64) * floor / alone
            print(f"{kind}: the matrix products of 32 heads alone are {ratio:.1f} times a whole step of one.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--only", choices=["fit", "sweep", "imagenet"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, help="of the sweep (8000) or of ImageNet's size")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only in (None, "fit"):
        print_fit(options.device)
    if options.only in (None, "sweep"):
        print_sweep(options.device, options.rows or 8000)
    if options.only == "imagenet" or (options.only is None and options.device == "cuda"):
        print("\nImageNet's size, bfloat16 autocast\n\n| head | compile | |\n|---|---|---|")
        imagenet(options.device, options.rows or IMAGENET, 2048, 1000, 1024)


if __name__ == "__main__":
    main()
