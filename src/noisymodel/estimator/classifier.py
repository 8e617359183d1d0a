"""NMTune as a scikit-learn classifier: arrays in, labels out."""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .adaptation import Adapted, adapted, softmax
from .files import downloaded, hub, load_classifier, save_classifier
from .fitting import Task, fit_rows
from .predicting import outputs
from .procedure import Selection
from .reading import as_array, check_backbone, features_of, given_rows, training_rows
from .settings import check_settings, device_of, random_integer
from .suspicion import suspect_features

Array = npt.NDArray[Any]
OnEpoch = Callable[[nn.Module, Mapping[str, float]], None]


class _Fitted:
    """What `NMTuneClassifier.fit` leaves."""

    classes_: Array
    head_: nn.Module
    history_: list[dict[str, float]]
    n_iter_: int
    explanation_: str
    feature_names_in_: Array
    n_features_in_: int
    selection_: Selection | Any | None
    backbone_: dict[str, Any] | None


@dataclass(kw_only=True, eq=False, repr=False)
class NMTuneClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator, _Fitted):
    """A classifier on frozen features: probes, NMTune heads or their average, behind scikit-learn's interface.

    ``NMTuneClassifier().fit(X, y)`` chooses by cross-validation. With few labels (below 20 a class, among other
    limits) it tries a linear and a kernel probe; with more labels it also tries NMTune heads. It averages the members
    with a good out-of-fold log-loss (``selection_``, ``explanation_``) and calibrates the probabilities. The head
    scales rows to length √D, so nothing depends on the features' scale.

    The fit does not depend on the order of the rows. Rows with equal features and labels count as one row with the sum
    of their weights. ``sample_weight`` and ``class_weight`` weight the loss, the validation and the calibration.

    Args:
        method: ``"nmtune"``: as above. ``"linear"``: multinomial logistic regression
            (`noisymodel.heads.fit_linear_probe`). ``"kernel"``: the same on an RBF kernel
            (`noisymodel.heads.fit_kernel_probe`). Both choose their penalties by cross-validation. ``"mlp"``: NMTune's
            network with the task loss alone.
        preset: ``"paper"`` or ``"official"``: one head with the settings of `NMTune.from_preset`, which replace the
            arguments of the same names; implies ``weights="fixed"``.
        weights: ``"auto"``: as above; the method ``"mlp"`` chooses its label smoothing and learning rate on a fifth of
            the rows if there are at least 400. ``"fixed"``: one head with the settings below, trained by
            `noisymodel.fit`.
        hidden_features: width of the hidden layers; ``None``: 4 D, at least 64 and at most 2,048 (presets: 4 D). The
            heads of the folds with ``"auto"`` have 2 D, at least 64 and at most 1,024 or 600,000 / D.
        depth, norm, residual, dropout, normalize, input_noise, consistency_weight, covariance_weight, dominant_weight:
            as in `NMTune`, and so are ``top_k``, ``reduction``, ``label_smoothing`` and ``classifier_init``. They
            apply to the NMTune heads of ``"auto"`` and to the one head of ``"fixed"``.
        calibrate: multiply the logits by the factor with the least cross-entropy on held-out rows. These are the
            out-of-fold rows, or for one trained head (``"fixed"``, presets and ``"mlp"``) those of
            ``validation_fraction``; without ``validation_fraction`` such a head is not calibrated.
        epochs, batch_size, learning_rate, weight_decay, warmup, patience: as in `noisymodel.fit`. ``"auto"`` trains
            heads for at most 10 epochs and 6,000 steps. A ``batch_size`` that is too small for the head is raised.
        minimum_steps: the epochs are raised until the training has so many steps, up to 100 epochs.
        validation_fraction: share of every class that is held out and evaluated, in [0, 1). With ``"fixed"`` the rows
            are evaluated after each epoch, and ``patience`` needs them; with ``"auto"`` they are optional and
            evaluated at the end.
        class_weight: ``None``, ``"balanced"`` or a dictionary from class to weight.
        warm_start: with ``"fixed"``, start from the head of the last `fit` if features and classes are the same. The
            results of convex fits and of ``"auto"`` do not depend on the start.
        random_state: fixes folds, landmarks, initial weights, order and noise.
        device: where to compute; ``None``: a CUDA device if there is one, else the CPU.
        verbose: 1 shows the present stage and a progress bar.
        on_epoch: called with (head, record) after every epoch with ``"fixed"``, after every member with ``"auto"``;
            the record is the entry of ``history_``.

    Attributes:
        classes_: (K,) the labels.
        head_: the module that computes the classifier's predictions from raw features, in evaluation mode, float32, on
            the CPU.
        selection_: with ``weights="auto"``, the members tried and chosen; else ``None``.
        explanation_: a sentence that names the choice and the reason.
        history_: a dictionary for each epoch (`noisymodel.fit`), or for each member.
        n_iter_: the length of ``history_``.
        backbone_: after a fit on a `FeatureStore`, the source of its features, if the store names one; else ``None``.
        n_features_in_, feature_names_in_: as in all of scikit-learn.

    Raises:
        ValueError: for fewer than two rows or classes, NaN, infinity, labels that are None, another width than in
            ``fit``, a device that does not exist, and arguments out of range.

    Source: arXiv 2309.17002, section 3, for the heads; the procedure is ours.

    >>> import numpy as np
    >>> from noisymodel import NMTuneClassifier
    >>> random = np.random.default_rng(0)
    >>> labels = np.array(["cat", "dog"])[np.arange(60) % 2]
    >>> features = random.normal(size=(60, 8)) + 2.0 * (labels == "dog")[:, None]
    >>> classifier = NMTuneClassifier(random_state=0).fit(features[:30], labels[:30])
    >>> classifier.score(features[30:], labels[30:]) > 0.9, classifier.transform(features[:3]).shape
    (True, (3, 8))
    """

    method: str = "nmtune"
    preset: str | None = None
    weights: str = "auto"
    hidden_features: int | None = None
    depth: int = 1
    norm: str | None = "batch"
    residual: bool = False
    dropout: float = 0.0
    normalize: str | None = "l2"
    input_noise: float = 1.0
    consistency_weight: float = 3.0
    covariance_weight: float = 3.0
    dominant_weight: float = 0.1
    top_k: int = 1
    reduction: str = "batchmean"
    label_smoothing: float = 0.0
    classifier_init: str = "linear"
    calibrate: bool = True
    epochs: int = 30
    minimum_steps: int = 300
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0
    patience: int | None = None
    validation_fraction: float = 0.0
    class_weight: dict[Any, float] | str | None = None
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    device: str | torch.device | None = None
    verbose: int = 0
    on_epoch: OnEpoch | None = None

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit on features ``X`` (N, D) and labels ``y`` (N,), with optional ``sample_weight`` (N,) ≥ 0.

        ``X`` may be an array, a tensor of any floating type on any device, a `FeatureStore` or a ``DataLoader`` of
        (features, labels); if ``y`` is ``None``, the labels of the store or loader are used. Maps of files and stores
        stay on disk, and copies of more than 128 MiB lie in temporary files; a loader is read into memory.
        After a fit on a store, the other methods refuse stores of another backbone.
        """
        parameters = self.get_params(deep=False)
        check_settings(parameters)
        device = device_of(self.device)
        before = getattr(self, "head_", None) if self.warm_start else None
        known = getattr(self, "classes_", None)
        seed = random_integer(self.random_state) if self.random_state is not None else secrets.randbits(31)
        rows, self.classes_, self.backbone_ = given_rows(self, X, y, sample_weight)
        suspect_features(rows.features, scaled=self.normalize is not None or self.method in ("linear", "kernel"))
        if before is not None and (known is None or not np.array_equal(known, self.classes_)):
            before = None
        found = fit_rows(Task(parameters, rows, len(self.classes_), seed, device), before)
        self.head_, self.history_, self.n_iter_ = found.head, found.history, max(1, len(found.history))
        self.selection_, self.explanation_ = found.selection, found.explanation
        return self

    def decision_function(self, X: Any) -> Array:
        """Logits (N, K); for two classes (N,), the logit of ``classes_[1]`` minus that of ``classes_[0]``."""
        logits = self._outputs(X, "logits")
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities (N, K), the softmax of the logits."""
        return softmax(self._outputs(X, "logits"))

    def predict(self, X: Any) -> Array:
        """Labels (N,) of features: arrays, tensors, a store, a ``DataLoader`` or an iterator of batches."""
        logits = self._outputs(X, "logits")
        return self.classes_[logits.argmax(axis=1)]

    def transform(self, X: Any) -> Array:
        """Z (N, D): the head's reshaped features; for an average, the mean of the members' Z with rows of length √D.

        For a probe, Z are the input features as its head scales them.
        """
        return self._outputs(X, "tuned")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy in [0, 1] on features ``X`` and labels ``y``; ``None`` takes the labels of the store or loader.

        Labels that `fit` has not seen count as wrong, with a warning.
        """
        check_is_fitted(self)
        rows = X
        if y is None:
            check_backbone(X, self.backbone_)
            rows, y, _ = training_rows(X, y)
        y = np.asarray(as_array(y))
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            shown = ", ".join(map(repr, unseen[:5].tolist()))
            warnings.warn(f"`y` has labels that fit has not seen, which count as wrong: {shown}", stacklevel=2)
        return float(super().score(rows, y, sample_weight))

    def adapt(self, X_unlabelled: Any) -> Adapted:
        """Predict unlabelled rows by the fitted classifier and by two transductive rules, side by side.

        Give all rows (N, D) of a shifted domain at once; the classifier itself does not change. Neither rule is better
        everywhere, see `noisymodel.estimator.adaptation`: compare them on labelled rows of the domain.
        """
        return adapted(self._outputs(X_unlabelled, "logits"), self._outputs(X_unlabelled, "tuned"), self.classes_)

    def _outputs(self, X: Any, what: str) -> Array:
        check_is_fitted(self)
        features = features_of(self, X)
        return outputs(self.head_, features, device_of(self.device), what)

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier into the folder ``path``: JSON and safetensors with checksums, no pickle.

        A ``random_state`` is saved only if it is an integer, a ``device`` only if it is a name, and ``on_epoch`` never.
        Labels must be strings or numbers.
        """
        check_is_fitted(self)
        save_classifier(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a classifier that `save` wrote, also in an earlier version."""
        return load_classifier(cls, path)

    save_pretrained = save

    @classmethod
    def from_pretrained(cls, path: str | Path, **options: Any) -> Self:
        """Load a classifier from a folder, or by its name on the Hugging Face Hub (needs the extra ``hub``)."""
        return cls.load(path if Path(path).exists() else downloaded(str(path), **options))

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None, api: Any = None
    ) -> str:
        """Save the classifier into a repository on the Hugging Face Hub (needs the extra ``hub``); return its address.

        ``api`` replaces ``huggingface_hub.HfApi(token=token)``.
        """
        api = hub().HfApi(token=token) if api is None else api
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=type(self).__name__))

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_
