"""Multinomial logistic regression: the convex problem, its penalty by cross-validation, its temperature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController
from torch import Tensor

from .._random import array_generator
from ..files.spilled import Matrix, chosen, pieces

_FOLDS = 0x666F6C64
_PATH_STEPS, _PATH_TOLERANCE = 30, 1e-4  # of L-BFGS for each penalty, begun where the stronger penalty ended
_NEARLY = 0.9  # of the rows, above which they are not copied
_WORSE = 2  # penalties in a row that may lose before the path ends
_FACTORS = (-3.0, 5.0)  # natural logarithms of the smallest and the largest factor on logits

Progress = Callable[[], object]


class Problem(NamedTuple):
    """Rows (N, D) of any floating type and on any device, their targets, and the classes' number K.

    ``targets``: class ids (N,), or class probabilities (N, K) of the rows' type. ``weights``: (N,) ≥ 0; ``None``: all
    alike.
    """

    rows: Matrix
    targets: Tensor
    num_classes: int
    weights: Tensor | None = None

    def where(self, mask: Tensor) -> Problem:
        """The rows where ``mask`` (N,) is true, which are copied; nearly all: all, the others with weight zero."""
        if int(mask.sum()) > _NEARLY * len(mask):
            weights = mask.to(self.rows.dtype) if self.weights is None else self.weights * mask
            return self._replace(weights=weights)
        weights = None if self.weights is None else self.weights[mask]
        return self._replace(rows=chosen(self.rows, mask), targets=self.targets[mask], weights=weights)


class Path(NamedTuple):
    """Cross-validation over penalties, strongest first.

    ``out_of_fold`` (P, H, K): the logits of the H rows that a fold holds out, by the model that did not see them.
    ``penalties``: the P that were tried. ``chosen``: the index of the penalty taken. ``factor``: on its logits.
    """

    out_of_fold: Tensor
    penalties: list[float]
    chosen: int
    factor: float


def multinomial(
    problem: Problem,
    penalty: float,
    *,
    start: Tensor | None = None,
    iterations: int = 500,
    tolerance: float = 1e-6,
) -> Tensor:
    """Weights and, as the last row, biases (D + 1, K) of multinomial logistic regression.

    min Σ_n w_n CE(x_n W + b, t_n) / Σ_n w_n + (λ/2)·‖W‖², the biases free of penalty, by L-BFGS, until no
    entry of the gradient exceeds ``tolerance``. scikit-learn's C is 1/(λN). The solution has the type and the device of
    the rows, which are read in pieces.

    Args:
        problem: rows, targets and weights.
        penalty: λ > 0.
        start: (D + 1, K); ``None``: zero.
        iterations: at most so many.
        tolerance: of the gradient.

    >>> import torch
    >>> rows = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    >>> multinomial(Problem(rows, torch.tensor([0, 1]), 2), 0.1).shape
    torch.Size([2, 2])
    """
    rows, targets, classes, weights = problem
    count, width = rows.shape
    alike = torch.full((count,), 1 / count, dtype=rows.dtype, device=rows.device)
    share = alike if weights is None else weights / weights.sum()

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        solution = torch.from_numpy(flat.reshape(width + 1, classes)).to(rows.device, rows.dtype)
        gradient = penalty * solution
        gradient[-1] = 0
        value = penalty / 2 * solution[:-1].square().sum()
        for x, ids, part in zip(pieces(rows), pieces(targets), pieces(share[:, None]), strict=True):
            wanted = probabilities(ids, classes, rows.dtype)
            logs = torch.addmm(solution[-1], x, solution[:-1]).log_softmax(1)
            value -= (part * wanted * logs).sum()
            error = part * (wanted.sum(1, keepdim=True) * logs.exp() - wanted)
            gradient[:-1].addmm_(x.mT, error)
            gradient[-1] += error.sum(0)
        return float(value), gradient.cpu().double().numpy().ravel()

    first = np.zeros((width + 1) * classes) if start is None else start.cpu().double().numpy().ravel()
    options: Any = {"maxiter": iterations, "maxfun": 2 * iterations, "gtol": tolerance, "ftol": 1e-13}
    with _blas().limit(limits=1, user_api="blas"):
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x.reshape(width + 1, classes)).to(rows.device, rows.dtype)


def probabilities(targets: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Class probabilities (N, K) of class ids (N,); probabilities stay as they are."""
    if targets.ndim == 2:
        return targets
    certain = torch.zeros(len(targets), num_classes, dtype=dtype, device=targets.device)
    return certain.scatter_(1, targets[:, None], 1.0)


def logits_of(rows: Matrix, solution: Tensor) -> Tensor:
    """(N, K) x W + b of a solution (D + 1, K)."""
    return torch.cat([torch.addmm(solution[-1], piece, solution[:-1]) for piece in pieces(rows)])


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """The BLAS of scipy: its waiting threads and torch's on the same cores make a fit five times as long."""
    return ThreadpoolController()


def fold_ids(targets: npt.NDArray[np.int64], folds: int, seed: int, most: int | None = None) -> npt.NDArray[np.int64]:
    """(N,) the fold that holds each row out, in [0, folds), every class spread evenly; −1 for rows that none does.

    ``most``: about so many rows are held out in all, in proportion to the classes.
    """
    random, found, offset = array_generator(seed, _FOLDS), np.full(len(targets), -1, dtype=np.int64), 0
    share = 1.0 if most is None else min(1.0, most / len(targets))
    for label in np.unique(targets):
        own = random.permutation(np.flatnonzero(targets == label))
        own = own[: max(1, round(share * len(own)))]
        found[own] = (np.arange(len(own)) + offset) % folds
        offset += len(own)
    return found


def cross_validate(
    problem: Problem,
    folds: Tensor,
    penalties: Sequence[float],
    *,
    standard_errors: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fit every penalty on the rows outside each fold, each from the stronger penalty's solution, and choose one.

    Chosen is the strongest penalty whose accuracy is within ``standard_errors`` paired standard errors of the best
    (of equal accuracies the one of lower log-loss after its own temperature). The path ends early after two penalties
    that are below the best in accuracy and log-loss alike.
    """
    rows, held = problem.rows, folds >= 0
    kinds: list[int] = folds[held].unique().tolist()
    mass = None if problem.weights is None else problem.weights[held]
    wanted = probabilities(problem.targets[held], problem.num_classes, rows.dtype)
    starts: dict[int, Tensor | None] = dict.fromkeys(kinds)
    logits: list[Tensor] = []
    factors: list[float] = []
    scores: list[tuple[float, float]] = []
    for penalty in penalties:
        out = torch.empty_like(wanted)
        for fold in kinds:
            outside = folds == fold
            found = multinomial(
                problem.where(~outside),
                penalty,
                start=starts[fold],
                iterations=_PATH_STEPS,
                tolerance=_PATH_TOLERANCE,
            )
            starts[fold] = found
            out[outside[held]] = logits_of(chosen(rows, outside), found)
            if progress is not None:
                progress()
        logits.append(out)
        factors.append(temperature(out, wanted, weights=mass))
        loss = log_loss(factors[-1] * out, wanted, weights=mass)
        scores.append((-float(_mean(_right(out, wanted), mass)), loss))
        recent = scores[-_WORSE:]
        if len(scores) > _WORSE and all(s[0] > min(scores)[0] and s[1] > min(s[1] for s in scores) for s in recent):
            break
    right = [_right(one, wanted) for one in logits]
    best = scores.index(min(scores))
    index = next(i for i in range(best + 1) if i == best or within_errors(right[best], right[i], mass, standard_errors))
    return Path(torch.stack(logits), list(penalties[: len(logits)]), index, factors[index])


def within_errors(best: Tensor, other: Tensor, weights: Tensor | None, errors: float) -> bool:
    """Whether the mean of ``other`` (N,) is within so many paired standard errors of that of ``best``."""
    difference = best - other
    mean = _mean(difference, weights)
    spread = _mean((difference - mean).square(), weights)
    return float(mean) <= errors * math.sqrt(float(spread) / max(len(difference) - 1, 1)) + 1e-12


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    """(N,) the probability that the label is the class of the largest logit: 0 or 1 for class ids."""
    found = targets.gather(1, logits.argmax(1, keepdim=True))[:, 0]
    return found if found.device.type == "mps" else found.double()


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.mean() if weights is None else (values * weights).sum() / weights.sum()


def log_loss(logits: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> float:
    """The mean cross-entropy of logits (N, K) and class probabilities (N, K), with weights (N,)."""
    return float(_mean(-(targets * logits.log_softmax(1)).sum(1), weights))


def temperature(logits: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> float:
    """The factor β in [e⁻³, e⁵] on logits (N, K) with the least mean cross-entropy; 1/β is the temperature.

    The labels are smoothed by 1/(N + K), as Platt scaling does, so that a few rows that are all right do not claim
    certainty. Golden section search on log β: the cross-entropy is convex in β.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017).

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]] * 4)
    >>> temperature(logits, torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]])) < 1  # three of four right, 88 % claimed
    True
    """
    count, classes = logits.shape
    blurred = torch.lerp(targets, targets.mean(1, keepdim=True).expand_as(targets), 1 / (count + classes))
    low, high, golden = *_FACTORS, (math.sqrt(5) - 1) / 2

    def loss(at: float) -> float:
        return log_loss(math.exp(at) * logits, blurred, weights=weights)

    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)
