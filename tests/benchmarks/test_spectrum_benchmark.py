"""Streaming spectra against the products that they cannot do without, in one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/test_spectrum_benchmark.py [--device cuda] [--sizes 100000x512 ...]

prints the table of docs/spectra.md, and with ``--rows`` the time and the memory of 10⁵, 10⁶ and 10⁷ rows;
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

SIZES = ["40000x512", "40000x2048"]
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
    print("| rows | features | XᵀX, float64 | tsqr | ratio | tsqr, collapsed | ratio | gram | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count, size in (map(int, text.split("x")) for text in sizes):
        cells: list[float] = []
        for kind, method in [("gaussian", "tsqr"), ("collapsed", "tsqr"), ("gaussian", "gram")]:
            rows = features(count, size, kind).to(device)
            ours, base = seconds(
                lambda: accumulate(rows, method),  # noqa: B023 - called at once
                lambda: product(rows),  # noqa: B023
                rounds,
                clock=clock,
            )
            cells += [ours, ours / base] if cells else [base, ours, ours / base]
        print(f"| {count:,} | {size} |", " | ".join(f"{cell:.2f}" for cell in cells), "|", flush=True)


def against_scikit_learn() -> None:
    rows = features(20_000, 512)
    ours, theirs = seconds(lambda: analyze(rows) and None, lambda: truncated(rows), 2)
    stream, _ = seconds(lambda: accumulate(rows, "tsqr"), lambda: None, 3)
    print(f"\n20,000 × 512: TruncatedSVD {theirs:.2f}, analyze {ours:.2f} ({theirs / ours:.1f} times faster),", end=" ")
    print(f"accumulator {stream:.2f} ({theirs / stream:.1f} times faster)")


def many_rows(size: int = 64) -> None:
    """Time for each row and the peak of the memory, of more and more rows."""
    total, block = SpectrumAccumulator(size), features(100_000, size)
    began = time.process_time()
    for count in range(1, 101):
        total.update(block)
        if count in (1, 10, 100):
            total.spectrum()
            nanoseconds = (time.process_time() - began) / total.count * 1e9
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{total.count:,} x {size}: {nanoseconds:.0f} ns a row, peak {peak:.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {options.device}, {torch.get_num_threads()} thread\n")
    if options.rows:
        many_rows()
        return
    table(options.sizes, options.device, options.rounds)
    if options.device == "cpu":
        against_scikit_learn()


if __name__ == "__main__":
    main()
