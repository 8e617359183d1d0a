"""Noise in real-valued features and embeddings: Gaussian, dropout, NEFTune."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_attention, check_choice, check_number, check_seed
from .._random import array_generator
from .inputs import Array, Mask, read_numbers

FeatureKind: TypeAlias = Literal["gaussian", "dropout", "neftune"]

FEATURE_KINDS = ("gaussian", "dropout", "neftune")

_STREAM = 0x66656174  # "feat": no other use of the same seed draws these numbers
_STRENGTHS = {"gaussian": ("sigma", "relative_sigma", "snr"), "dropout": ("rate",), "neftune": ("alpha",)}

Noise = npt.NDArray[np.float32]


@np.errstate(over="ignore", invalid="ignore")  # an error says what is not finite
def corrupt_features(
    features: Array,
    kind: FeatureKind = "gaussian",
    *,
    sigma: float | None = None,
    relative_sigma: float | None = None,
    snr: float | None = None,
    rate: float | None = None,
    alpha: float | None = None,
    attention_mask: Array | None = None,
    seed: int,
) -> Array:
    """Noise in features or embeddings: each kind takes one strength.

    With ε standard normal, u uniform in [−1, 1), b Bernoulli(1 − rate), all independent per number:

    - ``"gaussian"``, ``sigma``: x + sigma·ε;
    - ``"gaussian"``, ``relative_sigma``: x + relative_sigma·s_d·ε, s_d the standard deviation (divided by the count) of
      feature d over all rows; a constant feature gets none;
    - ``"gaussian"``, ``snr`` in decibels: x + √(P/10^(snr/10))·ε, P the mean of x² over **all** numbers, so that the
      expected noise power is P/10^(snr/10);
    - ``"dropout"``, ``rate``: x·b/(1 − rate), the mean kept; ``rate=1`` gives zeros;
    - ``"neftune"``, ``alpha``: x + alpha/√(L·D)·u; in (B, L, D) L is the length of the sequence (with
      ``attention_mask``, of its attended tokens, as in the published code), in (N, D) each row is a sequence of one,
      L = 1.

    The numbers are drawn in float32 on the CPU and added in float32 or better: the noise is the same for every dtype
    and device. Differentiable in ``features``.

    Args:
        features: (N, D) or (B, L, D), floating point, numpy or torch.
        kind: ``"gaussian"``, ``"dropout"`` or ``"neftune"``.
        sigma: ≥ 0, in the unit of the features.
        relative_sigma: ≥ 0, in standard deviations.
        snr: signal-to-noise ratio in decibels.
        rate: share of numbers set to zero, in [0, 1].
        alpha: ≥ 0; 5, 10 and 15 are the paper's.
        attention_mask: (B, L), for features (B, L, D): masked positions get no noise and count in no statistic.
        seed: integer in [0, 2**63); in training give another seed at each step.

    Returns:
        The noisy features, of the shape, dtype, kind and device of ``features``.

    Raises:
        TypeError: features that are not floating point; no strength, or one that is not of this kind.
        ValueError: features empty, of another shape or not finite; a strength out of range; a mask of another shape.

    Source: NEFTune is Jain et al. 2023 (arXiv 2310.05914).

    >>> corrupt_features(np.zeros((1, 4), np.float32), "neftune", alpha=5, seed=0).round(2)
    array([[-2.17, -0.69, -0.21,  0.75]], dtype=float32)
    """
    check_choice(kind, "kind", FEATURE_KINDS)
    name, strength = _strength(
        kind, {"sigma": sigma, "relative_sigma": relative_sigma, "snr": snr, "rate": rate, "alpha": alpha}
    )
    values = _read(features)
    mask = _read_mask(attention_mask, values.shape)
    generator = array_generator(check_seed(seed), _STREAM, FEATURE_KINDS.index(kind))
    if kind == "dropout":
        kept = generator.random(values.shape, dtype=np.float32) >= strength
        factor = kept.astype(np.float32) * np.float32(1.0 if strength == 1.0 else 1.0 / (1.0 - strength))
        factor = factor if mask is None else np.where(mask[..., None], factor, np.float32(1))
        return _checked(_combined(operator.mul, features, factor), name, strength)
    if kind == "neftune":
        noise = generator.random(values.shape, dtype=np.float32)
        noise *= 2
        noise -= 1
        scale = _neftune_scale(strength, values.shape, mask)
    else:
        noise = generator.standard_normal(values.shape, dtype=np.float32)
        scale = _gaussian_scale(name, strength, values if mask is None else values[mask])
    noise *= scale
    if mask is not None:
        noise[~mask] = 0
    return _checked(_combined(operator.add, features, noise), name, strength)


def _strength(kind: str, strengths: dict[str, float | None]) -> tuple[str, float]:
    """Check that exactly one strength was given, and return its name and value."""
    given = [name for name, value in strengths.items() if value is not None]
    wanted = " or ".join(f"`{name}`" for name in _STRENGTHS[kind])
    if len(given) != 1 or given[0] not in _STRENGTHS[kind]:
        raise TypeError(f"{kind!r} noise takes {wanted} and no other strength, got {', '.join(given) or 'none'}")
    name = given[0]
    low, high = {"snr": (-math.inf, math.inf), "rate": (0.0, 1.0)}.get(name, (0.0, math.inf))
    return name, check_number(strengths[name], name, minimum=low, maximum=high)


def _read(features: Array) -> npt.NDArray[Any]:
    if not isinstance(features, np.ndarray | torch.Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] # callers err
        raise TypeError(f"`features` must be a numpy array or a torch tensor, got {type(features).__name__}")
    values = read_numbers(features, "features", kinds="f")
    if values.ndim not in {2, 3} or values.size == 0:
        raise ValueError(f"`features` must have shape (N, D) or (B, L, D) and not be empty, got {values.shape}")
    if not np.isfinite(values).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"`features` must be finite, got {values[where]} at {where}")
    return values


def _read_mask(attention_mask: Array | None, shape: tuple[int, ...]) -> Mask | None:
    if attention_mask is None:
        return None
    if len(shape) != 3:
        raise ValueError(f"`attention_mask` must have shape (B, L) of features (B, L, D), got features {shape}")
    return check_attention(attention_mask, "attention_mask", shape[:2])


def _checked(noisy: Array, name: str, strength: float) -> Array:
    """Refuse noisy numbers that overflow the dtype."""
    finite = torch.isfinite(noisy.detach()) if isinstance(noisy, torch.Tensor) else np.isfinite(noisy)
    if not bool(finite.all()):
        raise ValueError(
            f"`{name}` must leave the noisy features within {noisy.dtype}, got {strength!r}: "
            "weaken the noise, scale the features down, or take a wider dtype"
        )
    return noisy


def _root_mean_square(rows: npt.NDArray[Any]) -> float:
    """√P, also where squares over- or underflow."""
    largest = float(np.abs(rows).max())
    unit = 1.0 if 1e-150 < largest < 1e150 or largest == 0 else largest
    return unit * math.sqrt(float(np.mean(np.square(rows / unit if unit != 1.0 else rows, dtype=np.float64))))


def _amplitude(decibels: float) -> float:
    try:
        return 10 ** (decibels / 20)
    except OverflowError:
        return math.inf


def _gaussian_scale(name: str, strength: float, values: npt.NDArray[Any]) -> npt.NDArray[np.float32] | np.float32:
    rows = values.reshape(-1, values.shape[-1])
    if name == "sigma" or not rows.size:
        return np.float32(strength)
    if name == "relative_sigma":
        constant = (rows == rows[0]).all(axis=0)
        deviations = np.where(constant, 0.0, rows.std(axis=0, dtype=np.float64))
        if not np.isfinite(deviations).all():  # squares beyond the largest float
            deviations = np.where(constant, 0.0, (rows / 1e200).std(axis=0, dtype=np.float64) * 1e200)
        return (strength * deviations).astype(np.float32)
    return np.float32(_root_mean_square(rows) * _amplitude(-strength))


def _neftune_scale(alpha: float, shape: tuple[int, ...], mask: Mask | None) -> npt.NDArray[np.float32]:
    lengths = np.full((shape[0],), shape[1] if len(shape) == 3 else 1) if mask is None else mask.sum(axis=1)
    scale = alpha / np.sqrt(np.maximum(lengths, 1) * shape[-1])
    return scale.astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))


def _combined(operation: Callable[[Any, Any], Any], features: Array, numbers: Noise) -> Array:
    """The sum or product of features and numbers, in float32 or better, in the features' kind and dtype."""
    if not isinstance(features, torch.Tensor):
        return operation(features, numbers).astype(features.dtype, copy=False)
    wide = torch.promote_types(features.dtype, torch.float32)
    other = torch.from_numpy(numbers).to(features.device, wide)
    return operation(features.to(wide), other).to(features.dtype)
