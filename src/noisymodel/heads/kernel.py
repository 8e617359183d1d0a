"""A kernel probe: logistic regression on an RBF kernel of rows of length one."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._checks import check_integer, check_number, check_rows
from .._random import array_generator
from .base import NMTuneOutput
from .files import SavedModule
from .network import empty_linear

_LANDMARKS = 0x6C616E64
_FLOOR = 1e-6  # of the kernel's largest eigenvalue: smaller ones count as this


class KernelProbe(SavedModule):
    """logits = k(F, L) A + b with k(x, l) = exp(−γ ‖x/‖x‖ − l/‖l‖‖²): features (..., D) in, logits (..., K) out.

    `fit_kernel_probe` makes one. Z, what `tune` gives, are the features as rows of length √D.

    Args:
        in_features: D.
        num_classes: K.
        landmarks: M, the number of rows L that features are compared with.
        gamma: γ > 0.

    >>> import torch
    >>> from noisymodel.heads import KernelProbe
    >>> KernelProbe(16, 3, landmarks=5)(torch.ones(8, 16)).shape
    torch.Size([8, 3])
    """

    landmarks: Tensor

    def __init__(self, in_features: int, num_classes: int, *, landmarks: int, gamma: float = 1.0) -> None:
        super().__init__()
        self.in_features = check_integer(in_features, "in_features", minimum=1)
        self.num_classes = check_integer(num_classes, "num_classes", minimum=1)
        self.gamma = check_number(gamma, "gamma", minimum=0, exclusive_minimum=True)
        self.register_buffer("landmarks", torch.zeros(check_integer(landmarks, "landmarks", minimum=1), in_features))
        self.classifier = empty_linear(landmarks, num_classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def config(self) -> dict[str, Any]:
        """The arguments that make this module again, ready for JSON."""
        own = {"in_features": self.in_features, "num_classes": self.num_classes}
        return {**own, "landmarks": self.classifier.in_features, "gamma": self.gamma}

    def tune(self, features: Tensor) -> Tensor:
        """Features (..., D) as rows of length √D."""
        check_rows(features, num_features=self.in_features)
        return functional.normalize(features, dim=-1) * self.in_features**0.5

    @overload
    def forward(self, features: Tensor, return_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, features: Tensor, return_features: Literal[True]) -> NMTuneOutput: ...
    def forward(self, features: Tensor, return_features: bool = False) -> Tensor | NMTuneOutput:
        """Logits (..., K) of features (..., D), or an `NMTuneOutput` with ``return_features=True``."""
        check_rows(features, num_features=self.in_features)
        logits = self.classifier(kernel(functional.normalize(features, dim=-1), self.landmarks, self.gamma))
        return NMTuneOutput(logits, self.tune(features)) if return_features else logits


def kernel(rows: Tensor, landmarks: Tensor, gamma: float) -> Tensor:
    """exp(−γ‖x − l‖²) (..., M) of rows (..., D) and landmarks (M, D), all of length one."""
    return torch.exp(2 * gamma * (rows @ landmarks.mT - 1).clamp_max(0))


def landmarks_of(rows: Tensor, *, most: int, gamma: float, seed: int) -> tuple[Tensor, Tensor]:
    """At most so many of the rows (N, D) as landmarks L of length one, and K^(−1/2) of their kernel.

    φ(x) = k(x, L) K^(−1/2): φ(x)·φ(y) approximates k(x, y), exactly where every row is a landmark.

    Source: Williams and Seeger, "Using the Nyström method to speed up kernel machines" (2001).
    """
    if len(rows) > most:
        taken = array_generator(seed, _LANDMARKS).permutation(len(rows))[:most]
        rows = rows[torch.from_numpy(np.sort(taken)).to(rows.device)]
    unit = functional.normalize(rows, dim=1)
    exact = unit.double() if unit.device.type != "mps" else unit
    values, vectors = torch.linalg.eigh(kernel(exact, exact, gamma))
    values = values.clamp_min(_FLOOR * float(values[-1]))
    return unit, ((vectors * values.rsqrt()) @ vectors.mT).to(unit.dtype)
