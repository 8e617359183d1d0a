"""What `extract` costs beside the forward passes themselves.

``python tests/benchmarks/test_extraction_benchmark.py`` prints the table, one thread; ``pytest tests/benchmarks
--benchmark-only`` records the times and holds the ratio. Both loops take about two seconds and read the same batches
from memory; the bare one keeps the outputs in a list. The determinism check, one batch more, is left out.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from noisymodel.features import extract, weights_fingerprint

TARGET, HELD = 0.95, 0.85
ROWS = 64
BATCHES = {64: 144, 128: 24}  # side of a picture -> batches of two seconds


def small() -> nn.Module:
    """Far cheaper than any backbone that is worth extracting from."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(1024, 768),
        ).eval()


def pictures(side: int = 128) -> list[tuple[Tensor, Tensor]]:
    """24 batches, again and again."""
    generator = torch.Generator().manual_seed(0)
    drawn = [(torch.randn(ROWS, 3, side, side, generator=generator), torch.arange(ROWS)) for _ in range(24)]
    return drawn * (BATCHES[side] // len(drawn))


def bare(backbone: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Seconds of the process for the forward passes alone."""
    begin = time.process_time()
    with torch.no_grad():
        kept = [backbone(inputs) for inputs, _ in batches]
    assert len(kept) == len(batches)
    return time.process_time() - begin


def extracted(backbone: nn.Module, batches: list[tuple[Tensor, Tensor]], shard_rows: int | None = None) -> float:
    """Seconds of the process for `extract`."""
    folder = tempfile.mkdtemp()
    begin = time.process_time()
    extract(backbone, batches, Path(folder) / "store", check_determinism=False, shard_rows=shard_rows)
    took = time.process_time() - begin
    shutil.rmtree(folder)
    return took


def fastest(calls: list[Callable[[], float]], turns: int = 10) -> list[float]:
    """The fastest run of each; they take turns."""
    torch.empty(30 * 2**20, dtype=torch.uint8).fill_(0)  # from then on the allocator keeps freed pages
    times = [[call() for call in calls] for _ in range(turns)]
    return [min(column) for column in zip(*times[1:], strict=True)]


def test_extract_beside_the_bare_loop(benchmark) -> None:
    backbone, batches = small(), pictures()
    alone, ours = fastest([lambda: bare(backbone, batches), lambda: extracted(backbone, batches)], turns=4)
    benchmark.extra_info["rows per second, of the bare loop's"] = alone / ours
    benchmark.pedantic(extracted, (backbone, batches), rounds=1)
    assert alone / ours >= HELD


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 768 features\n")
    print("| a batch of 64 takes | shards | rows per second, bare loop | `extract` | ratio | target |")
    print("|---|---|---|---|---|---|")
    backbone = small()
    for side in BATCHES:
        batches = pictures(side)
        count = len(batches) * ROWS
        for shard_rows in (None, count // 6):
            alone, ours = fastest(
                [lambda b=batches: bare(backbone, b), lambda b=batches, r=shard_rows: extracted(backbone, b, r)]
            )
            cells = f"{1000 * alone / len(batches):.0f} ms | {'1' if shard_rows is None else count // shard_rows}"
            print(f"| {cells} | {count / alone:.0f} | {count / ours:.0f} | {alone / ours:.3f} | {TARGET} |")
    large = nn.Linear(8192, 8192)
    begin = time.process_time()
    weights_fingerprint(large)
    size = 4 * sum(value.numel() for value in large.parameters()) / 2**20
    print(f"\nFingerprint: {size / (time.process_time() - begin):.0f} MiB of weights a second")


if __name__ == "__main__":
    sys.exit(main())
