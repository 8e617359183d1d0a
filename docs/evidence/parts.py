"""The parts of the evidence: which cells and which methods each of them measures."""

from __future__ import annotations

from typing import NamedTuple

from .cells import TASKS, Cell
from .methods import ABLATIONS, METHODS

SEEDS, SPLITS = 5, 10  # splits of pictures, which are dealt anew for every seed
DEALT = ("emoji-lite0", "emoji-lite2", "letters")


class Part(NamedTuple):
    """What a part is, and what it fits."""

    title: str
    cells: list[Cell]
    methods: list[str]


def _cells(tasks: tuple[str, ...], sizes: tuple[int, ...] | None, seeds: int) -> list[Cell]:
    """Seeds outermost, so that a run that is stopped leaves whole seeds."""
    return [
        Cell(name, TASKS[name].layer, size, seed)
        for seed in range(seeds)
        for size in (4, 16, 64, 256, 0)
        for name in tasks
        if size in TASKS[name].sizes and (sizes is None or size in sizes)
    ]


NOISY_TASKS = (("webster", 64), ("emoji-lite0", 0), ("letters", 16))
RATES = (0.0, 0.2, 0.4)


def parts() -> dict[str, Part]:
    """By name."""
    noisy = [
        Cell(name, TASKS[name].layer, size, seed, kind if rate else "", rate)
        for seed in range(SEEDS)
        for name, size in NOISY_TASKS
        for rate in RATES
        for kind in (("symmetric", "asymmetric", "instance") if rate else ("",))
    ]
    layers = [
        Cell(name, layer, size, seed)
        for seed in range(SEEDS)
        for name, size in (("webster", 64), ("emoji-lite0", 0), ("digits", 64))
        for layer in (TASKS[name].layer, *TASKS[name].below)
    ]
    tables = _cells(tuple(TASKS), None, SEEDS)
    tables += [cell for cell in _cells(DEALT, None, SPLITS) if cell.seed >= SEEDS]
    few = ["logistic", "kernel", "lda", "mlp", "nmtune", "default"]
    ablation = _cells(("webster", "verses"), (64, 256), SEEDS) + _cells(("emoji-lite0", "letters"), (0,), SEEDS)
    return {
        "tables": Part("All methods on all tasks, by labels a class", tables, list(METHODS)),
        "ablation": Part("What each part of the shipped procedure is worth", ablation, list(ABLATIONS)),
        "noise": Part("Wrong labels in the tuning set", noisy, few),
        "layers": Part("Two layers below the last", layers, few),
    }
