"""NMTune as a scikit-learn classifier: arrays in, labels out."""

from __future__ import annotations

import math
import secrets
import warnings
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage] - what all of scikit-learn's estimators use
    check_is_fitted,
    validate_data,
)
from torch import Tensor

from .._checks import check_choice, check_integer, check_number
from .._random import tensor_generator
from ..heads.base import Head
from ..heads.nmtune import PRESETS
from ..sweeping.choice import Choice, choose, default_grid, held_out
from ..training import fit
from .files import HEADS, load_classifier, save_classifier
from .rows import Rows, fitting_rows, root_mean_square
from .sources import rows_of, training_rows
from .suspicion import suspect_features, suspect_training

_INITIALISATION = 3
_NARROWEST = 64  # hidden features, where none are asked for
_SELECTION_FRACTION = 0.2
_ROWS = 8192  # predicted at a time
_NETWORK = ("hidden_features", "depth", "norm", "residual", "dropout")
_OBJECTIVE = ("consistency_weight", "covariance_weight", "dominant_weight", "top_k", "reduction")
_COMMON = ("label_smoothing", "classifier_init")
ARGUMENTS = {"nmtune": (*_NETWORK, *_OBJECTIVE, *_COMMON), "mlp": (*_NETWORK, *_COMMON), "linear": _COMMON}

Array = npt.NDArray[Any]


class NMTuneClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """A classifier on frozen features: NMTune, or one of its baselines, behind scikit-learn's interface.

    ``fit(X, y)`` trains a head with `noisymodel.fit`; ``predict``, ``predict_proba`` and ``decision_function`` use it,
    and ``transform`` gives the reshaped features Z. The fit does not depend on the order of the rows. Whole-numbered
    ``sample_weight`` repeats rows, as scikit-learn means it (up to ten times as many rows); other weights, and those of
    classes, multiply the rows' loss.

    Features are divided by one number, the root mean square of all entries of the training rows (``scale``), so that
    the same weights mean the same for every backbone: the covariance term grows with the fourth power of the features'
    scale. The default weights are for features so scaled, and not those of `NMTune`.

    Args:
        method: ``"nmtune"``, ``"mlp"`` (NMTune's network, task loss alone) or ``"linear"`` (a linear probe).
        preset: ``"paper"`` or ``"official"``: settings of `NMTune.from_preset`, which take the place of the arguments
            that they name. Only for ``"nmtune"``.
        hidden_features: width of the hidden layers; ``None``: 4 D, and at least 64.
        depth, norm, residual, dropout, consistency_weight, covariance_weight, dominant_weight: as in
            `NMTune`, and so are ``top_k``, ``reduction``, ``label_smoothing`` and ``classifier_init``.
        scale: ``"rms"`` as above, or ``None``: features as they are.
        minimum_steps: the epochs are raised until the training has so many steps; a few dozen rows would otherwise be
            seen in a few dozen steps, too few to learn from.
        epochs, batch_size, learning_rate, weight_decay, warmup, patience: as in `noisymodel.fit`. Where the head needs
            more rows in a batch (two for BatchNorm, ``top_k``), ``batch_size`` is raised to that. The published code
            trains linear probes with ``learning_rate=1e-2``.
        validation_fraction: share of every class that is held out to be evaluated after each epoch, in [0, 1).
            ``patience`` needs it.
        class_weight: ``None``, ``"balanced"`` or a dictionary from class to weight.
        weights: ``"fixed"``: the settings above; ``"auto"``: the weights of the regularizers, the label smoothing and
            the learning rate are chosen on ``validation_fraction`` (0.2 where it is 0) of the training rows, see
            `noisymodel.sweeping.choose`, and the head is then trained with them as with fixed ones. ``"mlp"`` and
            ``"linear"`` choose label smoothing, learning rate and (linear) weight decay.
        random_state: fixes initial weights, order, dropout and what is held out.
        device: where to train; ``None``: a CUDA device where there is one, else the CPU.
        verbose: 1 shows a progress bar.

    Attributes:
        classes_: (K,) the labels.
        head_: the trained head, in evaluation mode, float32, on the CPU.
        scale_: what features are divided by.
        history_: one dictionary per epoch, see `noisymodel.fit`.
        n_iter_: epochs trained.
        selection_: with ``weights="auto"``, what was tried and chosen: `noisymodel.sweeping.Choice`; else ``None``.
        backbone_: where the features of a `FeatureStore` that it was fitted on come from, as far as the store says so;
            else ``None``.
        n_features_in_, feature_names_in_: as in all of scikit-learn.

    Raises:
        ValueError: for fewer than two rows or classes, NaN or infinity, another width than in ``fit``, and arguments
            out of range.

    Source: arXiv 2309.17002, section 3.

    >>> import numpy as np
    >>> from noisymodel import NMTuneClassifier
    >>> random = np.random.default_rng(0)
    >>> labels = np.array(["cat", "dog"])[np.arange(200) % 2]
    >>> features = random.normal(size=(200, 8)) + 2.0 * (labels == "dog")[:, None]
    >>> classifier = NMTuneClassifier(epochs=5, random_state=0).fit(features[:100], labels[:100])
    >>> classifier.score(features[100:], labels[100:]) > 0.9, classifier.transform(features[:3]).shape
    (True, (3, 8))
    """

    classes_: Array
    head_: Head
    history_: list[dict[str, float]]
    n_iter_: int
    scale_: float
    feature_names_in_: Array
    n_features_in_: int
    selection_: Choice | None
    backbone_: dict[str, Any] | None

    def __init__(
        self,
        *,
        method: str = "nmtune",
        preset: str | None = None,
        hidden_features: int | None = None,
        depth: int = 1,
        norm: str | None = "batch",
        residual: bool = True,
        dropout: float = 0.0,
        consistency_weight: float = 3.0,
        covariance_weight: float = 0.02,
        dominant_weight: float = 0.1,
        top_k: int = 1,
        reduction: str = "batchmean",
        label_smoothing: float = 0.0,
        classifier_init: str = "linear",
        scale: str | None = "rms",
        epochs: int = 30,
        minimum_steps: int = 300,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        warmup: float = 0,
        patience: int | None = None,
        validation_fraction: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        weights: str = "fixed",
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.preset = preset
        self.hidden_features = hidden_features
        self.depth = depth
        self.norm = norm
        self.residual = residual
        self.dropout = dropout
        self.consistency_weight = consistency_weight
        self.covariance_weight = covariance_weight
        self.dominant_weight = dominant_weight
        self.top_k = top_k
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self.classifier_init = classifier_init
        self.scale = scale
        self.epochs = epochs
        self.minimum_steps = minimum_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.weights = weights
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on features ``X`` (N, D) and labels ``y`` (N,), with ``sample_weight`` (N,) ≥ 0 where it is given.

        ``X`` may be a `FeatureStore` (read into memory), whose own labels are taken where ``y`` is ``None``. The other
        methods then refuse stores of another backbone.
        """
        self._check_choices()
        rows, y, self.backbone_ = training_rows(X, y)
        given, y = validate_data(self, rows, y, dtype=[np.float32, np.float64], ensure_min_samples=2)
        features = cast("Array", given)
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, features, dtype=np.float64, ensure_non_negative=True, allow_all_zero_weights=False
            )
        self.classes_, targets = np.unique(y, return_inverse=True)
        present = len(self.classes_) if sample_weight is None else len(np.unique(targets[sample_weight > 0]))
        if present < 2:
            raise ValueError(f"`y` must have at least 2 classes, got one class: {self.classes_[:1].tolist()}")
        by_class = self._class_weights(y, sample_weight)
        rows = fitting_rows(features, targets.astype(np.int64), sample_weight, by_class)
        suspect_features(rows.features, covariance_weight=self._covariance_weight())
        self.scale_ = 1.0 if self.scale is None else root_mean_square(rows.features)
        return self._fit(rows._replace(features=(rows.features / self.scale_).astype(np.float32)), self._seed())

    def _fit(self, rows: Rows, seed: int) -> Self:
        settings = self._settings()
        device = self._device()
        training: dict[str, Any] = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        self.selection_ = self._chosen(rows, seed) if self.weights == "auto" else None
        if self.selection_ is not None:
            chosen = {name: value for name, value in self.selection_.configuration.items() if name != "method"}
            training |= {name: chosen.pop(name) for name in training if name in chosen}
            settings |= chosen
        batch_size = self._batch_size(settings)
        generator = tensor_generator(seed, _INITIALISATION)
        head = HEADS[self.method](self.n_features_in_, len(self.classes_), generator=generator, **settings)
        validation = None
        if check_number(self.validation_fraction, "validation_fraction", minimum=0, maximum=1):
            kept, out = held_out(rows.targets, self.validation_fraction, seed)
            validation, rows = (torch.from_numpy(rows.features[out]), rows.targets[out]), rows.take(kept)
        result = fit(
            head,
            torch.from_numpy(rows.features),
            rows.targets,
            validation=validation,
            epochs=self._epochs(len(rows.targets), batch_size),
            batch_size=batch_size,
            **training,
            warmup=self.warmup,
            seed=seed,
            device=device,
            progress=bool(self.verbose),
            sample_weight=rows.weights,
            patience=self.patience,
        )
        self.head_, self.history_, self.n_iter_ = result.head.cpu(), result.history, len(result.history)
        suspect_training(self.history_, len(self.classes_))
        return self

    def _chosen(self, rows: Rows, seed: int) -> Choice:
        """What cross-validation on the training rows takes from the default grid, with this classifier's network."""
        own = self._settings()
        tried = {name for entry in default_grid(self.method) for name in entry}
        fixed = {name: value for name, value in own.items() if name not in tried}
        grid = [{**fixed, **entry, "warmup": self.warmup} for entry in default_grid(self.method)]
        batch_size = self._batch_size(own)
        choice = choose(
            self.n_features_in_,
            len(self.classes_),
            torch.from_numpy(rows.features),
            rows.targets,
            grid=grid,
            fraction=self.validation_fraction or _SELECTION_FRACTION,
            seed=seed,
            epochs=self._epochs(len(rows.targets), batch_size),
            batch_size=batch_size,
            device=self._device(),
            sample_weight=rows.weights,
            progress=bool(self.verbose),
        )
        choice.configuration.pop("warmup")
        return choice

    def _batch_size(self, settings: dict[str, Any]) -> int:
        """The batch, as large as the head needs it: two rows for batch statistics, ``top_k`` for singular values."""
        return max(self.batch_size, 2, settings.get("top_k", 1))

    def _epochs(self, count: int, batch_size: int) -> int:
        return max(self.epochs, math.ceil(self.minimum_steps / math.ceil(count / batch_size)))

    def decision_function(self, X: Any) -> Array:
        """Logits (N, K); for two classes (N,), the logit of ``classes_[1]`` minus that of ``classes_[0]``."""
        check_is_fitted(self)
        logits = self._forward(X, "logits")
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities (N, K), the softmax of the logits; uncalibrated, as those of any network."""
        return torch.from_numpy(self._forward(X, "logits")).softmax(dim=1).numpy()

    def predict(self, X: Any) -> Array:
        """Labels (N,)."""
        check_is_fitted(self)
        return self.classes_[self._forward(X, "logits").argmax(axis=1)]

    def transform(self, X: Any) -> Array:
        """Z (N, D), the reshaped features, in units of ``scale_``."""
        return self._forward(X, "tuned")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy on features ``X`` and labels ``y`` (a store's own where they are ``None``), in [0, 1].

        Labels that `fit` has not seen count as wrong, with a warning.
        """
        check_is_fitted(self)
        if y is None:
            _, y, _ = training_rows(X, y)
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            shown = ", ".join(map(repr, unseen[:5].tolist()))
            warnings.warn(f"`y` has labels that fit has not seen, which count as wrong: {shown}", stacklevel=2)
        return float(super().score(X, y, sample_weight))

    def _forward(self, X: Any, what: str) -> Array:
        """Logits or Z in float64, so that a row's values do not depend on the rows beside it."""
        check_is_fitted(self)
        given = rows_of(X, self.backbone_)
        features = cast("Array", validate_data(self, given, dtype=np.float64, reset=False))
        rows = torch.from_numpy(features / self.scale_)
        device = self._device()
        exact = torch.float32 if device.type == "mps" else torch.float64
        head = _copy_of(self.head_).to(device, exact)
        with torch.no_grad():
            parts = [head(piece.to(device, exact), return_features=True) for piece in rows.split(_ROWS)]
        return torch.cat([cast("Tensor", getattr(part, what)).double().cpu() for part in parts]).numpy()

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier into the folder ``path``: JSON and safetensors, no pickle.

        ``random_state`` and ``device`` are kept only where they are an integer and a name. Labels must be strings or
        numbers.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, int):
            parameters["random_state"] = None
        parameters["device"] = None if self.device is None else str(self.device)
        if isinstance(self.class_weight, dict):
            parameters["class_weight"] = None  # JSON's keys are strings; a fitted classifier does not need it
        names = getattr(self, "feature_names_in_", None)
        record = {
            "parameters": parameters,
            "feature_names": None if names is None else list(names),
            "history": self.history_,
            "scale": self.scale_,
            "backbone": self.backbone_,
        }
        save_classifier(path, self.head_, record, self.classes_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The classifier that `save` wrote."""
        head, record, classes = load_classifier(path)
        loaded = cls(**record["parameters"])
        loaded.head_, loaded.classes_, loaded.n_features_in_ = head, classes, head.in_features
        loaded.scale_, loaded.backbone_ = record["scale"], record.get("backbone")
        loaded.history_, loaded.n_iter_, loaded.selection_ = record["history"], len(record["history"]), None
        if record["feature_names"] is not None:
            loaded.feature_names_in_ = np.array(record["feature_names"], dtype=object)
        return loaded

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def _check_choices(self) -> None:
        check_choice(self.method, "method", HEADS)
        check_choice(self.weights, "weights", ("fixed", "auto"))
        check_choice(self.scale, "scale", ("rms", None))
        check_integer(self.batch_size, "batch_size", minimum=1)
        check_integer(self.epochs, "epochs", minimum=1)
        check_integer(self.minimum_steps, "minimum_steps", minimum=0)
        if self.preset is not None:
            check_choice(self.preset, "preset", PRESETS)
            if self.method != "nmtune":
                raise ValueError(f'`preset` is for method="nmtune", got {self.preset!r} with method={self.method!r}')
            if self.weights == "auto":
                raise ValueError('`preset` fixes the weights, got it with weights="auto": leave one of them out')

    def _settings(self) -> dict[str, Any]:
        """The keywords of the head."""
        own = {name: getattr(self, name) for name in ARGUMENTS[self.method]}
        if own.get("hidden_features", 0) is None:
            own["hidden_features"] = max(4 * self.n_features_in_, _NARROWEST)
        return {**own, **(PRESETS[self.preset] if self.preset is not None else {})}

    def _covariance_weight(self) -> float:
        """That of features as they are; nothing to suspect where they are scaled, or not regularized."""
        unscaled = self.method == "nmtune" and self.scale is None
        return float(self._settings()["covariance_weight"]) if unscaled else 0.0

    def _class_weights(self, y: Array, sample_weight: Array | None) -> npt.NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=sample_weight)
        return np.asarray(weights, dtype=np.float64)

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbits(31)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _device(self) -> torch.device:
        if self.device is None:
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


def _copy_of(head: Head) -> Head:
    """A head of its own with the same weights, so that its type and device can change."""
    arguments: dict[str, Any] = {**head.config(), "gather": False}
    with torch.device("meta"):
        copy = type(head)(**arguments)
    copy.load_state_dict({name: value.detach().clone() for name, value in head.state_dict().items()}, assign=True)
    return copy.eval()
