"""What the published code does in each step: the baseline that the regularizers' cost is measured against."""

from __future__ import annotations

import torch
from torch import Tensor


def covariance_and_dominant(features: Tensor, top_k: int = 5) -> Tensor:
    """The SVD of the batch with both factors, and the D×D covariance; the published weights, by autograd."""
    _, values, _ = torch.svd(features)
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (features.shape[0] - 1)
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return 0.04 * off_diagonal.square().sum() / features.shape[1] - 0.001 * (values[:top_k] / values.sum()).mean()
