"""Penalties that keep a tuned model near the pre-trained one: in its weights, or in its embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .._checks import check_choice, check_number, check_rows

DISTANCES = ("cosine", "squared")


def l2_sp_penalty(
    parameters: Mapping[str, Tensor], start: Mapping[str, Tensor], *, alpha: float = 0.01, beta: float = 0.01
) -> Tensor:
    """Squared distance of the weights from where they started: decay towards the pre-trained model, not towards zero.

    L = (α/2) Σ_{i∈S} ‖w_i − w⁰_i‖² + (β/2) Σ_{i∉S} ‖w_i‖², S the names in ``start``; summed over all entries, not
    averaged; in [0, ∞).

    Args:
        parameters: ``dict(model.named_parameters())`` of the model that is tuned.
        start: the pre-trained values w⁰ of the shared parameters, under the same names; no gradient reaches them. All
            other parameters are new (the head) and decay towards zero with weight β.
        alpha: α ≥ 0, on the shared parameters.
        beta: β ≥ 0, on the new ones.

    Returns:
        A scalar, float32 or better.

    Raises:
        ValueError: if ``start`` has a name that ``parameters`` lacks, or another shape.

    Source: Li, Grandvalet, Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks"
    (ICML 2018, arXiv 1802.01483), L²-SP. The defaults α = β = 0.01 are those of Transfer-Learning-Library's example,
    whose regularizer has the ½, too; the paper chooses α by validation. If this penalty replaces the optimizer's weight
    decay, set that to 0.

    >>> import torch
    >>> start = {"backbone.weight": torch.zeros(2)}
    >>> l2_sp_penalty({"backbone.weight": torch.ones(2), "head": torch.tensor([2.0])}, start, alpha=1.0, beta=0.5)
    tensor(2.)
    """
    alpha = check_number(alpha, "alpha", minimum=0)
    beta = check_number(beta, "beta", minimum=0)
    for argument, tensors in (("parameters", parameters), ("start", start)):
        if not isinstance(tensors, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`{argument}` must map names to tensors, got {type(tensors).__name__}")
    for name, value in start.items():
        if name not in parameters:
            raise ValueError(f"`parameters` must have the names of `start`, {name!r} is missing")
        if parameters[name].shape != value.shape:
            raise ValueError(
                f"`start` must have the shape {tuple(parameters[name].shape)} of `parameters` under {name!r}, "
                f"got {tuple(value.shape)}"
            )
    shared = [_squares(parameters[name] - value.detach()) for name, value in start.items()]
    fresh = [_squares(value) for name, value in parameters.items() if name not in start]
    zero = next(
        (value.new_zeros((), dtype=torch.float32) for value in parameters.values()),
        torch.zeros((), dtype=torch.float32, device="cpu"),
    )
    return sum(shared, zero) * (alpha / 2) + sum(fresh, zero) * (beta / 2)


def _squares(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)).square().sum()


def embedding_distortion(tuned: Tensor, pretrained: Tensor, *, distance: str = "cosine") -> Tensor:
    """How far the tuned embeddings have moved from the pre-trained ones, mean over the rows.

    ``"cosine"``: (1/N) Σ_n (1 − cos(z_n, f_n)), in [0, 2]; ``"squared"``: (1/N) Σ_n ‖z_n − f_n‖², in [0, ∞). A zero
    row has the cosine 0. ``"cosine"`` is half of `noisymodel.losses.consistency_loss` with ``reduction="batchmean"``:
    NMTune's consistency term, for a backbone that is tuned.

    Args:
        tuned: embeddings Z (..., D) of the backbone that is tuned.
        pretrained: embeddings F (..., D) of the same inputs by the backbone before tuning; no gradient reaches them.
        distance: ``"cosine"`` or ``"squared"``.

    Returns:
        A scalar, float32 or better.

    Raises:
        ValueError: for different shapes, no rows, or an unknown distance.

    Source: Shaked, Goldman, Shayer, "Minimizing Embedding Distortion for Robust Out-of-Distribution Performance"
    (arXiv 2409.07582), the similarity loss. We know it from its abstract only, which adds a loss on the distance
    between fine-tuned and pre-trained embeddings to the task's loss. Both distances, and the mean over rows, are ours.

    >>> import torch
    >>> z, f = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> embedding_distortion(z, f), embedding_distortion(z, f, distance="squared")
    (tensor(0.5000), tensor(1.5000))
    """
    check_choice(distance, "distance", DISTANCES)
    first, second = check_rows(tuned, "tuned"), check_rows(pretrained, "pretrained").detach()
    if first.shape != second.shape:
        raise ValueError(
            f"`pretrained` must have the shape of `tuned`, {tuple(first.shape)}, got {tuple(second.shape)}"
        )
    if first.numel() == 0:
        raise ValueError(f"`tuned` must have at least one row, got shape {tuple(first.shape)}")
    precision = torch.promote_types(first.dtype, torch.float32)
    first, second = first.to(precision), second.to(precision)
    with torch.autocast(first.device.type, enabled=False):
        if distance == "squared":
            return (first - second).square().sum(-1).mean()
        return 1 - torch.nn.functional.cosine_similarity(first, second, dim=-1).mean()
