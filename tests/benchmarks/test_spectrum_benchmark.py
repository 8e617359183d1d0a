"""Streaming spectra against the products that they cannot do without, in one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/test_spectrum_benchmark.py [--device cuda] [--sizes 100000x512 ...]

prints the tables of docs/spectra_measured.md; with ``--rows`` only the time and the memory of 10⁵, 10⁶ and 10⁷ rows;
``pytest tests/benchmarks --benchmark-only`` records the times and fails where a
ratio falls far.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from noisymodel.spectrum import SpectrumAccumulator, analyze

SIZES = ["20000x512", "32768x2048"]  # 16 rows for each feature at least: what happens once is a small part
BATCH = 4096


def features(rows: int, size: int, kind: str = "gaussian") -> torch.Tensor:
    """Float32 rows, with a mean; "collapsed" has singular values from 1 to 1e-6."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(rows, size, generator=generator)
    if kind == "collapsed":
        rotation = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
        found = (found * torch.logspace(0, -6, size)) @ rotation
    return found + torch.randn(size, generator=generator)


def product(rows: torch.Tensor) -> None:
    """The baseline: XᵀX in float64, block by block."""
    total = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for batch in rows.split(BATCH):
        block = batch.double()
        total.addmm_(block.T, block)
    float(total[0, 0])  # waits for the device


def accumulate(rows: torch.Tensor, method: str) -> None:
    total = SpectrumAccumulator(rows.shape[1], method=method)  # type: ignore[arg-type]
    for batch in rows.split(BATCH):
        total.update(batch)
    total.spectrum()


def truncated(rows: torch.Tensor) -> None:
    """The published code's way: scikit-learn's TruncatedSVD with all components."""
    from sklearn.decomposition import TruncatedSVD

    TruncatedSVD(n_components=rows.shape[1]).fit(rows.numpy())


def seconds(
    run: Callable[[], None],
    baseline: Callable[[], None],
    rounds: int = 5,
    *,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float]:
    """The fastest time of each (of this process), taking turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, timed in enumerate((run, baseline)):
            began = clock()
            timed()
            best[index] = min(best[index], clock() - began)
    return best[0], best[1]


@pytest.mark.parametrize(("method", "most"), [("tsqr", 2.0), ("gram", 1.4)])
@pytest.mark.parametrize("size", [512, 2048])
def test_accumulator_against_the_product(benchmark, method: str, most: float, size: int) -> None:
    rows = features(20_000, size)
    benchmark.pedantic(accumulate, (rows, method), rounds=1)
    ours, baseline = seconds(lambda: accumulate(rows, method), lambda: product(rows), rounds=3)
    benchmark.extra_info["ratio"] = ours / baseline
    assert ours < most * baseline


def table(sizes: list[str], device: str, rounds: int) -> None:
    clock = time.process_time if device == "cpu" else time.perf_counter
    print("| rows | features | XᵀX, float64, s | tsqr, s | ratio | tsqr, collapsed, s | ratio | gram, s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count, size in (map(int, text.split("x")) for text in sizes):
        cells: list[float] = []
        once = rounds if size < 1024 else 1  # where a run takes long it is steady enough
        for kind, method in [("gaussian", "tsqr"), ("collapsed", "tsqr"), ("gaussian", "gram")]:
            rows = features(count, size, kind).to(device)
            ours, base = seconds(
                lambda: accumulate(rows, method),  # noqa: B023 - called at once
                lambda: product(rows),  # noqa: B023
                once,
                clock=clock,
            )
            cells += [ours, ours / base] if cells else [base, ours, ours / base]
        print(f"| {count:,} | {size} |", " | ".join(f"{cell:.2f}" for cell in cells), "|", flush=True)


def against_scikit_learn() -> None:
    rows = features(20_000, 512)
    ours, theirs = seconds(lambda: analyze(rows) and None, lambda: truncated(rows), 1)
    stream, _ = seconds(lambda: accumulate(rows, "tsqr"), lambda: None, 3)
    print("\n| 20,000 × 512 | s | TruncatedSVD over it |\n|---|---|---|")
    print(f"| TruncatedSVD, all components | {theirs:.2f} | 1 |")
    print(f"| `analyze` | {ours:.2f} | {theirs / ours:.1f} |")
    print(f"| `SpectrumAccumulator` | {stream:.2f} | {theirs / stream:.1f} |", flush=True)


def many_rows(size: int = 64) -> None:
    """Time for each row and the peak of the memory, of more and more rows, a block of another scale each time."""
    total, block = SpectrumAccumulator(size), features(50_000, size)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n| rows of {size} features | ns a row | peak memory, MiB ({start:.0f} before) |\n|---|---|---|")
    spent = 0.0
    for count in range(1, 201):
        batch = block * (1 + 0.001 * count)
        began = time.process_time()
        total.update(batch)
        if count in (2, 20, 200):
            total.spectrum()
        spent += time.process_time() - began
        if count in (2, 20, 200):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"| {total.count:,} | {spent / total.count * 1e9:.0f} | {peak:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {options.device}, {torch.get_num_threads()} thread\n")
    if options.device == "cpu":  # first, while the peak of the memory is theirs
        many_rows()
    if options.rows:
        return
    print()
    table(options.sizes, options.device, options.rounds)
    if options.device == "cpu":
        against_scikit_learn()


if __name__ == "__main__":
    main()
