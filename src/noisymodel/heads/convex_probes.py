"""Linear and kernel probes as convex problems, their penalties chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import (
    check_array,
    check_callable,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_rows,
    check_seed,
    check_sequence,
)
from ..files.spilled import Matrix, mapped, pieces
from .convex import Path, Problem, Progress, cross_validate, fold_ids, multinomial
from .kernel import KernelProbe, kernel, landmarks_of
from .normalization import unit_rows
from .probes import LinearProbe

LINEAR_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 3e-4)
KERNEL_PENALTIES = (1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)
FOLDS = 5
_EXACT = 10**7  # entries of the rows up to which the last fit is in float64

P = TypeVar("P", LinearProbe, KernelProbe)


class FittedProbe(NamedTuple, Generic[P]):
    """What `fit_linear_probe` and `fit_kernel_probe` return.

    ``head``: the probe, on the features' device, whose logits are calibrated. ``penalty``: λ. ``factor``: what the
    logits were multiplied by, 1 without ``calibrate``. ``out_of_fold`` (H, K): the calibrated logits of the H rows that
    a fold holds out, in their order, by a model that did not see them; ``None`` without cross-validation.
    """

    head: P
    penalty: float
    factor: float
    out_of_fold: Tensor | None


def fit_linear_probe(
    features: Tensor,
    targets: Tensor | npt.NDArray[Any],
    *,
    num_classes: int | None = None,
    penalties: Sequence[float] = LINEAR_PENALTIES,
    folds: int | npt.NDArray[np.int64] = FOLDS,
    normalize: str | None = "l2",
    sample_weight: Tensor | npt.NDArray[Any] | None = None,
    calibrate: bool = True,
    standard_errors: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> FittedProbe[LinearProbe]:
    """Multinomial logistic regression as a `LinearProbe`, on rows of length √D, by L-BFGS.

    min (1/N) Σ_n CE(W x_n + b, y_n) + (λ/2)·‖W‖², b free of penalty. λ: the strongest penalty whose accuracy in
    stratified cross-validation is within ``standard_errors`` paired standard errors of the best. ``calibrate``: the
    logits are then multiplied by the factor of least out-of-fold cross-entropy. scikit-learn's C is 1/(λN). Fewer rows
    than features are fitted in the span of the rows, which has the same solution and costs N features instead of D.

    Args:
        features: (N, D), on any device; the computation stays there. Float64 stays float64 throughout.
        targets: class ids (N,), or class probabilities (N, K).
        num_classes: K; ``None``: one more than the largest id.
        penalties: λ to try, strongest first; a single one is taken without cross-validation.
        folds: how many, at least 2, or the fold of each row (N,), −1 for rows that are always trained on.
        normalize: ``"l2"``, rows of length √D; ``None``, features as they are.
        sample_weight: (N,) ≥ 0, in the loss, the accuracies and the calibration.
        calibrate: see above.
        standard_errors: 0 takes the best.
        seed: of the folds.
        progress: called after each fit.

    Returns:
        `FittedProbe`.

    Raises:
        ValueError: for arguments out of range.

    >>> import torch
    >>> from noisymodel.heads import fit_linear_probe
    >>> features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> found = fit_linear_probe(features, (features[:, 0] > 0).long())
    >>> bool((found.head(features).argmax(1) == (features[:, 0] > 0)).float().mean() > 0.9)
    True
    """
    check_choice(normalize, "normalize", ("l2", None))
    given = _rows(features)
    problem, ids = _problem(given, targets, num_classes, folds, sample_weight, seed)
    rows = given if normalize is None else mapped(unit_rows, given, given.shape[1])
    basis = _span(rows)
    if basis is not None:
        rows = torch.cat([piece @ basis for piece in pieces(rows)])
    path, penalty, found = _solve(problem._replace(rows=rows), ids, penalties, calibrate, standard_errors, progress)
    if basis is not None:
        found = torch.cat([basis.to(found) @ found[:-1], found[-1:]])
    start = torch.Generator().manual_seed(0)  # of no effect: the weights are replaced
    head = LinearProbe(features.shape[1], problem.num_classes, normalize=normalize, generator=start)
    return _filled(head, found, features, path, penalty)


def fit_kernel_probe(
    features: Tensor,
    targets: Tensor | npt.NDArray[Any],
    *,
    num_classes: int | None = None,
    gamma: float = 1.0,
    landmarks: int = 1500,
    penalties: Sequence[float] = KERNEL_PENALTIES,
    folds: int | npt.NDArray[np.int64] = FOLDS,
    sample_weight: Tensor | npt.NDArray[Any] | None = None,
    calibrate: bool = True,
    standard_errors: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> FittedProbe[KernelProbe]:
    """Kernel logistic regression as a `KernelProbe`: k(x, y) = exp(−γ‖x − y‖²) of rows of length one.

    `fit_linear_probe` on the feature map φ(x) = k(x, L) K^(−1/2), L being all rows or ``landmarks`` of them, drawn by
    ``seed``. The other arguments are those of `fit_linear_probe`.

    Args:
        features: (N, D).
        targets: class ids (N,), or class probabilities (N, K).
        num_classes: K.
        gamma: γ > 0.
        landmarks: at most so many.
        penalties: λ to try, strongest first.
        folds: as there.
        sample_weight: as there.
        calibrate: as there.
        standard_errors: as there.
        seed: of landmarks and folds.
        progress: as there.

    Raises:
        ValueError: for arguments out of range.

    Source: Zhu and Hastie, "Kernel logistic regression and the import vector machine" (2005); Williams and Seeger
    (2001).
    """
    gamma = check_number(gamma, "gamma", minimum=0, exclusive_minimum=True)
    check_integer(landmarks, "landmarks", minimum=1)
    rows = _rows(features)
    problem, ids = _problem(rows, targets, num_classes, folds, sample_weight, seed)
    chosen, root = landmarks_of(rows, most=landmarks, gamma=gamma, seed=seed)

    def feature_map(piece: Tensor) -> Tensor:
        return kernel(functional.normalize(piece, dim=1), chosen, gamma) @ root

    problem = problem._replace(rows=mapped(feature_map, rows, len(chosen)))
    path, penalty, found = _solve(problem, ids, penalties, calibrate, standard_errors, progress)
    head = KernelProbe(features.shape[1], problem.num_classes, landmarks=len(chosen), gamma=gamma)
    head.register_buffer("landmarks", chosen.to(features.dtype))
    folded = torch.cat([root.to(found) @ found[:-1], found[-1:]])
    return _filled(head, folded, features, path, penalty)


def _solve(
    problem: Problem,
    folds: Tensor,
    penalties: Sequence[float],
    calibrate: bool,
    errors: float,
    progress: Progress | None,
) -> tuple[Path | None, float, Tensor]:
    """The path, the penalty, and the solution (D + 1, K) on all rows, calibrated where that is asked for."""
    check_sequence(penalties, "penalties", "numbers")
    calibrate = check_flag(calibrate, "calibrate")
    errors = check_number(errors, "standard_errors", minimum=0)
    if progress is not None:
        check_callable(progress, "progress")
    ordered = [check_number(one, "penalties", minimum=0, exclusive_minimum=True) for one in penalties]
    if not ordered or ordered != sorted(ordered, reverse=True):
        raise ValueError(f"`penalties` must be at least one number, strongest first, got {list(penalties)}")
    path = None
    if (len(ordered) > 1 or calibrate) and bool((folds >= 0).any()):
        path = cross_validate(problem, folds, ordered, standard_errors=errors, progress=progress)
        path = path if calibrate else path._replace(factor=1.0)
    penalty = ordered[0] if path is None else path.penalties[path.chosen]
    rows, targets, weights = problem.rows, problem.targets, problem.weights
    if isinstance(rows, Tensor) and rows.numel() <= _EXACT and rows.device.type != "mps":
        exact = None if weights is None else weights.double()
        problem = problem._replace(
            rows=rows.double(), targets=targets.double() if targets.ndim == 2 else targets, weights=exact
        )
    found = multinomial(problem, penalty)
    return path, penalty, found if path is None else found * path.factor


def _span(rows: Matrix) -> Tensor | None:
    """(D, N) an orthonormal basis that holds the rows (N, D), or ``None`` unless N < D.

    The penalty keeps the solution in the span of the rows, so that the problem in the basis has the same one.
    """
    return torch.linalg.qr(torch.cat(list(pieces(rows))).mT).Q if len(rows) < rows.shape[1] else None


def _filled(head: P, found: Tensor, features: Tensor, path: Path | None, penalty: float) -> FittedProbe[P]:
    classifier = cast(nn.Linear, head.classifier)
    head.to(features.device, features.dtype)
    with torch.no_grad():
        classifier.weight.copy_(found[:-1].mT)
        classifier.bias.copy_(found[-1])
    if path is None:
        return FittedProbe(head.eval(), penalty, 1.0, None)
    return FittedProbe(head.eval(), penalty, path.factor, path.out_of_fold[path.chosen] * path.factor)


def _rows(features: Tensor) -> Tensor:
    """The checked features (N, D), in float32 or float64."""
    rows = check_rows(features).detach()
    if rows.ndim != 2:
        raise ValueError(f"`features` must have shape (N, D), got {tuple(rows.shape)}")
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()


def _problem(
    rows: Tensor,
    targets: Tensor | npt.NDArray[Any],
    num_classes: int | None,
    folds: int | npt.NDArray[np.int64],
    sample_weight: Tensor | npt.NDArray[Any] | None,
    seed: int,
) -> tuple[Problem, Tensor]:
    """The checked problem, and the fold of each row (N,)."""
    given, classes = _targets(as_numbers(targets, "targets"), num_classes)
    given = given.to(rows) if given.ndim == 2 else given.to(rows.device)
    if len(given) != len(rows):
        raise ValueError(f"`targets` must have one entry per row of `features` ({len(rows)}), got {len(given)}")
    weights = None if sample_weight is None else row_weights(sample_weight, len(rows)).to(rows)
    if weights is not None and not bool((weights > 0).any()):
        raise ValueError("`sample_weight` must not be all zero")
    if isinstance(folds, np.ndarray):
        ids = _given_folds(folds, len(rows))
    else:
        most_likely = (given if given.ndim == 1 else given.argmax(1)).cpu().numpy()
        smallest = int(np.bincount(most_likely)[np.unique(most_likely)].min())
        count = min(check_integer(folds, "folds", minimum=2), max(2, smallest))
        ids = fold_ids(most_likely, count, check_seed(seed))
    return Problem(rows, given, classes, weights), torch.from_numpy(ids).to(rows.device)


def as_numbers(values: object, name: str, *, kinds: str = "iuf", expected: str = "") -> Tensor:
    """A tensor as it is; of anything else a copy, in int64 or float64."""
    array = check_array(values, name, kinds=kinds, expected=expected)
    if isinstance(array, Tensor):
        return array
    return torch.from_numpy(np.array(array, dtype=np.float64 if array.dtype.kind == "f" else np.int64, order="C"))


def row_weights(sample_weight: object, count: int) -> Tensor:
    """Weights (N,) of rows in float64: finite and not negative."""
    weights = as_numbers(sample_weight, "sample_weight", kinds="biuf", expected="numbers").double()
    if weights.shape != (count,):
        raise ValueError(f"`sample_weight` must have shape ({count},), got {tuple(weights.shape)}")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("`sample_weight` must be finite and not negative")
    return weights


def _given_folds(folds: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    ids = check_array(folds, "folds", kinds="iu", expected="integers")
    if ids.shape != (count,) or int(ids.min()) < -1:
        raise ValueError(f"`folds` must be the fold of each of {count} rows, at least −1, got shape {tuple(ids.shape)}")
    return np.asarray(ids).astype(np.int64)


def _targets(targets: Tensor, num_classes: int | None) -> tuple[Tensor, int]:
    """Class ids (N,) or class probabilities (N, K), checked, and K."""
    if targets.ndim == 2 and targets.is_floating_point():
        if num_classes is not None and targets.shape[1] != check_integer(num_classes, "num_classes", minimum=1):
            raise ValueError(f"`targets` must have {num_classes} columns, got shape {tuple(targets.shape)}")
        if not bool(torch.isfinite(targets).all()) or bool((targets < 0).any()):
            raise ValueError("`targets` must be finite and not negative where they are class probabilities")
        return targets.detach(), targets.shape[1]
    if targets.ndim != 1 or targets.is_floating_point() or len(targets) == 0:
        raise ValueError(f"`targets` must be class ids (N,) or class probabilities (N, K), got {tuple(targets.shape)}")
    targets = targets.long()
    largest = int(targets.max()) + 1
    count = largest if num_classes is None else check_integer(num_classes, "num_classes", minimum=1)
    if largest > count or int(targets.min()) < 0:
        raise ValueError(f"`targets` must be in [0, {count}), got {int(targets.min())} to {largest - 1}")
    return targets, count
