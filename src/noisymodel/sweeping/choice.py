"""Choice of a head's configuration by validation on held-out training rows, with a preference for consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._checks import check_choice, check_number
from ..files.spilled import taken
from ..training.holding_out import held_out
from .sweep import SweepResult, sweep

_CONSISTENCY = (0.3, 1.0, 3.0)
_SHAPES = ({"residual": False, "covariance_weight": 3.0}, {"residual": True, "covariance_weight": 0.02})
_SMOOTHING = (0.0, 0.1)
_RATES = (1e-3, 3e-3)


def default_grid(method: str = "nmtune") -> list[dict[str, Any]]:
    """The configurations that `choose` tries by default, for features scaled to the root mean square 1.

    ``"nmtune"``: 24 configurations, consistency weight {0.3, 1, 3} (``"batchmean"``) × (no residual connection with
    covariance weight 3, or one with 0.02) × label smoothing {0, 0.1} × learning rate {1e-3, 3e-3}, dominant weight 0.1.
    ``"mlp"``: label smoothing {0, 0.1, 0.3} × learning rate.

    >>> len(default_grid()), len(default_grid("mlp"))
    (24, 6)
    """
    check_choice(method, "method", ("nmtune", "mlp"))
    if method == "mlp":
        return [{"method": "mlp", "label_smoothing": s, "learning_rate": r} for s in (0.0, 0.1, 0.3) for r in _RATES]
    fixed = {"reduction": "batchmean", "dominant_weight": 0.1}
    return [
        {**fixed, **shape, "consistency_weight": weight, "label_smoothing": smoothing, "learning_rate": rate}
        for shape in _SHAPES
        for rate in _RATES
        for smoothing in _SMOOTHING
        for weight in _CONSISTENCY
    ]


@dataclass(frozen=True, eq=False)
class Choice:
    """The result of `choose`: the chosen configuration and the table of all that were tried.

    Attributes:
        configuration: the chosen entry of the grid.
        best: the entry with the highest validation accuracy; it may be the chosen one.
        table: one dictionary per entry: its keys, ``validation_accuracy`` and ``validation_loss`` over all held-out
            rows, ``deficit`` (the accuracy of ``best`` minus its own), ``standard_error`` of that difference, and
            ``eligible`` (whether the deficit is at most ``standard_errors`` standard errors).
    """

    configuration: dict[str, Any]
    best: dict[str, Any]
    table: list[dict[str, Any]]


def choose(
    in_features: int,
    num_classes: int,
    features: Tensor,
    targets: npt.NDArray[np.int64],
    *,
    grid: Sequence[dict[str, Any]] | None = None,
    fraction: float = 0.2,
    standard_errors: float = 1.0,
    seed: int,
    sample_weight: npt.NDArray[Any] | None = None,
    **options: Any,
) -> Choice:
    """Choose a configuration by validation on held-out training rows, preferring the strongest consistency.

    A share of every class is held out, and a `sweep` is trained on the rest. In-domain validation does not show the
    gain of a stronger consistency term under distribution shift. So `choose` considers the entries whose validation
    accuracy is within one standard error of the best, and takes the largest ``consistency_weight`` among them; ties go
    to the highest accuracy, then to the lowest loss. The standard error s(d)/√n is that of the **paired** difference
    d_n = (best right) − (entry right) over the held-out rows; it is far smaller than that of an accuracy. An entry
    without ``consistency_weight`` counts as 0, so a grid of probes gives the best one.

    Args:
        in_features: D.
        num_classes: K.
        features: (N, D); the default grid is for features scaled to the root mean square 1.
        targets: (N,) class ids.
        grid: as in `sweep`; ``None``: `default_grid`.
        fraction: share of every class that is held out, in (0, 1).
        standard_errors: a deficit of at most so many standard errors counts as equal; 0 takes the best.
        seed: the seed of the split and of all heads.
        sample_weight: (N,) as in `fit`, for training; the accuracies count all rows equally.
        options: further arguments of `sweep`, such as ``epochs``, ``batch_size``, ``device`` and ``progress``.

    Raises:
        ValueError: if no row can be held out, and as `sweep`.

    Source: the one-standard-error rule of Breiman et al. (1984), with a large consistency weight in the role of a
    simple model; docs/choosing_weights.md has the evidence.

    >>> import numpy as np, torch
    >>> targets = np.arange(120) % 3
    >>> features = torch.randn(120, 8, generator=torch.Generator().manual_seed(0)) + torch.from_numpy(targets)[:, None]
    >>> choice = choose(8, 3, features, targets, grid=default_grid("mlp"), seed=0, epochs=2)
    >>> choice.configuration == choice.best, len(choice.table)
    (True, 6)
    """
    check_number(fraction, "fraction", minimum=0, maximum=1, exclusive_minimum=True)
    check_number(standard_errors, "standard_errors", minimum=0)
    entries = default_grid() if grid is None else list(grid)
    kept, out = held_out(targets, fraction, seed)
    result = sweep(
        in_features,
        num_classes,
        entries,
        _rows(features, kept),
        targets[kept],
        validation=(features[out], targets[out]),
        seeds=(seed,),
        sample_weight=None if sample_weight is None else sample_weight[kept],
        **options,
    )
    return _chosen(entries, result, standard_errors)


def _rows(features: Tensor, index: npt.NDArray[np.int64]) -> Tensor:
    """The rows of an index; those of an array on the CPU may lie in a temporary file."""
    if features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(taken(features.numpy(), index))
    return features[index]


def _chosen(entries: list[dict[str, Any]], result: SweepResult, standard_errors: float) -> Choice:
    right = result.correct.astype(np.float64)
    accuracy, loss = right.mean(axis=1), np.array([row["validation_loss"] for row in result.table])
    finite = np.flatnonzero(np.isfinite(loss)).tolist()  # there is one, or the sweep raises
    best = min(finite, key=lambda i: (-accuracy[i], loss[i]))
    difference = right[best] - right
    deficit, count = difference.mean(axis=1), right.shape[1]
    error = difference.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(len(entries))
    eligible = (deficit <= standard_errors * error + 1e-12) & np.isfinite(loss)

    def merit(index: int) -> tuple[float, float, float]:
        return -float(entries[index].get("consistency_weight", 0.0)), -accuracy[index], loss[index]

    chosen = min(np.flatnonzero(eligible).tolist(), key=merit)
    table = [
        {
            **entry,
            "validation_accuracy": float(accuracy[index]),
            "validation_loss": float(loss[index]),
            "deficit": float(deficit[index]),
            "standard_error": float(error[index]),
            "eligible": bool(eligible[index]),
        }
        for index, entry in enumerate(entries)
    ]
    return Choice(dict(entries[chosen]), dict(entries[best]), table)
