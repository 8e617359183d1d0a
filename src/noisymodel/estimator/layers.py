"""Choice of a layer's features: a linear probe on each layer, evaluated on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..features import FeatureStore
from .comparison import VALIDATION, Accuracy, compare
from .reading import training_rows


class LayerProbe(NamedTuple):
    """A linear probe on one layer: accuracy on the held-out rows and on each test by name, and held-out log-loss."""

    layer: str
    num_features: int
    validation: Accuracy
    tests: dict[str, Accuracy]
    log_loss: float


class LayerChoice(NamedTuple):
    """The result of `compare_layers`: the layer with the best validation accuracy, and the probe of each layer."""

    chosen: str
    probes: list[LayerProbe]


def compare_layers(
    layers: Mapping[str, Any],
    labels: Any = None,
    *,
    tests: Mapping[str, Mapping[str, tuple[Any, Any]]] | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    **settings: Any,
) -> LayerChoice:
    """Fit a converged linear probe on each layer's features of the same rows, and choose a layer by validation.

    The chosen layer has the highest accuracy on the held-out rows, which are the same for all layers; a tie goes to
    the lowest log-loss on these rows. The tests have no part in the choice.

    Args:
        layers: features (N, D) by the layer's name, arrays or stores; D may differ.
        labels: (N,) for all layers; ``None``: the labels of the stores, which must agree.
        tests: a dictionary from a test's name to a dictionary from a layer's name to (features, labels).
        validation_fraction: in (0, 1).
        seed: the seed of the split and of the fits.
        settings: arguments of `NMTuneClassifier` with ``method="linear"``.

    Raises:
        ValueError: for no layers, for layers that differ in labels, ids or numbers of rows, for a test that lacks a
            layer, and for arguments that `compare` refuses.

    >>> import numpy as np
    >>> from noisymodel.estimator import compare_layers
    >>> random = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> early = random.normal(size=(200, 4))
    >>> late = random.normal(size=(200, 8)) + 2.0 * labels[:, None]
    >>> found = compare_layers({"early": early, "late": late}, labels)
    >>> found.chosen, [probe.num_features for probe in found.probes]
    ('late', [4, 8])
    """
    _check_named(layers, "layers", "features (N, D) by the layer's name")
    for name, by_layer in _check_named({} if tests is None else tests, "tests", "tests by their names").items():
        _check_named(by_layer, f"tests[{name!r}]", "(features, labels) by the layer's name")
    if not layers:
        raise ValueError("`layers` must hold the features of at least one layer, got none")
    known = {name: training_rows(features, labels)[1] for name, features in layers.items()}
    _check_same_rows(layers, known)
    probes: list[LayerProbe] = []
    for layer, features in layers.items():
        own = {name: _of_layer(name, by_layer, layer) for name, by_layer in (tests or {}).items()}
        found = compare(
            features,
            known[layer],
            method="linear",
            baselines=(),
            validation_fraction=validation_fraction,
            tests=own,
            seed=seed,
            **settings,
        )
        by_data = {row.data: row for row in found.accuracies}
        validation = by_data.pop(VALIDATION)
        width = found.classifiers["linear"].n_features_in_
        probes.append(LayerProbe(layer, width, validation, by_data, found.scores[0].scores.log_loss))
    best = max(probes, key=lambda probe: (probe.validation.accuracy, -probe.log_loss))
    return LayerChoice(best.layer, probes)


def _check_named(values: object, name: str, expected: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise TypeError(f"`{name}` must be a dictionary of {expected}, got {type(values).__name__}")
    return values


def _check_same_rows(layers: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
    """Check that all layers have the same rows, so that the split is the same for all."""
    first = next(iter(layers))
    ids = {name: one.ids for name, one in layers.items() if isinstance(one, FeatureStore) and one.ids is not None}
    for name, one in layers.items():
        if len(one) != len(layers[first]):
            raise ValueError(
                f"`layers` must have the same rows, got {len(layers[first])} of {first!r} and {len(one)} of {name!r}"
            )
        if not np.array_equal(np.asarray(labels[name]), np.asarray(labels[first])):
            raise ValueError(f"`layers` must have the same rows, and {name!r} has other labels than {first!r}")
    if len(ids) > 1:
        start, *others = ids
        for name in others:
            if list(map(str, ids[name])) != list(map(str, ids[start])):
                raise ValueError(
                    f"`layers` must have the same rows, and the ids of {name!r} are not those of {start!r}"
                )


def _of_layer(name: str, by_layer: Mapping[str, tuple[Any, Any]], layer: str) -> tuple[Any, Any]:
    if layer not in by_layer:
        raise ValueError(f"`tests[{name!r}]` has no layer {layer!r}, only {', '.join(map(repr, by_layer)) or 'none'}")
    return by_layer[layer]
