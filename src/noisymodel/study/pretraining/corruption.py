"""The noise of each rate: labels, captions or tokens, nested in the rate and drawn from the seed.

The options of a kind are in ``pretraining.noise_options``. Missing ones are computed from the inputs: from the grey
values of pictures, averaged over squares to at most 16 × 16, or from the token counts of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ... import noise
from ...errors import ConfigError
from ..config_values import unknown_name
from ..data import batches
from .request import PretrainingRequest

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
_SIDE = 16


def noisy_labels(request: PretrainingRequest, rate: float) -> Labels:
    """``(n,)``: the labels of a noise rate; a wrong label at one rate is the same at all higher rates.

    Raises:
        ConfigError: an option that the kind does not have, or a value that it refuses.
    """
    return np.asarray(label_noise(request, rate).labels, dtype=np.int64)


def label_noise(request: PretrainingRequest, rate: float) -> noise.NoisyLabels:
    """The labels of a noise rate with their audit."""
    options = _checked(request, _LABEL_OPTIONS[request.noise_kind])
    common = {"num_classes": request.classes, "seed": request.seed}
    labels = request.examples.labels
    try:
        return _LABEL_NOISE[request.noise_kind](request, labels, rate, {**options, **common})
    except (ValueError, TypeError) as error:
        raise _refused(request, error) from error


def noisy_captions(request: PretrainingRequest, rate: float) -> Labels:
    """``(n, L)``: the caption of each picture at a noise rate. A caption with the same tokens does not count as wrong.

    Raises:
        ConfigError: a request that cannot be met, such as one mismatched pair.
    """
    captions = cast(Labels, request.examples.captions)
    return captions[np.asarray(caption_noise(request, rate).permutation)]


def caption_noise(request: PretrainingRequest, rate: float) -> noise.NoisyPairs:
    """Which caption each picture gets at a noise rate, with the audit."""
    _checked(request, ())
    captions = cast(Labels, request.examples.captions)
    keys = np.unique(captions, axis=0, return_inverse=True)[1].reshape(-1)
    mode = {"shuffle": "derangement"}.get(kind := request.noise_kind.removeprefix("caption_"), kind)
    try:
        return noise.shuffle_pairs(len(captions), rate, mode=cast(Any, mode), caption_keys=keys, seed=request.seed)
    except ValueError as error:
        raise _refused(request, error) from error


def noisy_tokens(request: PretrainingRequest, rate: float) -> Labels:
    """``(n, L)``: the texts of a noise rate; 0 is padding, and ``vocabulary`` the mask token."""
    return np.asarray(token_noise(request, rate).tokens, dtype=np.int64)


def token_noise(request: PretrainingRequest, rate: float) -> noise.NoisyTokens:
    """The texts of a noise rate with the record of the changes."""
    _checked(request, ())
    tokens = np.asarray(request.examples.inputs)
    mode = request.noise_kind.removeprefix("token_")
    return noise.corrupt_tokens(
        tokens,
        rate,
        mode=cast(Any, mode),
        vocabulary_size=request.vocabulary if mode == "substitute" else None,
        mask_token=request.vocabulary if mode == "mask" else None,
        pad_token=0,
        seed=request.seed,
    )


def _checked(request: PretrainingRequest, known: tuple[str, ...]) -> dict[str, Any]:
    options = request.settings.noise_options
    for name in options:
        if name not in known:
            raise unknown_name("pretraining.noise_options", name, known or ("no option of this kind of noise",))
    return dict(options)


def _refused(request: PretrainingRequest, error: Exception) -> ConfigError:
    return ConfigError(f"config key `noise_kinds`: {request.noise_kind!r} cannot be made of these data: {error}")


# ---- label noise ----------------------------------------------------------------------------------------------------

_LabelNoise = Callable[[PretrainingRequest, Labels, float, dict[str, Any]], noise.NoisyLabels]


def _symmetric(_request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    return noise.symmetric(labels, rate, **options)


def _pair_flip(_request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    return noise.pair_flip(labels, rate, **options)


def _asymmetric(request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    """Asymmetric noise; by default each class is mistaken for the class with the nearest mean."""
    mapping = options.pop("mapping", None)
    if mapping is None:
        means = _means(request, labels)
        apart = _squared_distances(means, means)
        np.fill_diagonal(apart, np.inf)
        mapping = dict(enumerate(apart.argmin(1).tolist()))
    elif isinstance(mapping, Mapping):
        mapping = {int(key): int(value) for key, value in cast(Mapping[Any, Any], mapping).items()}
    return noise.asymmetric(labels, rate, mapping=cast(Any, mapping), **options)


def _similarity(request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    """Similarity noise; the default prototypes are the means of the classes minus the mean of all."""
    prototypes = options.pop("prototypes", None)
    if prototypes is None:
        means = _means(request, labels)
        prototypes = means - means.mean(0)
    temperature = options.pop("temperature", 0.2)
    return noise.similarity(labels, rate, np.asarray(prototypes, np.float64), temperature=temperature, **options)


def _confusion(request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    """Confusion noise; the default mistakes are those of a nearest-mean classifier."""
    counts = options.pop("counts", None)
    if counts is None:
        features = _features(request)
        predicted = _squared_distances(features, _means(request, labels, features)).argmin(1)
        counts = np.zeros((request.classes, request.classes))
        np.add.at(counts, (labels, predicted), 1.0)
    return noise.from_confusion(labels, np.asarray(counts, np.float64), rate, empty="uniform", **options)


def _instance(request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    """Instance-dependent noise on standardised features divided by √D, so that the logits are of order one."""
    features = _features(request)
    spread = features.std(0)
    rows = (features - features.mean(0)) / np.where(spread > 0, spread, 1.0) / np.sqrt(features.shape[1])
    return noise.instance_dependent(labels, rows, rate, std=options.pop("std", 0.0), **options)


def _posterior(request: PretrainingRequest, labels: Labels, rate: float, options: dict[str, Any]) -> noise.NoisyLabels:
    """Posterior-dependent noise: softmax of −4 d²/m, d the distance to a class mean, m the mean d² to the own class."""
    features = _features(request)
    distances = _squared_distances(features, _means(request, labels, features))
    logits = -distances / distances[np.arange(len(labels)), labels].mean() * 4.0
    logits -= logits.max(1, keepdims=True)
    posterior = np.exp(logits)
    posterior /= posterior.sum(1, keepdims=True)
    return noise.posterior_dependent(labels, posterior, rate, kind=options.pop("kind", "I"), **options)


_LABEL_NOISE: Mapping[str, _LabelNoise] = {
    "symmetric": _symmetric,
    "pair_flip": _pair_flip,
    "asymmetric": _asymmetric,
    "similarity": _similarity,
    "confusion": _confusion,
    "instance_dependent": _instance,
    "posterior_dependent": _posterior,
}
_SELECTION = ("selection",)
_LABEL_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "symmetric": ("include_true", *_SELECTION),
    "pair_flip": _SELECTION,
    "asymmetric": ("mapping", *_SELECTION),
    "similarity": ("prototypes", "temperature", *_SELECTION),
    "confusion": ("counts", *_SELECTION),
    "instance_dependent": ("std", "shared"),
    "posterior_dependent": ("kind", *_SELECTION),
}


# ---- features for the default options --------------------------------------------------------------------------------


def _features(request: PretrainingRequest) -> Floats:
    """``(n, D)``, a batch of inputs at a time."""
    return np.concatenate([_looked_at(batch, request.vocabulary) for batch in batches(request.examples.inputs)])


def _looked_at(batch: torch.Tensor, vocabulary: int) -> Floats:
    if batch.ndim == 2:
        counts = np.zeros((len(batch), vocabulary))
        np.add.at(counts, (np.arange(len(batch))[:, None], batch.numpy()), 1.0)
        return counts[:, 1:]
    grey = batch.double() if batch.ndim == 3 else batch.double().mean(1)
    sides = [min(side, _SIDE) for side in grey.shape[1:]]
    return nn.functional.adaptive_avg_pool2d(grey[:, None], cast(Any, sides)).flatten(1).numpy()


def _means(request: PretrainingRequest, labels: Labels, features: Floats | None = None) -> Floats:
    rows = _features(request) if features is None else features
    return noise.class_prototypes(rows, labels, num_classes=request.classes)


def _squared_distances(rows: Floats, means: Floats) -> Floats:
    return np.square(rows).sum(1)[:, None] - 2 * rows @ means.T + np.square(means).sum(1)
