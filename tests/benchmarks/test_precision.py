"""How precise the dominant term's gradient is: ``python tests/benchmarks/test_precision.py`` prints two tables.

The first is of the decompositions, as on a CPU, the second of matrix products, as on a GPU; both are against an SVD in
float64.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from torch import Tensor

from noisymodel.losses import dominant_singular_value_loss, matrix_products
from reference import losses as naive
from reference.matrices import falling, gaussian, shifted, value_and_gradient, with_singular_values

SIZES = [(20, 8), (64, 64), (64, 256), (256, 256), (256, 1024), (1024, 256)]


def of_two_heights(rows: int, features: int) -> Tensor:
    """16 singular values from 1 to 0.9, the rest 1e-4."""
    values = torch.full((min(rows, features),), 1e-4, dtype=torch.float64)
    values[:16] = torch.linspace(1, 0.9, 16, dtype=torch.float64)[: len(values)]
    return with_singular_values(rows, features, values)


KINDS = {
    "Gaussian": gaussian,
    "σ_i = 1/i": lambda n, d: with_singular_values(n, d, 1 / torch.arange(1.0, min(n, d) + 1, dtype=torch.float64)),
    "σ geometric, κ = 10": lambda n, d: falling(n, d, 1),
    "σ geometric, κ = 1e2": lambda n, d: falling(n, d, 2),
    "σ geometric, κ = 1e4": lambda n, d: falling(n, d, 4),
    "σ geometric, κ = 1e6": lambda n, d: falling(n, d, 6),
    "16 σ from 1 to 0.9, the rest 1e-4": of_two_heights,
    "mean 1e4 × std": shifted,
}


def error(features: Tensor, top_k: int) -> float:
    """Relative error of the gradient as it is returned."""
    gradient = value_and_gradient(lambda z: dominant_singular_value_loss(z, top_k=top_k), features)[1]
    return relative(gradient, features, top_k)


def error_of_products(features: Tensor, top_k: int) -> float:
    """The same of matrix products, with A in float64."""
    rows = features.double()
    by_rows = rows.shape[0] < rows.shape[1]
    matrix = matrix_products.shares(rows @ rows.T if by_rows else rows.T @ rows, top_k, floor=0.0).matrix
    return relative((matrix @ rows if by_rows else rows @ matrix.T).numpy(), features, top_k)


def relative(gradient: np.ndarray, features: Tensor, top_k: int) -> float:
    wanted = naive.dominant_gradient(features.double().numpy(), top_k)
    return float(np.linalg.norm(gradient - wanted) / np.linalg.norm(wanted))


def test_precision_is_that_of_the_page(benchmark) -> None:
    features = falling(64, 64, 4)
    benchmark.pedantic(error, (features, 5), rounds=1)
    assert error(features, 5) < 1e-9
    assert error(features.float(), 5) < 1e-6
    assert error_of_products(features.float(), 5) < 1e-6


def print_table(title: str, cell) -> None:
    print(f"{title}\n\n| features |" + "".join(f" {n}×{d} |" for n, d in SIZES) + "\n|---|" + "---|" * len(SIZES))
    for kind, make in KINDS.items():
        print(f"| {kind} | " + " | ".join(cell(make(*size)) for size in SIZES) + " |", flush=True)
    print()


if __name__ == "__main__":
    print_table(
        "Decompositions, float32 / float64 rows, k = 1",
        lambda features: f"{error(features.float(), 1):.0e} / {error(features, 1):.0e}",
    )
    print_table(
        "Matrix products, float32 rows, k = 1 / k = 5",
        lambda features: " / ".join(f"{error_of_products(features.float(), k):.0e}" for k in (1, 5)),
    )
