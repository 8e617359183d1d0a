"""Cells: the features of a task, a number of labels, a seed, and perhaps wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisymodel.noise import instance_dependent, pair_flip, symmetric

from .bundles import Part, read_bundle

IN_DOMAIN = "in-domain"
LARGEST_TEST = 2000  # rows of a shift


class Task(NamedTuple):
    """A task: where its features come from, and the sizes it can be asked for (labels a class; 0: all)."""

    title: str
    layer: str
    below: tuple[str, ...]  # layers before it
    sizes: tuple[int, ...]
    home: str | None = None  # a style that is trained on; None: the bundle itself says what is tested on
    held: float = 0.3  # share of groups that is tested on, where the split is dealt
    paired: bool = False  # whether the shifts show the groups of the test, in other styles


TASKS = {
    "webster": Task("Webster 1913, MiniLM", "output", ("encoder.layer.4", "encoder.layer.3"), (4, 16, 64, 256, 0)),
    "verses": Task("verses, MiniLM", "output", ("encoder.layer.4", "encoder.layer.3"), (4, 16, 64, 256, 0)),
    "emoji-lite0": Task("emoji, EfficientNet-Lite0", "15", ("14", "10"), (4, 16, 0), "noto", 0.3, paired=True),
    "emoji-lite2": Task("emoji, EfficientNet-Lite2", "20", (), (4, 16, 0), "noto", 0.3, paired=True),
    "letters": Task("letters, PP-OCR", "output", (), (4, 16, 64, 0), "sans", 0.25),
    "digits": Task("digits, EfficientNet-Lite0", "15", ("14", "10"), (4, 16, 64, 256, 0)),
}


class Cell(NamedTuple):
    """Names one fit; `noise` is "" or a kind of label noise, with its rate."""

    task: str
    layer: str
    size: int
    seed: int
    noise: str = ""
    rate: float = 0.0

    @property
    def key(self) -> str:
        """A file's name."""
        noisy = f"-{self.noise}{self.rate:g}" if self.noise else ""
        return f"{self.task}@{self.layer}-{self.size}-s{self.seed}{noisy}"


class Split(NamedTuple):
    """Training rows (with the labels that the fit is given) and tests, in-domain first."""

    training: Part
    tests: dict[str, Part]
    num_classes: int


def split(cell: Cell, cache: Path) -> Split:
    """Deal a cell's rows: groups on one side, ``size`` rows of every class, labels made wrong as the cell says."""
    task = TASKS[cell.task]
    parts, classes = read_bundle(cache / "bundles" / f"{cell.task}@{cell.layer}.npz")
    random = np.random.default_rng([cell.seed, 5])
    if task.home is None:
        pool = parts.pop("train")
        tests = {IN_DOMAIN: parts.pop("test"), **parts}
    else:
        home = parts.pop(task.home)
        groups = np.unique(home.groups)
        held = random.permutation(groups)[: round(task.held * len(groups))]
        trained = np.setdiff1d(groups, held)
        pool = _rows(home, np.flatnonzero(np.isin(home.groups, trained)))
        tests = {IN_DOMAIN: _rows(home, np.flatnonzero(np.isin(home.groups, held)))}
        for name, part in parts.items():
            fits = np.isin(part.groups, held) if task.paired else ~np.isin(part.groups, trained)
            tests[name] = _rows(part, np.flatnonzero(fits))
        tests = {name: _at_most(part, LARGEST_TEST, random) for name, part in tests.items()}
    order = random.permutation(len(pool.labels))
    if cell.size:
        order = np.concatenate([order[pool.labels[order] == label][: cell.size] for label in range(len(classes))])
    training = _rows(pool, order)
    return Split(training._replace(labels=_given(training, cell, len(classes))), tests, len(classes))


def _given(training: Part, cell: Cell, num_classes: int) -> np.ndarray:
    """The labels that the fit sees, by the library's own injectors."""
    labels = training.labels
    if not cell.rate:
        return labels
    if cell.noise == "symmetric":
        return symmetric(labels, cell.rate, num_classes=num_classes, seed=cell.seed).labels
    if cell.noise == "asymmetric":
        return pair_flip(labels, cell.rate, num_classes=num_classes, seed=cell.seed).labels
    unit = training.features / np.linalg.norm(training.features, axis=1, keepdims=True)
    return instance_dependent(labels, unit, cell.rate, num_classes=num_classes, seed=cell.seed).labels


def _rows(part: Part, places: np.ndarray) -> Part:
    return Part(*(column[places] for column in part))


def _at_most(part: Part, most: int, random: np.random.Generator) -> Part:
    return _rows(part, np.sort(random.permutation(len(part.labels))[:most]))
