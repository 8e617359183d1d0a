"""Streaming spectra against the products that they cannot do without, in one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/test_spectrum_benchmark.py

prints the table of docs/spectra.md; ``pytest tests/benchmarks --benchmark-only`` records the times and fails where a
ratio falls far.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from noisymodel.spectrum import SpectrumAccumulator, analyze

SIZES = [(100_000, 512), (30_000, 2048)]
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
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for batch in rows.split(BATCH):
        block = batch.double()
        total.addmm_(block.T, block)


def accumulate(rows: torch.Tensor, method: str) -> None:
    total = SpectrumAccumulator(rows.shape[1], method=method)  # type: ignore[arg-type]
    for batch in rows.split(BATCH):
        total.update(batch)
    total.spectrum()


def truncated(rows: torch.Tensor) -> None:
    """The published code's way: scikit-learn's TruncatedSVD with all components."""
    from sklearn.decomposition import TruncatedSVD

    TruncatedSVD(n_components=rows.shape[1]).fit(rows.numpy())


def seconds(run: Callable[[], None], baseline: Callable[[], None], rounds: int = 5) -> tuple[float, float]:
    """The fastest CPU time of each, taking turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, timed in enumerate((run, baseline)):
            began = time.process_time()
            timed()
            best[index] = min(best[index], time.process_time() - began)
    return best[0], best[1]


@pytest.mark.parametrize(("method", "most"), [("tsqr", 2.6), ("gram", 1.8)])
@pytest.mark.parametrize("size", [512])
def test_accumulator_against_the_product(benchmark, method: str, most: float, size: int) -> None:
    rows = features(20_000, size)
    benchmark.pedantic(accumulate, (rows, method), rounds=1)
    ours, baseline = seconds(lambda: accumulate(rows, method), lambda: product(rows), rounds=3)
    benchmark.extra_info["ratio"] = ours / baseline
    assert ours < most * baseline


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {torch.get_num_threads()} thread; CPU seconds\n")
    print("| rows | features | XᵀX, float64 | tsqr | ratio | tsqr, collapsed | ratio | gram | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count, size in SIZES:
        rows, collapsed = features(count, size), features(count, size, "collapsed")
        tsqr, base = seconds(lambda: accumulate(rows, "tsqr"), lambda: product(rows), 3)  # noqa: B023 - called at once
        hard, base2 = seconds(lambda: accumulate(collapsed, "tsqr"), lambda: product(collapsed), 3)  # noqa: B023
        gram, base3 = seconds(lambda: accumulate(rows, "gram"), lambda: product(rows), 3)  # noqa: B023
        cells = [base, tsqr, tsqr / base, hard, hard / base2, gram, gram / base3]
        print(f"| {count:,} | {size} |", " | ".join(f"{cell:.2f}" for cell in cells), "|", flush=True)
    rows = features(20_000, 512)
    ours, theirs = seconds(lambda: analyze(rows) and None, lambda: truncated(rows), 2)
    stream, _ = seconds(lambda: accumulate(rows, "tsqr"), lambda: None, 3)
    print(f"\n20,000 × 512: TruncatedSVD {theirs:.2f}, analyze {ours:.2f} ({theirs / ours:.1f} times faster),", end=" ")
    print(f"accumulator {stream:.2f} ({theirs / stream:.1f} times faster)")


if __name__ == "__main__":
    main()
