"""Whitening before a linear probe: the control for the effect of better conditioned features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn

from .._checks import check_choice, check_integer, check_number, check_rows
from ..heads import Head, LinearProbe
from ..objective import task_objective

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

KINDS = ("zca", "pca")


def whitening(features: Tensor, *, kind: str = "zca", shrinkage: float = 0.1) -> tuple[Tensor, Tensor]:
    """Mean μ (D,) and matrix W (D, D) that whiten features: (F − μ)·W has the covariance I where ``shrinkage`` is 0.

    C = (1/(N−1)) Σ_n (f_n − μ)(f_n − μ)ᵀ = U Λ Uᵀ, Λ' = (1 − s)·Λ + s·(tr C / D)·I; ``"zca"``: W = U Λ'^{−1/2} Uᵀ,
    the whitening that moves the features least; ``"pca"``: W = U Λ'^{−1/2}, columns by falling variance. Directions
    whose Λ' is below max(N, D)·ε times the largest get weight 0 (with s > 0 there are none unless C = 0).

    Args:
        features: the training features, (..., D), N ≥ 2 of them when flattened to (N, D).
        kind: ``"zca"`` or ``"pca"``.
        shrinkage: s in [0, 1], towards a multiple of the identity; 1 only centres and scales.

    Returns:
        (μ, W) in the features' type and on their device, computed in float64.

    Raises:
        ValueError: with fewer than two rows or non-finite features, and for arguments out of range.

    Source: Kessy, Lewin, Strimmer, "Optimal Whitening and Decorrelation" (2018), ZCA and PCA whitening; shrinkage as in
    Ledoit and Wolf (2004) with a given intensity.

    >>> import torch
    >>> mean, matrix = whitening(torch.tensor([[0.0, 0.0], [4.0, 0.0], [2.0, 3.0], [2.0, -3.0]]), shrinkage=0.0)
    >>> mean, matrix.diagonal() ** -2  # the variances
    (tensor([2., 0.]), tensor([2.6667, 6.0000]))
    """
    check_choice(kind, "kind", KINDS)
    shrinkage = check_number(shrinkage, "shrinkage", minimum=0, maximum=1)
    rows = check_rows(features).detach()
    rows = rows.reshape(-1, rows.shape[-1]).to("cpu" if rows.device.type == "mps" else rows.device).double()
    count, width = rows.shape
    if count < 2:
        raise ValueError(f"`features` must have at least two rows for a covariance, got {count}")
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("`features` must be finite, got NaN or infinity")
    mean = rows.mean(0)
    centred = rows - mean
    values, vectors = torch.linalg.eigh(centred.mT @ centred / (count - 1))
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    values = (1 - shrinkage) * values + shrinkage * values.mean()
    floor = values[0] * (max(count, width) * torch.finfo(values.dtype).eps)
    scales = torch.where(values > floor, values, torch.inf).rsqrt()
    matrix = vectors * scales
    if kind == "zca":
        matrix = matrix @ vectors.mT
    return mean.to(features), matrix.to(features)


class _Whitening(nn.Module):
    """(F − μ)·W of rows; the identity until `WhitenedProbe.whiten` sets μ and W."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.matrix: Tensor
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("matrix", torch.eye(in_features))

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self.matrix


class WhitenedProbe(Head):
    """A linear classifier on whitened features: Z = (F − μ)·W, logits = Z·Aᵀ + b.

    The interface of `noisymodel.LinearProbe`. μ and W are buffers, saved with the head. `whiten` sets them from
    the training features; before that they are the identity. They are not trained.

    Args:
        in_features: D.
        num_classes: K; 0 or ``None``: no classifier.
        kind: ``"zca"`` or ``"pca"``, see `whitening`.
        shrinkage: in [0, 1], see `whitening`.
        label_smoothing: in [0, 1], that of `torch.nn.functional.cross_entropy`.
        gather: as in `noisymodel.NMTuneLoss`; the whitening is that of the features given to `whiten`.
        classifier_init: as in `noisymodel.NMTune`.
        generator: what draws initial weights, on the CPU; ``None``: torch's global generator.

    Raises:
        ValueError: for arguments out of range.

    >>> import torch
    >>> from noisymodel import fit
    >>> from noisymodel.baselines import WhitenedProbe
    >>> generator = torch.Generator().manual_seed(0)
    >>> targets = torch.arange(200) % 2
    >>> features = torch.randn(200, 8, generator=generator) * 100 + targets[:, None]
    >>> head = WhitenedProbe(8, 2, shrinkage=0.01, generator=generator).whiten(features)
    >>> head.tune(features).std(0).mean().round(decimals=2)
    tensor(1.)
    >>> head = fit(head, features, targets, epochs=1, seed=0).head
    >>> bool(torch.allclose(head.fold()(features), head(features), atol=1e-4))
    True
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        kind: str = "zca",
        shrinkage: float = 0.1,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        check_choice(kind, "kind", KINDS)
        in_features = check_integer(in_features, "in_features", minimum=1)
        super().__init__(
            in_features,
            num_classes,
            network=_Whitening(in_features),
            objective=task_objective(label_smoothing, gather),
            classifier_init=classifier_init,
            generator=generator,
        )
        self.kind = kind
        self.shrinkage = check_number(shrinkage, "shrinkage", minimum=0, maximum=1)

    def config(self) -> dict[str, Any]:
        """The arguments that make this head again."""
        return {**super().config(), "kind": self.kind, "shrinkage": self.shrinkage}

    def whiten(self, features: Tensor) -> Self:
        """Take the whitening of the training features (..., D); returns the head. The classifier stays as it is."""
        mean, matrix = whitening(
            check_rows(features, num_features=self.in_features), kind=self.kind, shrinkage=self.shrinkage
        )
        self._whitening.mean.copy_(mean)
        self._whitening.matrix.copy_(matrix)
        return self

    def fold(self) -> LinearProbe:
        """The same classifier on the features themselves: logits = F·(A Wᵀ)ᵀ + (b − A Wᵀ μ), one linear layer.

        Raises:
            ValueError: without a classifier.
        """
        if self.classifier is None:
            raise ValueError("WhitenedProbe has no classifier to fold (`num_classes` is 0): head.reset(num_classes)")
        probe = LinearProbe(
            self.in_features,
            self.num_classes,
            normalize=None,
            label_smoothing=self.objective.label_smoothing,
            gather=self.objective.gather,
            classifier_init=self.classifier_init,
            generator=torch.Generator().manual_seed(0),  # its draws are overwritten
        ).to(self.classifier.weight.device, self.classifier.weight.dtype)
        folded = cast(nn.Linear, probe.classifier)
        with torch.no_grad():
            folded.weight.copy_(self.classifier.weight @ self._whitening.matrix.mT)
            folded.bias.copy_(self.classifier.bias - folded.weight @ self._whitening.mean)
        return probe.train(self.training)

    @property
    def _whitening(self) -> _Whitening:
        return cast(_Whitening, self.network)
