"""Linear discriminant analysis with a shrunken covariance, in closed form, from sums that merge."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_choice, check_integer, check_number, check_rows
from ..heads import LinearProbe
from ..heads.convex_probes import as_numbers, row_weights


class DiscriminantSums:
    """Count, Σx and Σxxᵀ of the rows of each class, the sufficient sums of linear discriminant analysis.

    Batches are added by `update`, the sums of other workers by `merge`; `probe` gives the classifier. Sums are in
    float64.

    Args:
        num_features: D.
        num_classes: K.
        normalize: ``"l2"``: rows of length √D; ``None``: features as they are.

    >>> import torch
    >>> from noisymodel.baselines import DiscriminantSums
    >>> features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> targets = (features[:, 0] > 0).long()
    >>> first = DiscriminantSums(4, 2).update(features[:30], targets[:30])
    >>> whole = first.merge(DiscriminantSums(4, 2).update(features[30:], targets[30:]))
    >>> bool((whole.probe()(features).argmax(1) == targets).double().mean() > 0.9)
    True
    """

    def __init__(self, num_features: int, num_classes: int, *, normalize: str | None = "l2") -> None:
        check_choice(normalize, "normalize", ("l2", None))
        self.num_features = check_integer(num_features, "num_features", minimum=1)
        self.num_classes = check_integer(num_classes, "num_classes", minimum=1)
        self.normalize = normalize
        self.counts = torch.zeros(num_classes, dtype=torch.float64, device="cpu")
        self.sums = torch.zeros(num_classes, num_features, dtype=torch.float64, device="cpu")
        self.products = torch.zeros(num_features, num_features, dtype=torch.float64, device="cpu")

    def update(
        self,
        features: Tensor,
        targets: Tensor | npt.NDArray[Any],
        *,
        sample_weight: Tensor | npt.NDArray[Any] | None = None,
    ) -> Self:
        """Add rows (n, D) with class ids (n,), and weights (n,) ≥ 0 where they are given; returns ``self``."""
        rows = check_rows(features, num_features=self.num_features).detach().double().cpu()
        ids = as_numbers(targets, "targets", kinds="iu", expected="class ids").cpu()
        if rows.ndim != 2 or ids.shape != rows.shape[:1]:
            raise ValueError(f"`targets` must be class ids, one per row of {tuple(rows.shape)}, got {tuple(ids.shape)}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.num_classes:
            raise ValueError(f"`targets` must be in [0, {self.num_classes}), got {int(ids.min())} to {int(ids.max())}")
        if self.normalize is not None:
            rows = functional.normalize(rows, dim=1) * self.num_features**0.5
        weights = torch.ones(len(rows), dtype=torch.float64, device="cpu")
        if sample_weight is not None:
            weights = row_weights(sample_weight, len(rows)).cpu()
        self.counts.index_add_(0, ids.long(), weights)
        self.sums.index_add_(0, ids.long(), weights[:, None] * rows)
        self.products += (weights[:, None] * rows).mT @ rows
        return self

    def merge(self, other: DiscriminantSums) -> Self:
        """Add the sums of other rows; returns ``self``."""
        mine, theirs = ((s.num_features, s.num_classes, s.normalize) for s in (self, other))
        if mine != theirs:
            raise ValueError(f"`other` must have the same features, classes and `normalize` {mine}, got {theirs}")
        self.counts += other.counts
        self.sums += other.sums
        self.products += other.products
        return self

    def probe(self, *, shrinkage: float | str = "oas", dtype: torch.dtype = torch.float32) -> LinearProbe:
        """The classifier as a `LinearProbe`: w_k = Σ⁻¹μ_k, b_k = −½ μ_kᵀΣ⁻¹μ_k + log π_k; absent classes get b = −1e9.

        Σ = (1 − ρ) S + ρ (tr S / D) I, S the pooled covariance within the classes (1/N).

        Args:
            shrinkage: ρ in [0, 1], or ``"oas"``: ρ = (a + m²) / ((N + 1)(a − m²/D)), at most 1, with a the mean square
                of the entries of S and m = tr S / D.
            dtype: of the probe.

        Raises:
            ValueError: if no row was added, or for arguments out of range.

        Source: Chen et al., "Shrinkage algorithms for MMSE covariance estimation" (2010).
        """
        check_choice(dtype, "dtype", (torch.float64, torch.float32, torch.float16, torch.bfloat16))
        count = float(self.counts.sum())
        if count == 0:
            raise ValueError("`probe` needs rows: call `update` first")
        means = self.sums / self.counts.clamp_min(1e-300)[:, None]
        scatter = (self.products - (means * self.counts[:, None]).mT @ means) / count
        if isinstance(shrinkage, str):
            check_choice(shrinkage, "shrinkage", ("oas",))
            part = _oas(scatter, count)
        else:
            part = check_number(shrinkage, "shrinkage", minimum=0, maximum=1)
        size = float(scatter.diagonal().mean()) or 1.0
        shrunk = (1 - part) * scatter + (part * size + 1e-12 * size) * torch.eye(
            self.num_features, dtype=torch.float64, device="cpu"
        )
        weights = torch.linalg.solve(shrunk, means.mT).mT
        bias = torch.log((self.counts / count).clamp_min(1e-300)) - 0.5 * (weights * means).sum(1)
        bias = torch.where(self.counts > 0, bias, torch.full_like(bias, -1e9))
        start = torch.Generator().manual_seed(0)  # of no effect: the weights are replaced
        head = LinearProbe(self.num_features, self.num_classes, normalize=self.normalize, generator=start).to(dtype)
        classifier = cast(nn.Linear, head.classifier)
        with torch.no_grad():
            classifier.weight.copy_(weights)
            classifier.bias.copy_(bias)
        return head.eval()


def _oas(scatter: Tensor, count: float) -> float:
    width = len(scatter)
    square, size = float(scatter.square().mean()), float(scatter.diagonal().mean()) ** 2
    bottom = (count + 1) * (square - size / width)
    return 1.0 if bottom <= 0 else float(np.clip((square + size) / bottom, 0, 1))
