"""What all heads share: shapes, losses, a new classifier, files."""

from __future__ import annotations

import inspect
from itertools import chain
from typing import Any, Literal, NamedTuple, Self, overload

import torch
from torch import Tensor, nn

from .._checks import check_choice, check_flag, check_generator, check_rows
from ..losses import NMTuneTerms
from ..objective import NMTuneLoss
from .files import SavedModule
from .network import CLASSIFIER_INITS, TuningNetwork, check_size, classifier
from .normalization import check_normalize, unit_rows


class NMTuneOutput(NamedTuple):
    """What a head computes: ``logits`` (..., K) and ``tuned``, the features Z (..., D) that they come from."""

    logits: Tensor
    tuned: Tensor


class Head(SavedModule):
    """The common interface of all heads: features (..., D) in, logits (..., K) out.

    A head is a network before a linear classifier, and an objective: a subclass names both. ``normalize="l2"`` brings
    the rows to length √D before the network. The objective's weights may be changed while training:
    ``head.objective.covariance_weight = 0.5``; a term of weight 0 is not computed.
    """

    network: nn.Module
    objective: NMTuneLoss
    classifier: nn.Linear | None

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        network: nn.Module,
        objective: NMTuneLoss,
        normalize: str | None = None,
        classifier_init: str,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        check_choice(classifier_init, "classifier_init", CLASSIFIER_INITS)
        check_generator(generator)
        self.in_features = check_size(in_features, "in_features")
        self.normalize = check_normalize(normalize)
        self.classifier_init = classifier_init
        self.network = network
        self.objective = objective
        self.classifier = None
        self.reset(num_classes, generator=generator)

    @property
    def num_classes(self) -> int:
        """K, or 0 without a classifier."""
        return 0 if self.classifier is None else self.classifier.out_features

    @property
    def regularized(self) -> bool:
        """Whether any regularizer has a weight."""
        return self.objective.regularized

    @property
    def smallest_batch(self) -> int:
        """The fewest rows that the head can be trained on at once: two for batch statistics, ``top_k`` for σ."""
        statistics = any(isinstance(module, nn.BatchNorm1d) for module in self.modules())
        return max(2 if statistics else 1, self.objective.smallest_batch)

    def config(self) -> dict[str, Any]:
        """The arguments of this head, ready for JSON; a process group in ``gather`` becomes ``True``."""
        network = self.network.settings() if isinstance(self.network, TuningNetwork) else {}
        objective = self.objective.settings()
        objective["gather"] = objective["gather"] is not False
        own = ("in_features", "num_classes", "normalize", "classifier_init")
        known = {**{name: getattr(self, name) for name in own}, **network, **objective}
        return {name: known[name] for name in inspect.signature(type(self)).parameters if name in known}

    def normalized(self, features: Tensor) -> Tensor:
        """The rows (..., D) that the network sees: features (..., D), of length √D where ``normalize`` says so."""
        return features if self.normalize is None else unit_rows(features)

    def tune(self, features: Tensor) -> Tensor:
        """Z (..., D) of features F (..., D): what the classifier sees."""
        return self._tuned(self._rows(features))

    def _rows(self, features: Tensor) -> Tensor:
        check_rows(features, num_features=self.in_features)
        self._check_type(features)
        return self.normalized(features)

    def _tuned(self, rows: Tensor) -> Tensor:
        if rows.ndim == 2:
            return self.network(rows)
        return self.network(rows.reshape(-1, self.in_features)).reshape(rows.shape)

    @overload
    def forward(self, features: Tensor, return_features: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, features: Tensor, return_features: Literal[True]) -> NMTuneOutput: ...
    def forward(self, features: Tensor, return_features: bool = False) -> Tensor | NMTuneOutput:
        """Logits (..., K) of features (..., D), or an `NMTuneOutput` with ``return_features=True``.

        Without a classifier (``num_classes=0``) Z (..., D) takes the place of the logits.
        """
        tuned = self.tune(features)
        logits = tuned if self.classifier is None else self.classifier(tuned)
        return NMTuneOutput(logits, tuned) if check_flag(return_features, "return_features") else logits

    def loss(
        self,
        features: Tensor,
        targets: Tensor,
        *,
        reference: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> NMTuneTerms:
        """The terms of the training loss of a batch; backpropagate ``terms.total``.

        - ``features``: (..., D);
        - ``targets``: class ids (...) of an integer type, or class probabilities (..., K) of a floating type. Ids are
          not compared with K here, which would wait for the device;
        - ``reference``: (..., D), what the consistency term compares Z with: the features themselves, detached,
          unless given (the features of a weakly augmented view, say); only directions count, and with noise on the
          network's input the reference is the clean features;
        - ``sample_weight``: (...), multiplies each row's cross-entropy before the mean over the rows; the regularizers
          weight all rows alike.

        Under ``DistributedDataParallel`` call the wrapped head with ``return_features=True``, and `NMTuneLoss` on its
        output, so that the wrapper sees the forward pass.
        """
        if self.classifier is None:
            raise ValueError(
                f"{type(self).__name__} has no classifier (`num_classes` is 0) and so no task loss: "
                "use head.regularization(features), or make a classifier by head.reset(num_classes)"
            )
        rows = self._rows(features)
        tuned = self._tuned(rows)
        return self.objective(
            self.classifier(tuned),
            targets,
            tuned=tuned if self.regularized else None,
            reference=self._reference(rows, reference),
            sample_weight=sample_weight,
        )

    def regularization(self, features: Tensor, *, reference: Tensor | None = None) -> NMTuneTerms:
        """Like `loss`, but with a task term of zero: add ``terms.total`` to your own task loss."""
        rows = self._rows(features)
        return self.objective.regularization(self._tuned(rows), self._reference(rows, reference))

    def _reference(self, rows: Tensor, reference: Tensor | None) -> Tensor:
        if reference is None:
            return rows.detach()
        return self.normalized(check_rows(reference, "reference", num_features=self.in_features))

    def start_from(self, probe: object) -> Self:
        """Start from a fitted linear probe: Z = F, with the probe's classifier; returns the head.

        The network's last layer becomes zero, which needs ``residual=True``. ``probe`` is a `LinearProbe` that
        normalises its rows like this head, or any object with a ``weight`` (K, D) and a ``bias`` (K,) or ``None`` for
        rows normalised in the same way.

        Raises:
            ValueError: without a residual connection, for another number of features or classes, for a probe with
                another normalisation, and for weights that are not finite.
            TypeError: for an object without a weight, and for a head with its own network.
        """
        weight, bias = self._classifier_of(probe)
        if self.classifier is None or weight.shape != self.classifier.weight.shape:
            expected = f"({self.num_classes}, {self.in_features})"
            raise ValueError(
                f"`probe` must have a weight of shape {expected}, the head's classes and features, "
                f"got {tuple(weight.shape)}"
            )
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"`probe` must have a bias of shape ({len(weight)},), got {tuple(bias.shape)}")
        if not bool(weight.isfinite().all() & bias.isfinite().all()):
            raise ValueError("`probe` must have finite weights, got NaN or infinity")
        if isinstance(self.network, TuningNetwork):
            self.network.become_identity()
        with torch.no_grad():
            self.classifier.weight.copy_(weight)
            self.classifier.bias.copy_(bias)
        return self

    def _classifier_of(self, probe: Any) -> tuple[Tensor, Tensor]:
        """Weight and bias of a probe that sees the rows as this head does."""
        if isinstance(probe, Head):
            if not isinstance(probe.network, nn.Identity):
                raise TypeError(
                    f"`probe` must be linear in the features, got a {type(probe).__name__}, which has a network"
                )
            if probe.normalize != self.normalize:
                raise ValueError(
                    f"`probe` must normalise its rows as the head does, normalize={self.normalize!r}, "
                    f"got normalize={probe.normalize!r}"
                )
            probe = probe.classifier
        if getattr(probe, "weight", None) is None:
            raise TypeError(
                f"`probe` must be a fitted LinearProbe or have `weight` and `bias`, got {type(probe).__name__}"
            )
        weight = torch.as_tensor(probe.weight).detach()
        bias = getattr(probe, "bias", None)
        return weight, torch.zeros_like(weight[:, 0]) if bias is None else torch.as_tensor(bias).detach()

    def reset(self, num_classes: int | None, *, generator: torch.Generator | None = None) -> None:
        """Start a new classifier of ``num_classes`` classes (0 or ``None``: none), as in timm; the network stays.

        Zero biases, and weights as ``classifier_init`` says: ``"linear"`` U(−1/√D, 1/√D), ``"kaiming"``
        U(−√(6/D), √(6/D)); drawn on the CPU from ``generator``, or from torch's global generator where there is none.
        """
        count = 0 if num_classes is None else check_size(num_classes, "num_classes", minimum=0)
        like = next((tensor for tensor in self._tensors() if tensor.is_floating_point()), None)
        if count == 0:
            self.classifier = None
            if not any(tensor.is_floating_point() for tensor in self._tensors()):
                place = torch.empty(0) if like is None else like.new_empty(0)
                self.register_buffer("_place", place, persistent=False)  # moves with the head: type and device
            return
        fresh = classifier(self.in_features, count, self.classifier_init, generator)
        self.classifier = (fresh if like is None else fresh.to(like.device, like.dtype)).train(self.training)
        self._buffers.pop("_place", None)
        self._non_persistent_buffers_set.discard("_place")

    def _tensors(self) -> chain[Tensor]:
        return chain(self.parameters(), self.buffers())

    def _check_type(self, features: Tensor) -> None:
        weight = next(self.parameters(), None) if self.classifier is None else self.classifier.weight
        if weight is None or weight.dtype == features.dtype or torch.is_autocast_enabled(features.device.type):
            return
        raise TypeError(
            f"`features` must be of the head's type {weight.dtype}, got {features.dtype}: "
            f"features.to({weight.dtype}), or head.to({features.dtype})"
        )

    def extra_repr(self) -> str:
        """The widths, for ``print``."""
        return f"in_features={self.in_features}, num_classes={self.num_classes}, normalize={self.normalize!r}"
