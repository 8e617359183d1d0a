"""The noise of each rate: labels, captions or tokens, nested in the rate and drawn from the seed.

The options of a kind are in ``pretraining.noise_options``. Missing ones are computed from the inputs: from the grey
values of pictures, averaged over squares to at most 16 × 16, or from the token counts of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

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
    kind = _LABEL_NOISE[request.noise_kind]
    options = _checked(request, kind.options)
    try:
        options = kind.completed(request, options)
        return kind.inject(
            request.examples.labels, rate=rate, num_classes=request.classes, seed=request.seed, **options
        )
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
    options = request.config.noise_options
    for name in options:
        if name not in known:
            raise unknown_name("pretraining.noise_options", name, known or ("no option of this kind of noise",))
    return dict(options)


def _refused(request: PretrainingRequest, error: Exception) -> ConfigError:
    return ConfigError(f"config key `noise_kinds`: {request.noise_kind!r} cannot be made of these data: {error}")


# ---- label noise ----------------------------------------------------------------------------------------------------


def _unchanged(_: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    return options


class _LabelNoise(NamedTuple):
    """A kind of label noise."""

    inject: Callable[..., noise.NoisyLabels]
    options: tuple[str, ...]
    """Those that a configuration may set."""
    completed: Callable[[PretrainingRequest, dict[str, Any]], dict[str, Any]] = _unchanged
    """Computes what the options lack from the inputs."""


def _asymmetric(request: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    """By default each class is mistaken for the class with the nearest mean."""
    mapping = options.get("mapping")
    if mapping is None:
        means = _means(request, _features(request))
        apart = _squared_distances(means, means)
        np.fill_diagonal(apart, np.inf)
        mapping = dict(enumerate(apart.argmin(1).tolist()))
    elif isinstance(mapping, Mapping):
        mapping = {int(key): int(value) for key, value in cast(Mapping[Any, Any], mapping).items()}
    return {**options, "mapping": mapping}


def _similarity(request: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    """The default prototypes are the means of the classes minus the mean of all."""
    prototypes = options.get("prototypes")
    if prototypes is None:
        means = _means(request, _features(request))
        prototypes = means - means.mean(0)
    return {"temperature": 0.2, **options, "prototypes": np.asarray(prototypes, np.float64)}


def _confusion(request: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    """The default mistakes are those of a nearest-mean classifier."""
    counts = options.get("counts")
    if counts is None:
        features = _features(request)
        predicted = _squared_distances(features, _means(request, features)).argmin(1)
        counts = np.zeros((request.classes, request.classes))
        np.add.at(counts, (request.examples.labels, predicted), 1.0)
    return {"empty": "uniform", **options, "counts": np.asarray(counts, np.float64)}


def _instance(request: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    """Standardised features divided by √D, so that the logits are of order one."""
    features = _features(request)
    spread = features.std(0)
    rows = (features - features.mean(0)) / np.where(spread > 0, spread, 1.0) / np.sqrt(features.shape[1])
    return {"std": 0.0, **options, "features": rows}


def _posterior(request: PretrainingRequest, options: dict[str, Any]) -> dict[str, Any]:
    """Softmax of −4 d²/m, where d is the distance to a class mean, and m the mean d² to the own class."""
    features, labels = _features(request), request.examples.labels
    distances = _squared_distances(features, _means(request, features))
    logits = -distances / distances[np.arange(len(labels)), labels].mean() * 4.0
    logits -= logits.max(1, keepdims=True)
    posterior = np.exp(logits)
    posterior /= posterior.sum(1, keepdims=True)
    return {**options, "posterior": posterior}


_LABEL_NOISE: Mapping[str, _LabelNoise] = {
    "symmetric": _LabelNoise(noise.symmetric, ("include_true", "selection")),
    "pair_flip": _LabelNoise(noise.pair_flip, ("selection",)),
    "asymmetric": _LabelNoise(noise.asymmetric, ("mapping", "selection"), _asymmetric),
    "similarity": _LabelNoise(noise.similarity, ("prototypes", "temperature", "selection"), _similarity),
    "confusion": _LabelNoise(noise.from_confusion, ("counts", "selection"), _confusion),
    "instance_dependent": _LabelNoise(noise.instance_dependent, ("std", "shared"), _instance),
    "posterior_dependent": _LabelNoise(noise.posterior_dependent, ("kind", "selection"), _posterior),
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


def _means(request: PretrainingRequest, features: Floats) -> Floats:
    return noise.class_prototypes(features, request.examples.labels, num_classes=request.classes)


def _squared_distances(rows: Floats, means: Floats) -> Floats:
    return np.square(rows).sum(1)[:, None] - 2 * rows @ means.T + np.square(means).sum(1)
