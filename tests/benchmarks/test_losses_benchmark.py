"""What the regularizers cost, as ratios against named baselines.

``python tests/benchmarks/test_losses_benchmark.py`` prints the tables, one thread, on the device that is its argument
(``cpu``); ``pytest tests/benchmarks --benchmark-only`` records the times and holds the ratios, with room for a busy
machine. Times on the CPU are the process's own, so that other processes disturb them little.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
import torch
from scipy.linalg.lapack import dsyevd
from torch import Tensor

from noisymodel import _gram
from noisymodel.losses import dominant_singular_value_loss, nmtune_regularization
from reference.losses import dominant_gradient
from reference.published import covariance_and_dominant

TARGETS = {  # (N, D): how many times faster than the published code, forward and backward; and what is held
    (64, 768): (5, 2.5),
    (64, 2048): (20, 12),
    (128, 2048): (12, 8),
    (256, 1024): (5, 2.3),
    (512, 2048): (5, 2.8),
    (1024, 1024): (2, 0.9),
    (2048, 512): (2, 1.1),
}
STEP_TARGET, STEP_HELD = 1.10, 1.20  # whole training step with the regularizers, against the one without
STEPS = [(64, 768), (64, 2048), (128, 2048), (256, 1024)]
SMALL = (64, 64)
WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 0.04, "dominant_weight": 0.001}


def rows(size: tuple[int, int], device: str = "cpu", seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(device)


def published(features: Tensor) -> None:
    covariance_and_dominant(features).backward()


def ours(features: Tensor) -> None:
    nmtune_regularization(features, None, top_k=min(5, *features.shape), **WEIGHTS).total.backward()


def all_three(features: Tensor) -> None:
    nmtune_regularization(features, features.detach().flip(0), top_k=5, **WEIGHTS).total.backward()


def products(features: Tensor) -> Callable[[], object]:
    """The floor: the Gram matrix, a symmetric product, and the gradient's product, in the statistics' precision."""
    wide = features.detach().double()
    smaller = wide if wide.shape[0] < wide.shape[1] else wide.T
    gram = smaller @ smaller.T
    if smaller is wide:
        return lambda: (_gram.symmetric_product(wide), gram @ wide)
    return lambda: (_gram.symmetric_product(wide.T), wide @ gram)


def decomposition(features: Tensor) -> Callable[[], object]:
    """The rest of the floor: the eigenpairs of the Gram matrix, and the gradient's matrix from them."""
    wide = features.detach().double()
    gram = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
    weights = torch.linalg.eigvalsh(gram)

    def eigenpairs() -> Tensor:
        vectors = torch.linalg.eigh(gram)[1]
        return _gram.product_of_symmetric(vectors * weights, vectors)

    return eigenpairs


class Step:
    """A training step of the published network: Linear(D, 4D)–BN–ReLU–Linear(4D, D) + residual, classifier, AdamW."""

    def __init__(self, size: tuple[int, int], device: str = "cpu") -> None:
        features = size[1]
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            self.network = torch.nn.Sequential(
                torch.nn.Linear(features, 4 * features),
                torch.nn.BatchNorm1d(4 * features),
                torch.nn.ReLU(),
                torch.nn.Linear(4 * features, features),
            ).to(device)
            self.classifier = torch.nn.Linear(features, 10).to(device)
        parameters = [*self.network.parameters(), *self.classifier.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-3)
        self.features = rows(size, device)
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


@pytest.mark.parametrize("size", TARGETS, ids=str)
def test_regularizers_against_the_published_code(size: tuple[int, int], benchmark) -> None:
    features = rows(size).requires_grad_()
    baseline, mine = seconds(lambda: published(features), lambda: ours(features))
    benchmark.extra_info["times faster than torch.svd and the D×D covariance"] = baseline / mine
    benchmark.pedantic(ours, (features,), rounds=3)
    assert baseline / mine >= TARGETS[size][1]


@pytest.mark.parametrize("size", STEPS, ids=str)
def test_a_whole_step_against_the_same_step_without_regularizers(size: tuple[int, int], benchmark) -> None:
    step = Step(size)
    bare, regularized = seconds(lambda: step(False), lambda: step(True), budget=6, in_a_row=1)
    benchmark.extra_info["times the step without regularizers"] = regularized / bare
    benchmark.pedantic(step, (True,), rounds=3)
    assert regularized / bare <= STEP_HELD


def test_a_small_step_is_dominated_by_nothing_but_its_eigenpairs(benchmark) -> None:
    features = rows(SMALL).requires_grad_()
    eigenpairs, everything = seconds(decomposition(features), lambda: all_three(features))
    benchmark.extra_info["times the eigendecomposition"] = everything / eigenpairs
    benchmark.pedantic(all_three, (features,), rounds=20)
    assert everything / eigenpairs <= 6


def spectra(size: tuple[int, int]) -> dict[str, Tensor]:
    """Features, float64, with the spectra of the table of precision."""
    features = rows(size).double()
    u, _, vh = torch.linalg.svd(features, full_matrices=False)
    smaller = min(size)
    flat = torch.full((smaller,), 1e-4, dtype=torch.float64)
    flat[0] = 1
    values = {
        "σ_i = 1/i": 1 / torch.arange(1, smaller + 1, dtype=torch.float64),
        "σ geometric, κ = 1e4": torch.logspace(0, -4, smaller, dtype=torch.float64),
        "σ₁ = 1, the rest 1e-4": flat,
        "16 σ from 1 to 0.9, the rest 1e-4": torch.cat([torch.linspace(1, 0.9, 16).double(), flat[1:]])[:smaller],
    }
    made = {name: (u * spectrum) @ vh for name, spectrum in values.items()}
    return {"Gaussian": features, "mean 1e4 × std": features + 1e4, **made}


def ill_conditioned(size: tuple[int, int], device: str, digits: int) -> Tensor:
    """Features whose singular values fall geometrically by so many digits."""
    u, _, vh = torch.linalg.svd(rows(size).double(), full_matrices=False)
    values = torch.logspace(0, -digits, min(size), dtype=torch.float64)
    return ((u * values) @ vh).float().to(device).requires_grad_()


def print_precision() -> None:
    sizes = [(20, 8), (8, 20), (64, 64), (64, 256), (256, 1024), (1024, 256)]
    print("Relative error of the gradient (dominant term; float32 / float64 rows) against float64 SVD\n")
    print("| features |" + "".join(f" {n}×{d} |" for n, d in sizes) + "\n|---|" + "---|" * len(sizes))
    for kind in spectra(sizes[0]):
        cells: list[str] = []
        for size in sizes:
            errors: list[str] = []
            for dtype in (torch.float32, torch.float64):
                features = spectra(size)[kind].to(dtype).requires_grad_()
                dominant_singular_value_loss(features).backward()
                wanted = torch.from_numpy(dominant_gradient(features.detach().double().numpy(), 1))
                assert features.grad is not None
                errors.append(f"{((features.grad.double() - wanted).norm() / wanted.norm()).item():.0e}")
            cells.append(" / ".join(errors))
        print(f"| {kind} | {' | '.join(cells)} |")
    print()


def print_alternatives() -> None:
    """What a float32 product of the gradient would lose, and what other eigensolvers would win."""
    features = spectra((256, 1024))["16 σ from 1 to 0.9, the rest 1e-4"].float()
    batch = _gram.global_batch(features, None, None)
    gradient = _gram.dominant_term(batch, 1, exact=False, floor=1e-38).matrix.float() @ features
    wanted = torch.from_numpy(dominant_gradient(features.double().numpy(), 1))
    error = ((gradient.double() - wanted).norm() / wanted.norm()).item()
    print(f"256×1024, 16 σ from 1 to 0.9, the rest 1e-4, with a float32 product of the gradient: {error:.0e}\n")
    print("Eigendecompositions, ms\n\n| size | float64 | values only | float32 | SciPy's, float64 |")
    print("|---|---|---|---|---|")
    for size in (64, 256, 512, 1024):
        wide = rows((size, 2 * size)).double()
        gram = wide @ wide.T
        single, array = gram.float(), gram.numpy().T
        calls = (
            lambda g=gram: torch.linalg.eigh(g),
            lambda g=gram: torch.linalg.eigvalsh(g),
            lambda g=single: torch.linalg.eigh(g),
            lambda g=array: dsyevd(g),
        )
        print(f"| {size} | {' | '.join(f'{1000 * found:.2f}' for found in seconds(*calls))} |")
    print()


def print_tables(device: str) -> None:
    milliseconds = 1000
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} thread(s), {device}\n")
    print("Forward and backward, ms (covariance and dominant term)\n")
    print(
        "| N×D | published code | here | times faster | target | κ = 1e2 | κ = 1e4 "
        "| the two products | eigenpairs, A | here / their sum |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size, (target, _) in TARGETS.items():
        features = rows(size, device).requires_grad_()
        calls = (lambda f=features: published(f), lambda f=features: ours(f))
        hard = [partial(ours, ill_conditioned(size, device, digits)) for digits in (2, 4)]
        rest = (*hard, products(features), decomposition(features))
        before, now, hundred, worst, floor, eigen = seconds(*calls, *rest, device=device)
        cells = [found * milliseconds for found in (before, now, hundred, worst, floor, eigen)]
        print(
            f"| {size[0]}×{size[1]} | {cells[0]:.2f} | {cells[1]:.2f} | {before / now:.1f} | {target} "
            f"| {cells[2]:.2f} | {cells[3]:.2f} | {cells[4]:.2f} | {cells[5]:.2f} | {now / (floor + eigen):.2f} |",
            flush=True,
        )
    features = rows((64, 768), device).requires_grad_()
    before, now = seconds(lambda: published(features), lambda: ours(features), device=device, in_a_row=1)
    print(
        f"\n64×768, single calls in turns: {before * milliseconds:.2f} and {now * milliseconds:.2f} ms, "
        f"{before / now:.1f} times faster"
    )
    features = rows(SMALL, device).requires_grad_()
    small, eigen = seconds(lambda: all_three(features), decomposition(features), device=device)
    print(
        f"\nAll three terms at 64×64: {small * milliseconds:.2f} ms, of it eigenpairs {eigen * milliseconds:.2f} ms\n"
    )
    print("Whole training step, ms\n\n| N×D | without | with all three | ratio | target |\n|---|---|---|---|---|")
    for size in STEPS:
        step = Step(size, device)
        steps = (lambda s=step: s(False), lambda s=step: s(True))
        bare, full = seconds(*steps, device=device, budget=30, in_a_row=1)
        cells = f"{bare * milliseconds:.1f} | {full * milliseconds:.1f} | {full / bare:.2f} | {STEP_TARGET:.2f}"
        print(f"| {size[0]}×{size[1]} | {cells} |")


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def print_memory() -> None:
    """What a first step adds to the process's peak, with all three terms."""
    mega = 2**20
    all_three(rows((8, 16)).requires_grad_())
    features = rows((64, 65_536)).requires_grad_()
    reference = rows((64, 65_536), seed=1)
    before = peak_memory()
    nmtune_regularization(features, reference, top_k=5, **WEIGHTS).total.backward()
    added = peak_memory() - before
    print(f"Memory at 64×65,536, all three terms: {added / mega:.0f} MB beside {4 * features.numel() / mega:.0f} MB\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if Path("/proc/self/status").exists():
        print_memory()
    print_precision()
    print_alternatives()
    print_tables(sys.argv[1] if len(sys.argv) > 1 else "cpu")
