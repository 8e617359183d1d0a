"""How precise the gradient of the dominant term is: ``python tests/benchmarks/test_statistics_precision.py``.

Three tables of docs/regularizers.md, relative errors (Frobenius norm) against an SVD in float64: the form that mixes
float32 and float64, where it is taken; collapsed batches by matrix products, as on a GPU; and what float32 statistics
would lose on a device without float64.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from torch import Tensor

from noisymodel import _gram, _mixed, _polar
from noisymodel.losses import dominant_singular_value_loss
from reference import losses as naive
from test_losses import gaussian, with_singular_values

SIZES = [(128, 512), (256, 384), (256, 1024), (512, 512), (1024, 256)]


def spectrum(make: Callable[[int], Tensor]) -> Callable[[int, int], Tensor]:
    return lambda rows, features: with_singular_values(rows, features, make(min(rows, features)))


def geometric(condition: float) -> Callable[[int, int], Tensor]:
    return spectrum(lambda size: torch.logspace(0, -np.log10(condition), size, dtype=torch.float64))


def two_levels(condition: float) -> Callable[[int, int], Tensor]:
    def values(size: int) -> Tensor:
        low = torch.full((size - size // 2,), 1 / condition, dtype=torch.float64)
        return torch.cat([torch.linspace(1, 0.9, size // 2, dtype=torch.float64), low])

    return spectrum(values)


KINDS: dict[str, Callable[[int, int], Tensor]] = {
    "Gaussian": gaussian,
    "Gaussian, mean 0.3": lambda rows, features: gaussian(rows, features) + 0.3,
    "σ_i = i^(−1/2)": spectrum(lambda size: torch.arange(1, size + 1, dtype=torch.float64) ** -0.5),
    "σ geometric, κ = 10": geometric(10),
    "σ geometric, κ = 40": geometric(40),
    "σ geometric, κ = 100": geometric(100),
    "σ geometric, κ = 1e4": geometric(1e4),
    "half of σ near 1, half 1/10": two_levels(10),
    "half of σ near 1, half 1/30": two_levels(30),
}


def relative(got: Tensor, rows: Tensor, top_k: int) -> float:
    wanted = naive.dominant_gradient(rows.double().numpy(), top_k)
    return float(np.linalg.norm(got.double().numpy() - wanted) / np.linalg.norm(wanted))


def of_the_library(rows: Tensor, top_k: int) -> tuple[float, bool]:
    """The error, and whether float32 was good enough."""
    leaf = rows.float().requires_grad_()
    dominant_singular_value_loss(leaf, top_k=top_k).backward()
    assert leaf.grad is not None
    batch = _gram.global_batch(leaf.detach(), None, None, torch.float32)
    taken = _mixed.dominant_term(batch, top_k, floor=1e-38) is not None
    return relative(leaf.grad, leaf.detach(), top_k), taken


def collapsed(size: int, spread: float) -> Tensor:
    return gaussian(1, size, 6) + spread * gaussian(size, size)


def by_products(rows: Tensor) -> tuple[float, float]:
    """κ, and the error of the matrix products."""
    rows = rows.float().double()
    values = np.linalg.svd(rows.numpy(), compute_uv=False)
    return values[0] / values[-1], relative(_polar.shares(rows @ rows.T, 1, floor=0.0).matrix @ rows, rows, 1)


def by_float32(rows: Tensor) -> float:
    """The error of a float32 Gram matrix and eigendecomposition without a correction."""
    rows = rows.float()
    batch = _gram.global_batch(rows, None, None, torch.float32)
    return relative(_gram._by_eigenpairs(batch, 1, exact=False, floor=1e-38, gradient=True)[1] @ rows, rows, 1)


def test_float32_is_taken_where_it_is_precise(benchmark) -> None:
    error, taken = benchmark.pedantic(of_the_library, (KINDS["σ geometric, κ = 10"](128, 512), 5), rounds=1)
    assert taken
    assert error < 2e-5


def main() -> None:
    torch.set_num_threads(1)
    print("Float32 rows on a CPU, k = 1 / k = 5; * where the statistics are float64\n")
    print("| features |" + "".join(f" {n}×{d} |" for n, d in SIZES) + "\n|---|" + "---|" * len(SIZES))
    for kind, make in KINDS.items():
        cells: list[str] = []
        for size in SIZES:
            found = [of_the_library(make(*size), top_k) for top_k in (1, 5)]
            cells.append(" / ".join(f"{error:.0e}{'' if taken else '*'}" for error, taken in found))
        print(f"| {kind} | {' | '.join(cells)} |")
    print(
        "\nMatrix products, collapsed batches (one row plus noise)\n\n| size | noise | κ | error |\n|---|---|---|---|"
    )
    for size, spread in ((12, 1e-4), (12, 1e-5), (12, 1e-6), (64, 1e-4), (64, 1e-5)):
        condition, error = by_products(collapsed(size, spread))
        print(f"| {size}×{size} | {spread:.0e} | {condition:.0e} | {error:.0e} |")
    print("\nFloat32 statistics without a correction, 64×256\n\n| σ geometric, κ | error |\n|---|---|")
    for condition in (10, 100, 1e3, 1e4):
        print(f"| {condition:.0e} | {by_float32(geometric(condition)(64, 256)):.0e} |")


if __name__ == "__main__":
    main()
