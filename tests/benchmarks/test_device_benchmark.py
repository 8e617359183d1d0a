"""What the regularizers, `fit` and `sweep` cost on a GPU: ``python tests/benchmarks/test_device_benchmark.py cuda``.

Prints the tables; with ``cpu`` the same functions run at tiny sizes, by matrix products too, and say nothing of a GPU.
``--only`` prints one of them. `fit` and `sweep` are those of ``test_training_benchmark.py``. Times are by the clock on
the wall after the device has finished; the calls that are compared take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest
import torch

from benchmarks import test_losses_benchmark as losses
from benchmarks import test_precision as precision
from benchmarks import test_training_benchmark as training
from noisymodel.losses import dominant_singular_value_loss, matrix_products
from noisymodel.losses.decomposition import leading_share, of_gram
from reference.losses import dominant, dominant_gradient

STEP_TARGET, PUBLISHED_TARGET = 1.15, 20  # the latter at N ≤ 256
COMPILER = "inductor"
Size = tuple[int, int]


class Sizes(NamedTuple):
    steps: list[Size]
    published: list[Size]
    ways: list[Size]  # of eager, compiled and captured steps: compiling takes its time
    grams: list[int]
    precision: list[Size]
    imagenet: tuple[int, int, int, int]  # rows, features, classes, batch
    sweep: int


FULL = Sizes(
    steps=[(n, d) for n in (64, 256, 1024, 4096) for d in (768, 2048, 4096)],
    published=[(n, d) for n in (64, 256) for d in (768, 2048, 4096)],
    ways=[(64, 768), (256, 2048), (1024, 2048)],
    grams=[64, 256, 768, 1024, 2048, 4096],
    precision=[(64, 64), (64, 768), (256, 2048), (1024, 768)],
    imagenet=(training.IMAGENET, 2048, 1000, 1024),
    sweep=8000,
)
TINY = Sizes([(8, 16), (16, 8)], [(8, 16)], [(8, 16)], [8], [(8, 16)], (200, 16, 4, 50), 128)


def seconds(*calls: Callable[[], object], device: str, budget: float) -> list[float]:
    return losses.seconds(*calls, device=device, budget=budget)


def step_pair(size: Size, device: str, budget: float = 5.0, *, autocast: bool = False) -> list[float]:
    """Seconds of a training step without regularizers, and with all three."""
    step = losses.Step(size, device)

    def run(regularized: bool) -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            step.optimizer.zero_grad()
            loss = step.loss(regularized)
        loss.backward()
        step.optimizer.step()

    return seconds(lambda: run(False), lambda: run(True), device=device, budget=budget)


def against_published(size: Size, device: str, budget: float = 5.0) -> list[float]:
    """Seconds of the published code's regularizers, forward and backward, and of these."""
    features = losses.rows(size, device).requires_grad_()
    return seconds(lambda: losses.published(features), lambda: losses.ours(features), device=device, budget=budget)


def compiled_pair(size: Size, device: str, budget: float = 5.0) -> list[float]:
    """The pair of `step_pair`, with network and loss compiled to one graph."""
    torch.compiler.reset()
    step = losses.Step(size, device)
    step.loss = torch.compile(step.loss, fullgraph=True, backend=COMPILER)  # type: ignore[method-assign]
    found = seconds(lambda: step(False), lambda: step(True), device=device, budget=budget)
    torch.compiler.reset()
    return found


def captured_pair(size: Size, device: str, budget: float = 5.0) -> list[float] | None:
    """The pair of `step_pair` as replays of CUDA graphs of forward, backward and optimizer; None without CUDA."""
    if device != "cuda":
        return None
    return seconds(*(captured(losses.Step(size, device), kind) for kind in (False, True)), device=device, budget=budget)


def captured(step: losses.Step, regularized: bool) -> Callable[[], None]:
    """A step as one CUDA graph; fails where anything in it waits for the device."""
    step.optimizer = torch.optim.AdamW(step.optimizer.param_groups[0]["params"], lr=1e-3, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # state and workspaces are made before the capture
        for _ in range(3):
            step(regularized)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(regularized)

    def replay() -> None:
        _ = step  # whose tensors the graph writes to
        graph.replay()

    return replay


def ways_to_decompose(size: int, device: str, budget: float = 5.0) -> list[float]:
    """Seconds of the dominant term and its gradient's matrix: eigenpairs, products with k = 1, products with k = 5."""
    rows = losses.rows((size, 2 * size), device).double()
    gram = rows @ rows.T

    def eigenpairs() -> object:
        return leading_share(*of_gram(gram), 5, floor=1e-38)

    def products(top_k: int) -> object:
        return matrix_products.shares(gram, top_k, floor=1e-38)

    return seconds(eigenpairs, lambda: products(1), lambda: products(5), device=device, budget=budget)


def errors(kind: str, size: Size, device: str, top_k: int) -> tuple[float, float]:
    """Relative errors of the dominant term and its gradient, float32 rows, against float64 SVD on the CPU."""
    features = precision.KINDS[kind](*size).float().to(device).requires_grad_()
    value = dominant_singular_value_loss(features, top_k=top_k)
    value.backward()
    assert features.grad is not None
    exact = features.detach().cpu().double().numpy()
    wanted = torch.from_numpy(dominant_gradient(exact, top_k))
    error = (features.grad.cpu().double() - wanted).norm() / wanted.norm()
    return abs(value.item() / dominant(exact, top_k) - 1), error.item()


@contextlib.contextmanager
def on_products() -> Iterator[None]:
    """The path of a GPU, also where the device is a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_products, "is_taken", lambda _: True)
        yield


def table(title: str, *columns: str) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def line(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def print_steps(sizes: Sizes, device: str, budget: float) -> None:
    for autocast in (False, True):
        kind = "bfloat16 autocast" if autocast else "float32"
        columns = ("N×D", "without", "with all three", "ratio", "target")
        table(f"Whole training step, {kind}, k = 5, ms", *columns)
        for size in sizes.steps:
            bare, full = step_pair(size, device, budget, autocast=autocast)
            line(f"{size[0]}×{size[1]}", 1000 * bare, 1000 * full, full / bare, STEP_TARGET)


def print_published(sizes: Sizes, device: str, budget: float) -> None:
    columns = ("N×D", "published code", "here", "times faster", "target")
    table("Covariance and dominant term, k = 5, forward and backward, ms", *columns)
    for size in sizes.published:
        before, now = against_published(size, device, budget)
        line(f"{size[0]}×{size[1]}", 1000 * before, 1000 * now, before / now, PUBLISHED_TARGET)


def print_ways(sizes: Sizes, device: str, budget: float) -> None:
    columns = ("N×D", "eager", "ratio", "compiled", "ratio", "CUDA graph", "ratio")
    table("The step with all three, and its ratio to the one without, float32, ms", *columns)
    for size in sizes.ways:
        cells: list[object] = []
        for pair in (step_pair, compiled_pair, captured_pair):
            found = pair(size, device, budget)
            cells += ["needs CUDA", "-"] if found is None else [1000 * found[1], found[1] / found[0]]
        line(f"{size[0]}×{size[1]}", *cells)


def print_decompositions(sizes: Sizes, device: str, budget: float) -> None:
    columns = ("n", "eigenpairs", "products, k = 1", "products, k = 5")
    table("The dominant term of an n×n Gram matrix with its gradient's matrix, ms", *columns)
    for size in sizes.grams:
        line(size, *(1000 * found for found in ways_to_decompose(size, device, budget)))


def print_precision(sizes: Sizes, device: str, budget: float) -> None:
    columns = ("features", *(f"{n}×{d}" for n, d in sizes.precision))
    for top_k in (1, 5):
        table(f"Relative error of value / gradient against float64 SVD on the CPU, k = {top_k}, float32 rows", *columns)
        for kind in precision.KINDS:
            found = [errors(kind, size, device, top_k) for size in sizes.precision]
            line(kind, *(f"{value:.0e} / {gradient:.0e}" for value, gradient in found))


def print_fit(sizes: Sizes, device: str, budget: float) -> None:
    table(f"`fit`, an epoch of {sizes.imagenet[0]} rows, bfloat16 autocast", "head", "compile", "")
    training.imagenet(device, *sizes.imagenet)


def print_sweep(sizes: Sizes, device: str, budget: float) -> None:
    training.print_sweep(device, sizes.sweep)


TABLES = {
    "steps": print_steps,
    "published": print_published,
    "ways": print_ways,
    "decompositions": print_decompositions,
    "precision": print_precision,
    "fit": print_fit,
    "sweep": print_sweep,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", choices=TABLES)
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, tiny sizes: nothing of a GPU"
    print(f"torch {torch.__version__}, {name}")
    sizes, budget = (FULL, 5.0) if options.device == "cuda" else (TINY, 0.1)
    with on_products():
        for key in [options.only] if options.only else TABLES:
            TABLES[key](sizes, options.device, budget)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("key", ["steps", "published", "ways", "decompositions", "precision"])
def test_the_harness_runs_on_the_cpu(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "COMPILER", "eager")
    with on_products() if key != "ways" else contextlib.nullcontext():  # compiling the products takes long
        TABLES[key](TINY, "cpu", 0.0)
    lines = [found for found in capsys.readouterr().out.splitlines() if found.startswith("|")]
    assert len({found.count("|") for found in lines}) == 1
    assert "nan" not in "".join(lines)
    assert ("needs CUDA" in lines[-1]) == (key == "ways")


def test_the_errors_on_the_device_are_small() -> None:
    with on_products():
        value, gradient = errors("Gaussian", (8, 16), "cpu", 5)
    assert value < 1e-6
    assert gradient < 1e-6


if __name__ == "__main__":
    main()
