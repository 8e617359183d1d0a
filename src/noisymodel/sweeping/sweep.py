"""`sweep`: many heads on the same rows, trained together, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from .._checks import check_choice, check_device, check_flag, check_integer, check_path
from ..heads import Head
from ..training.batches import LabelledRows, RowSource, count_batches, held_out_rows, labelled_rows
from ..training.checkpoint import RunFile
from ..training.run import evaluate_each, smallest_batch, train_terms
from ..training.schedule import Rates
from .grid import Trial, in_grid, read_grid, read_seeds, trials_together
from .outcome import CORRECT, Outcome, Record, State
from .together import Order, Together


class _Result(NamedTuple):
    table: list[dict[str, Any]]
    best: dict[str, Any]
    head: Head


class SweepResult(_Result):
    """The result of `sweep`: a ``table`` of all heads, the ``best`` configuration and its ``head``.

    The attribute ``correct``, an array (len(table), N_validation) of bool, says which validation rows each head got
    right; a paired comparison of configurations needs it.
    """

    correct: npt.NDArray[np.bool_]


def sweep(
    in_features: int,
    num_classes: int,
    grid: Sequence[Mapping[str, Any]],
    features: Tensor | RowSource,
    targets: object,
    *,
    validation: tuple[Tensor | RowSource, object],
    seeds: Sequence[int] = (0,),
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    warmup: float = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    sample_weight: object = None,
    max_heads: int | None = None,
) -> SweepResult:
    """Train a head for every configuration and seed, many at once as one batched model, and return the best.

    Each head equals the one that `fit` trains alone, up to the rounding of batched products::

        head = NMTune(in_features, num_classes, **configuration, generator=torch.Generator().manual_seed(seed))
        fit(head, features, targets, seed=seed, ...)

    Configurations that agree in ``method``, ``hidden_features``, ``depth``, ``norm``, ``residual``, ``dropout``,
    ``top_k`` and ``reduction`` are trained together, with all their seeds; all other settings may differ.

    Args:
        in_features: D.
        num_classes: K.
        grid: dictionaries of `NMTune`'s arguments (but ``gather`` and ``generator``), each with or without
            ``learning_rate``, ``weight_decay``, ``warmup`` and ``method``: ``"nmtune"`` (the default), ``"mlp"`` or
            ``"linear"``, which take the arguments of `MLPProbe` and `LinearProbe`.
        features: (N, D), as in `fit`.
        targets: class ids (N,) or class probabilities (N, K).
        validation: (features, targets) that are evaluated once, after the last epoch.
        seeds: different integers. A seed fixes a head's initial weights, order and dropout.
        epochs: as in `fit`.
        batch_size: as in `fit`.
        learning_rate: for configurations without a ``learning_rate``.
        weight_decay: for configurations without a ``weight_decay``.
        warmup: for configurations without a ``warmup``.
        device: where to train, and where the head is afterwards; ``None``: the device of the features if they are a
            tensor, else the CPU.
        dtype: the dtype of the heads, float32 or float64.
        progress: whether to show a progress bar on stderr.
        checkpoint: path of a file that is replaced whenever a batched model has been trained. After an interruption,
            call `sweep` again with the same arguments: it resumes with the models that were not finished.
        sample_weight: as in `fit`.
        max_heads: the most heads to train at once; ``None``: as many as have 2 GiB of weights, gradients and moments.
            Fewer heads need less memory, but the rows are read once for each batched model.

    Returns:
        ``SweepResult(table, best, head)``. The ``table`` has a dictionary for each configuration and seed, in their
        order: ``configuration`` (its place in the grid), ``seed``, the configuration's own keys, and ``train_total``,
        ``train_task``, ``train_consistency``, ``train_covariance``, ``train_dominant`` (of the last epoch),
        ``validation_loss`` and ``validation_accuracy``, with the same meaning as in `fit`'s history. If the training
        loss was not finite in some epoch, all of these are NaN. Regularizers of weight zero are not computed; their
        entries are 0.

        ``best`` is the configuration, as given, with the highest mean ``validation_accuracy`` over the seeds; ties go
        to the lowest mean ``validation_loss``, then to the first. ``head`` is the best of its seeds by the same order,
        trained on ``features`` alone, in evaluation mode.

    Raises:
        ValueError: for arguments that `fit` refuses (for an entry of the grid the message names its place, such as
            ``grid[3]``), and if no configuration has finite losses for all seeds.
        TypeError: for arguments of the wrong type.

    >>> import torch
    >>> from noisymodel import sweep
    >>> generator = torch.Generator().manual_seed(0)
    >>> targets = torch.arange(200) % 2
    >>> features = torch.randn(200, 8, generator=generator) + 2.0 * targets[:, None]
    >>> train, held_out = (features[:100], targets[:100]), (features[100:], targets[100:])
    >>> grid = [{"consistency_weight": weight} for weight in (1.0, 10.0)] + [{"method": "mlp"}]
    >>> result = sweep(8, 2, grid, *train, validation=held_out, epochs=2)
    >>> [row["configuration"] for row in result.table], result.best in grid
    ([0, 1, 2], True)
    """
    epochs = check_integer(epochs, "epochs", minimum=1)
    batch_size = check_integer(batch_size, "batch_size", minimum=1)
    max_heads = None if max_heads is None else check_integer(max_heads, "max_heads", minimum=1)
    check_choice(dtype, "dtype", (torch.float32, torch.float64))
    check_flag(progress, "progress")
    checkpoint = None if checkpoint is None else check_path(checkpoint, "checkpoint")
    defaults = Rates(learning_rate, weight_decay, warmup)
    configurations = read_grid(grid, in_features, num_classes, defaults=defaults, epochs=epochs, dtype=dtype)
    seeds = read_seeds(seeds)
    where = _device(device, features)
    shape: dict[str, Any] = {"num_features": in_features, "num_classes": num_classes, "device": where, "dtype": dtype}
    rows = labelled_rows(features, targets, **shape, sample_weight=sample_weight)
    task = Task(rows, held_out_rows(validation, **shape), epochs, batch_size)
    for configuration in configurations:
        with in_grid(configuration.index):
            smallest_batch(configuration.template, len(rows), batch_size)
    models = list(trials_together(configurations, seeds, max_heads=max_heads))
    outcome = Outcome(len(seeds))
    file = None if checkpoint is None else RunFile(checkpoint, _fingerprint(task, models), "sweep")
    if file is not None:
        outcome.restore(file)
    _train(models, task, outcome, file, progress=progress)
    best, state = outcome.best()
    chosen = configurations[best]
    result = SweepResult(outcome.table(configurations), chosen.given, chosen.filled(state).to(where))
    result.correct = outcome.correct(len(task.held_out))
    return result


class Task(NamedTuple):
    """The data, epochs and batch size that all heads of a sweep share."""

    rows: LabelledRows
    held_out: LabelledRows
    epochs: int
    batch_size: int

    def steps(self, head: Head) -> int:
        """How many batches a head like this one sees in all epochs."""
        smallest = smallest_batch(head, len(self.rows), self.batch_size)
        return self.epochs * count_batches(len(self.rows), self.batch_size, smallest)


def train_together(trials: Sequence[Trial], task: Task, bar: tqdm[Any]) -> tuple[list[Record], list[State]]:
    """Train the heads of some trials; return their measurements after the last epoch, and their state dictionaries."""
    together = Together(
        [trial.configuration.start(trial.seed).to(task.rows.device) for trial in trials],
        [Order(trial.seed) for trial in trials],
        [trial.configuration.rates for trial in trials],
        task.rows,
        epochs=task.epochs,
        batch_size=task.batch_size,
    )
    *_, means = together.train(bar)
    states: list[State] = [together.model.state(index) for index in range(len(trials))]
    heads = [trial.configuration.filled(state) for trial, state in zip(trials, states, strict=True)]
    validated, right = evaluate_each(heads, task.held_out)
    records = [train_terms(row) | found for row, found in zip(means.tolist(), validated, strict=True)]
    for record in records:
        if math.isnan(record["train_total"]) or not math.isfinite(record["validation_loss"]):
            record.update(dict.fromkeys(record, math.nan))
    packed = [np.packbits(row).tobytes().hex() for row in right.cpu().numpy()]
    return [{**record, CORRECT: bits} for record, bits in zip(records, packed, strict=True)], states


def _train(
    models: Sequence[Sequence[Trial]], task: Task, outcome: Outcome, file: RunFile | None, *, progress: bool
) -> None:
    """Train one batched model after the other, except those that the outcome already has."""
    steps = [task.steps(trials[0].configuration.template) for trials in models]
    begun = 0
    with tqdm(total=sum(steps), unit="step", disable=not progress) as bar:
        for trials, count in zip(models, steps, strict=True):
            if begun < len(outcome.rows):
                bar.update(count)
            else:
                outcome.add(trials, *train_together(trials, task, bar))
                if file is not None:
                    outcome.save(file)
            begun += len(trials)


def _device(device: torch.device | str | None, features: object) -> torch.device:
    chosen = check_device(device)
    if chosen is not None:
        return chosen
    return features.device if isinstance(features, Tensor) else torch.device("cpu")


def _fingerprint(task: Task, models: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """The arguments that must be unchanged for a sweep to resume from a checkpoint."""
    heads = [
        [
            {**trial.configuration.template.config(), **trial.configuration.rates._asdict(), "seed": trial.seed}
            for trial in trials
        ]
        for trials in models
    ]
    return {
        "epochs": task.epochs,
        "batch_size": task.batch_size,
        "heads": heads,
        "dtype": str(task.rows.dtype),
        "device": task.rows.device.type,
        "features and targets": task.rows.checksum(),
        "validation": task.held_out.checksum(),
    }
