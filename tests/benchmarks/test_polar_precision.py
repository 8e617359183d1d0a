"""How precise the dominant term by matrix products is: ``python tests/benchmarks/test_polar_precision.py``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch

from noisymodel import _polar
from reference import losses as naive
from test_losses import conditioned, gaussian, shifted, with_singular_values

SIZES = [(20, 8), (64, 64), (64, 256), (256, 1024)]
KINDS = {
    "Gaussian": gaussian,
    "1/i": lambda n, d: with_singular_values(n, d, 1 / torch.arange(1.0, min(n, d) + 1, dtype=torch.float64)),
    "κ = 1e2": lambda n, d: with_singular_values(n, d, torch.logspace(0, -2, min(n, d), dtype=torch.float64)),
    "κ = 1e4": conditioned,
    "κ = 1e6": lambda n, d: with_singular_values(n, d, torch.logspace(0, -6, min(n, d), dtype=torch.float64)),
    "mean 1e4 × std": shifted,
}


def errors(kind: str, size: tuple[int, int], top_k: int) -> tuple[float, float]:
    """Relative errors of the value and the gradient of float32 features."""
    rows = KINDS[kind](*size).float().double()
    gram = rows @ rows.T if size[0] < size[1] else rows.T @ rows
    found = _polar.shares(gram, top_k, floor=0.0)
    gradient = (found.matrix @ rows if size[0] < size[1] else rows @ found.matrix.T).numpy()
    wanted = naive.dominant_gradient(rows.numpy(), top_k)
    value = abs(found.share.item() / -naive.dominant(rows.numpy(), top_k) - 1)
    return value, float(np.linalg.norm(gradient - wanted) / np.linalg.norm(wanted))


def test_precision_is_that_of_the_page(benchmark) -> None:
    benchmark.pedantic(errors, ("κ = 1e4", (64, 64), 5), rounds=1)
    assert errors("κ = 1e4", (64, 64), 5)[1] < 1e-6


if __name__ == "__main__":
    for kind in KINDS:
        cells = [" / ".join(f"{error:.0e}" for error in errors(kind, size, 5)) for size in SIZES]
        print(f"| {kind} | {' | '.join(cells)} |")
