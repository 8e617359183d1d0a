"""Local gradient matching: a head whose loss has the same gradient at features and at slightly perturbed ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .._checks import check_callable, check_generator, check_number, check_rows, check_strided
from .._gather import global_mean
from ..objective import IGNORED, check_targets


def local_gradient_matching(
    classify: Callable[[Tensor], Tensor],
    features: Tensor,
    targets: Tensor,
    *,
    noise_std: float = 0.1,
    perturbed: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Squared distance between the gradients of the task's loss at features and at perturbed features.

    L = (1/N) Σ_n ‖∇_f ℓ(f_n, y_n) − ∇_f ℓ(f_n + ε_n, y_n)‖², ℓ the cross-entropy of ``classify``'s logits, the norm
    summed over the D features; in [0, ∞). The gradients are by the features, and L is differentiable by the
    parameters of ``classify`` through both of them, so ``classify`` must have second derivatives: linear layers, GELU,
    LayerNorm and BatchNorm have; ReLU has them almost everywhere, and those are zero beyond its kink. In a network that
    mixes rows (BatchNorm in training) the gradient of a row is that of Σ_n ℓ_n.

    Args:
        classify: features (N, D) to logits (N, K), a head for example. It is called twice.
        features: (..., D), flattened to rows; no gradient reaches them.
        targets: class ids (...) or class probabilities (..., K). The mean is over the rows whose id is not −100.
        noise_std: the standard deviation of ε, Gaussian, as a multiple of the features' root mean square, so that the
            term does not depend on their scale. Not used with ``perturbed``.
        perturbed: f + ε (..., D), your own perturbation, such as the features of another view.
        generator: what draws ε, on the CPU; ``None``: torch's global generator.

    Returns:
        A scalar, float32 or better.

    Raises:
        ValueError: for shapes that do not fit, no rows, and ``noise_std`` below 0.

    Source: Ru et al., "Do we really have to filter out random noise in pre-training data for language models?"
    (arXiv 2502.06604), whose abstract says: a loss that aligns the gradients of normal and perturbed features, without
    the model's parameters. We know the abstract only: the squared Euclidean distance, the mean over rows, Gaussian ε
    relative to the features' root mean square and the default 0.1 are ours. The tests verify this definition.

    >>> import torch
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> features, targets = torch.zeros(1, 2), torch.tensor([0])
    >>> moved = torch.tensor([[20.0, 0.0]])  # the loss is flat there; at zero its gradient is (-1/2, 1/2)
    >>> local_gradient_matching(lambda rows: rows @ weight.T, features, targets, perturbed=moved).item().__round__(4)
    0.5
    """
    check_callable(classify, "classify")
    check_strided(targets, "targets")
    rows = check_rows(features).detach()
    rows = rows.reshape(-1, rows.shape[-1])
    if len(rows) == 0:
        raise ValueError(f"`features` must have at least one row, got shape {tuple(features.shape)}")
    if perturbed is None:
        std = check_number(noise_std, "noise_std", minimum=0)
        noise = torch.randn(rows.shape, generator=check_generator(generator), dtype=torch.float32, device="cpu").to(
            rows.device, rows.dtype
        )
        moved = rows + noise * (std * rows.square().mean().sqrt())
    else:
        moved = check_rows(perturbed, "perturbed").detach()
        if moved.shape != features.shape:
            raise ValueError(
                f"`perturbed` must have the shape of `features`, {tuple(features.shape)}, got {tuple(moved.shape)}"
            )
        moved = moved.reshape(-1, moved.shape[-1])
    labels = targets.reshape(-1, targets.shape[-1]) if targets.is_floating_point() else targets.reshape(-1)
    difference = _gradient(classify, rows, labels) - _gradient(classify, moved, labels)
    counts = torch.ones_like(labels[:, 0]) if labels.is_floating_point() else labels != IGNORED
    return global_mean(difference.square().sum(1), None, counts)


def _gradient(classify: Callable[[Tensor], Tensor], rows: Tensor, targets: Tensor) -> Tensor:
    """∂ Σ_n ℓ_n / ∂f, (N, D), itself differentiable."""
    with torch.enable_grad():
        rows = rows.clone().requires_grad_()
        logits = classify(rows)
        check_targets(logits, targets)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        wanted = targets.to(logits.dtype) if targets.is_floating_point() else targets.long()
        loss = functional.cross_entropy(logits, wanted, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, rows, create_graph=True)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32))
