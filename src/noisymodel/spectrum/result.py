"""The spectrum of a feature matrix and the metrics that need more than the singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_flag, check_integer, check_number
from ..errors import MissingExtraError
from .singular_values import (
    Array,
    effective_rank,
    largest_singular_value_ratio,
    relative_values,
    shares,
    singular_value_entropy,
    sorted_values,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular values of a feature matrix F (N, D), and the metrics of them.

    Every metric is of F as it was centred (or not) before: nothing is centred here. Metrics of a zero spectrum are
    NaN (``numerical_rank`` 0, ``condition_number`` inf), never 0. For the same F they are ordered:
    1 ≤ stable_rank ≤ participation_ratio ≤ effective_rank ≤ rank and 0 ≤ largest_ratio ≤ entropy ≤ ln rank.

    Attributes:
        singular_values: (min(N, D),) float64, descending.
        num_samples: N.
        num_features: D.
        centered: whether the mean of each column (feature) was subtracted.
        epsilon: machine epsilon of the dtype that the features came in, for the tolerance of ``condition_number``
            and ``numerical_rank``.

    >>> from noisymodel.spectrum import analyze
    >>> spectrum = analyze(np.diag([4.0, 3.0, 2.0, 1.0]))
    >>> spectrum.stable_rank, spectrum.numerical_rank, round(spectrum.entropy, 4)
    (1.875, 4, 1.2799)
    """

    singular_values: Array
    num_samples: int
    num_features: int
    centered: bool = False
    epsilon: float = float(np.finfo(np.float64).eps)

    def __post_init__(self) -> None:
        samples = check_integer(self.num_samples, "num_samples", minimum=1)
        features = check_integer(self.num_features, "num_features", minimum=1)
        check_flag(self.centered, "centered")
        check_number(self.epsilon, "epsilon", minimum=0.0, maximum=1.0)
        if not isinstance(self.singular_values, torch.Tensor | np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            found = type(self.singular_values).__name__
            raise TypeError(f"`singular_values` must be a numpy array or a torch tensor, got {found}")
        values = sorted_values(self.singular_values)
        if len(values) > min(samples, features):
            most = min(samples, features)
            raise ValueError(f"`singular_values` must be at most min(N, D) = {most} numbers, got {len(values)}")
        if (values.numpy() != self._values).any():
            raise ValueError("`singular_values` must descend: sort them")

    @property
    def entropy(self) -> float:
        """SVE, see :func:`singular_value_entropy`."""
        return singular_value_entropy(self._values)

    @property
    def largest_ratio(self) -> float:
        """LSVR, see :func:`largest_singular_value_ratio`."""
        return largest_singular_value_ratio(self._values)

    @property
    def effective_rank(self) -> float:
        """exp(SVE), see :func:`effective_rank`."""
        return effective_rank(self._values)

    @property
    def stable_rank(self) -> float:
        """‖F‖_F² / ‖F‖₂² = Σσ² / σ₁², in [1, rank] (Rudelson and Vershynin 2007).

        Some packages call it "numerical rank". On a column-centred spectrum it is :func:`nesum`.
        """
        return float(np.sum(self._unit**2))

    @property
    def participation_ratio(self) -> float:
        """(Σλ)² / Σλ² of λ = σ², in [1, rank]; the convention in the literature is ``center="column"``.

        1/Σq² of q = λ/Σλ: the exponential of q's collision entropy, where :func:`eigenvalue_entropy` is Shannon's.
        """
        eigenvalues = self._unit**2
        return float(np.sum(eigenvalues) ** 2 / np.sum(eigenvalues**2))

    @property
    def condition_number(self) -> float:
        """σ₁ / σ_min over all min(N, D) values; inf where σ_min is at most the tolerance σ₁·max(N, D)·ε.

        ε is of the dtype of the features: 1.19e-7 for float32. A column-centred matrix with N ≤ D is singular: inf.
        """
        values = self._values
        return math.inf if values[-1] <= self._tolerance else float(values[0] / values[-1])

    @property
    def numerical_rank(self) -> int:
        """The number of σ_i above σ₁·max(N, D)·ε, as in ``numpy.linalg.matrix_rank``; ε of the features' dtype.

        Not the stable rank, which some packages call so. In half precision the tolerance reaches σ₁ at
        max(N, D) = 1/ε (1024 for float16, 128 for bfloat16): there no direction stands out of the rounding, and
        the rank is 0.
        """
        return int(np.count_nonzero(self._values > self._tolerance))

    def rankme(self, epsilon: float = 1e-7) -> float:
        """RankMe: exp(−Σ p_k ln p_k) of p_k = σ_k / Σσ + ε, **not** renormalised.

        On the singular values, with the paper's ε; several packages compute it on eigenvalues of the covariance
        (for ε = 0 that is the exponential of :func:`eigenvalue_entropy`, of a centred spectrum) or with another ε
        (1e-5, 1e-12: pass it). ε = 0 is the effective rank. With ε > 0 it may exceed the rank, fall below 1, and it
        grows with appended zero columns.

        Raises:
            ValueError: ``epsilon`` negative or not finite.

        Source: Garrido et al., ICML 2023 (arXiv 2210.02885).
        """
        epsilon = check_number(epsilon, "epsilon", minimum=0.0)
        return float(torch.special.entr(shares(self._values) + epsilon).sum().exp())

    def power_law_exponent(self, window: tuple[int, int] = (11, 100), *, weighted: bool = True) -> float:
        """α of λ_i ∝ i^−α, λ = σ²: weighted least squares of ln λ_i on −ln i over the ranks ``window``, weights 1/i.

        The ranks count from 1, both ends included; the window ends at the last value that is not
        zero to the rounding of float64. The literature centres
        the columns first. The exponent of the singular values themselves is α/2. ``weighted=False`` counts every rank
        the same; the unweighted fit over all ranks that some packages make has ``window=(1, D)`` besides.

        Raises:
            ValueError: fewer than two non-zero values in the window.

        Source: Stringer et al., Nature 2019; Agrawal et al. (α-ReQ), NeurIPS 2022.
        """
        check_flag(weighted, "weighted")
        if not isinstance(window, tuple | list) or len(window) != 2:  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`window` must be two ranks, (first, last), got {window!r}")
        first = check_integer(window[0], "window[0]", minimum=1)
        last = check_integer(window[1], "window[1]", minimum=first + 1)
        rounding = (
            self._values[0] * len(self._values) * np.finfo(np.float64).eps
        )  # of rows without a mean, say: no rank
        rank = min(self.num_samples - self.centered, self.num_features, int(np.count_nonzero(self._values > rounding)))
        if min(last, rank) <= first:
            raise ValueError(
                f"`window` must hold two of the {rank} non-zero values, got {tuple(window)}: begin at a lower rank"
            )
        ranks = np.arange(first, min(last, rank) + 1, dtype=np.float64)
        x, y = -np.log(ranks), 2.0 * np.log(self._values[first - 1 : int(ranks[-1])])
        weights = 1.0 / ranks if weighted else np.ones_like(ranks)
        weights = weights / np.sum(weights)
        x = x - np.sum(weights * x)
        return float(np.sum(weights * x * y) / np.sum(weights * x * x))

    def marchenko_pastur_edge(self, noise_variance: float | None = None) -> float:
        """The largest singular value that pure noise of this shape would have: σ(√n + √D), σ² = ``noise_variance``.

        n is N, or N − 1 for centred columns. Values clearly above the edge are signal. Without ``noise_variance``, σ
        is estimated: the median of the σ_i over what the median would be for noise of unit variance, which a few
        large values do not move. In units of the singular values; for eigenvalues of FᵀF/n, square and divide by n.

        Raises:
            ValueError: ``noise_variance`` negative or not finite.

        Source: Marchenko and Pastur 1967; the median as in Gavish and Donoho 2014 (arXiv 1305.5870).
        """
        n, d = self.num_samples - self.centered, self.num_features
        if noise_variance is None:
            median = _marchenko_pastur_median(min(n, d) / max(n, d))
            deviation = float(np.median(self._values[: min(n, d)])) / math.sqrt(max(n, d) * median)
        else:
            deviation = math.sqrt(check_number(noise_variance, "noise_variance", minimum=0.0))
        return deviation * (math.sqrt(n) + math.sqrt(d))

    def explained(self, k: int) -> float:
        """The share of Σσ² in the k largest values, in (0, 1]; of the variance, if the columns are centred.

        Raises:
            ValueError: k below 1 or above min(N, D).
        """
        count = check_integer(k, "k", minimum=1)
        if count > len(self._values):
            raise ValueError(f"`k` must be at most min(N, D) = {len(self._values)}, got {count}")
        energy = self._unit**2
        return float(np.sum(energy[:count]) / np.sum(energy))

    def to_dict(self) -> dict[str, Any]:
        """Shape, metrics and singular values as JSON can hold them: what is NaN or infinite is None.

        >>> from noisymodel.spectrum import analyze
        >>> analyze(np.eye(2)).to_dict()["singular_values"]
        [1.0, 1.0]
        """
        metrics = {name: getattr(self, name) for name in METRICS} | {"rankme": self.rankme()}
        return {
            "num_samples": self.num_samples,
            "num_features": self.num_features,
            "centered": self.centered,
            **{name: value if math.isfinite(value) else None for name, value in metrics.items()},
            "singular_values": self._values.tolist(),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """σ_i / σ₁ against i on logarithmic axes, drawn on ``ax`` or on a new figure; returns the axes.

        The new figure is ``axes.figure`` (of no pyplot window: ``axes.figure.savefig(...)``). `noisymodel.plot` draws
        several spectra, the Marchenko–Pastur edge and more.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        if ax is None:
            try:
                from matplotlib.figure import Figure
            except ImportError:
                raise MissingExtraError("matplotlib", extra="plot", purpose="plotting a spectrum") from None
            ax = Figure(layout="constrained").subplots()
        relative = self._unit
        ax.loglog(np.arange(1, len(relative) + 1), np.where(relative > 0, relative, np.nan))
        ax.set_xlabel("index $i$")
        ax.set_ylabel(r"$\sigma_i / \sigma_1$")
        return ax

    @property
    def _values(self) -> npt.NDArray[np.float64]:
        values = self.singular_values
        return values.cpu().numpy() if isinstance(values, torch.Tensor) else values

    @property
    def _unit(self) -> npt.NDArray[np.float64]:
        """σ / σ₁, so that no square overflows; NaN for a zero spectrum."""
        return relative_values(self._values).numpy()

    @property
    def _tolerance(self) -> float:
        return float(self._values[0]) * max(self.num_samples, self.num_features) * self.epsilon


METRICS = (
    "entropy",
    "largest_ratio",
    "effective_rank",
    "stable_rank",
    "participation_ratio",
    "condition_number",
    "numerical_rank",
)


def _marchenko_pastur_median(aspect: float, steps: int = 4096) -> float:
    """The median of the Marchenko–Pastur law at unit variance, ``aspect`` = smaller side / larger side, in (0, 1].

    With x = 1 + β − 2√β cos θ the density is 2 sin²θ / (πx) over θ in (0, π), which has no singularity.
    """
    theta = (np.arange(steps) + 0.5) * np.pi / steps
    x = 1.0 + aspect - 2.0 * math.sqrt(aspect) * np.cos(theta)
    mass = np.cumsum(np.sin(theta) ** 2 / x)
    edges = np.arange(1, steps + 1) * np.pi / steps
    middle = np.interp(0.5 * mass[-1], mass, edges)
    return float(1.0 + aspect - 2.0 * math.sqrt(aspect) * np.cos(middle))
