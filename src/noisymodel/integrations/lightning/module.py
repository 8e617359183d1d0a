"""A `LightningModule` that trains a backbone and a head and logs every term."""

from __future__ import annotations

from typing import Any, NamedTuple, Self, cast

import torch
from lightning import LightningModule
from torch import Tensor, nn

from ..._checks import check_choice, check_number
from ...features.extraction.inputs import Batch, read_batch
from ...features.extraction.layers import as_tensor, pooled
from ...heads import Head
from ...losses import NMTuneTerms
from ..terms import batch_terms

POOLINGS = ("mean", "cls", "last")
REFERENCES = ("features", "pretrained", "none")


class Step(NamedTuple):
    """The results of `NMTuneModule` for a batch: features F and Z (N, D), logits (N, K), and the terms."""

    features: Tensor
    tuned: Tensor
    logits: Tensor
    terms: NMTuneTerms | None


class NMTuneModule(LightningModule):
    """A backbone and a head, trained by AdamW with a cosine schedule over all steps of the run.

    Batches are (inputs, labels), or dictionaries with ``labels`` and the backbone's keywords. If a dictionary has a
    ``reference`` (N, D), the consistency term compares Z with it. The module logs ``train_total`` and the four terms
    (``train_task`` and so on) by step and epoch, and ``validation_...`` with ``validation_accuracy`` by epoch. A
    subclass may override `configure_optimizers`. Use ``drop_last=True`` in the training loader if the last batch may
    have one row. Checkpoints are Lightning's; ``module.head.save_pretrained(folder)`` writes the head without pickle.

    Args:
        backbone: any module whose output is (N, D), (N, T, D), (N, C, H, W), or an output of transformers.
        head: a head of this library with a classifier.
        freeze: no gradient for the backbone, which stays in evaluation mode; False trains it too (LoRA: its adapters).
        pooling: as in `noisymodel.features.extract`: ``"mean"``, ``"cls"`` or ``"last"`` of token features.
        reference: the features that the consistency term compares Z with. ``"features"``: F itself, detached;
            ``"pretrained"``: the features of the backbone with its adapters switched off; ``"none"``: no consistency
            term.
        learning_rate: the learning rate of the head and the trained part of the backbone, > 0.
        weight_decay: the weight decay of AdamW, ≥ 0.

    Raises:
        TypeError: if ``head`` is not a head.
        ValueError: for unknown choices and numbers out of range.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        *,
        freeze: bool = True,
        pooling: str = "mean",
        reference: str = "features",
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        if not isinstance(head, Head):  # pyright: ignore[reportUnnecessaryIsInstance] - a user may pass anything
            raise TypeError(f"`head` must be NMTune, MLPProbe, LinearProbe or another Head, got {type(head).__name__}")
        check_choice(pooling, "pooling", POOLINGS)
        check_choice(reference, "reference", REFERENCES)
        self.backbone, self.head = backbone, head
        self.frozen, self.pooling, self.reference = freeze, pooling, reference
        self.learning_rate = check_number(learning_rate, "learning_rate", minimum=0, exclusive_minimum=True)
        self.weight_decay = check_number(weight_decay, "weight_decay", minimum=0)
        if freeze:
            backbone.requires_grad_(False)

    def forward(self, batch: Any) -> Tensor:
        """Logits (N, K) of a batch, with or without labels."""
        return self.head(self._features(_read(batch)[0]))

    def step(self, batch: Any) -> Step:
        """Features, logits and terms of a batch."""
        own, reference = _read(batch)
        if own.labels is not None and reference is None and self.reference == "pretrained":
            from ..peft import adapters_disabled

            with torch.no_grad(), adapters_disabled(self.backbone):
                reference = self._features(own)
        features = self._features(own)
        logits, tuned = self.head(features, return_features=True)
        if own.labels is None:
            return Step(features, tuned, logits, None)
        if reference is None and self.reference == "features":
            reference = features.detach()
        terms = batch_terms(self.head, logits, own.labels, tuned, reference, training=self.training)
        return Step(features, tuned, logits, terms)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """The total loss of a batch."""
        found = self.step(batch)
        if found.terms is None:
            raise ValueError("a training batch has no labels: (inputs, labels), or a dictionary with `labels`")
        self._log("train", found, on_step=True)
        return found.terms.total

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:  # noqa: ARG002 - Lightning's signature
        """The fields of `Step` as a dictionary, for callbacks."""
        found = self.step(batch)
        if found.terms is not None:
            self._log("validation", found, on_step=False)
            accuracy = (found.logits.argmax(-1) == _class_ids(batch)).float().mean()
            self.log("validation_accuracy", accuracy, on_epoch=True, batch_size=self._weight(found), sync_dist=True)
        return found._asdict()

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Logits."""
        return self(batch)

    def configure_optimizers(self) -> Any:
        """AdamW over the trained parameters, and a cosine schedule to the run's last step."""
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def _features(self, batch: Batch) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            given = self.backbone(*batch.arguments, **batch.keywords)
        return pooled(as_tensor(given, "output"), self.pooling, batch.mask, "output")

    def _weight(self, found: Step) -> int:
        """The number of rows times that of processes: Lightning divides its sum over the processes as an integer."""
        return len(found.features) * self.trainer.world_size

    def _log(self, prefix: str, found: Step, *, on_step: bool) -> None:
        """Log the terms, except a regularizer that is undefined for a small evaluation batch."""
        assert found.terms is not None  # noqa: S101 - for the type checker
        for name, value in found.terms._asdict().items():
            if not self.training and bool(value.isnan()) and bool(found.terms.task.isfinite()):
                continue
            options = {"on_step": on_step, "on_epoch": True, "batch_size": self._weight(found), "sync_dist": True}
            self.log(f"{prefix}_{name}", value.detach(), **options)  # pyright: ignore[reportArgumentType] - kinds mix


def _class_ids(batch: Any) -> Tensor:
    """The class ids of a batch; for class probabilities the most likely class."""
    labels = _read(batch)[0].labels
    return labels.argmax(-1) if labels.is_floating_point() else labels


def _read(batch: Any) -> tuple[Batch, Tensor | None]:
    """A batch, and the features of the frozen model that it may bring along."""
    reference = None
    if isinstance(batch, dict) and "reference" in batch:
        batch = dict(cast("dict[str, Any]", batch))
        reference = batch.pop("reference")
    return read_batch(batch, None), reference
