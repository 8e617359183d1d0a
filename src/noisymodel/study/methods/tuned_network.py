"""A head that contains the pre-trained network: its rows are inputs, so that `fit` trains it like any other head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self, cast

import torch
from torch import Tensor, nn

from ..._checks import check_integer, check_rows
from ..._random import seeded
from ...baselines import batch_spectral_shrinkage, embedding_distortion, l2_sp_penalty
from ...errors import import_extra
from ...heads import Head
from ...heads.network import classifier
from ...losses import NMTuneTerms
from ...objective import NMTuneLoss
from ..pretraining import Network

Penalty = Callable[["TunedNetwork", Tensor, Tensor], Tensor]
"""A term that is added to the loss of a batch, including its weight, from the head, pixels and backbone's features."""


class _Network(nn.Module):
    """From pixels (N, P) to the input of the classifier."""

    def __init__(self, backbone: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.after = after

    def forward(self, pixels: Tensor) -> Tensor:
        return self.after(self.backbone(pixels))


class TunedNetwork(Head):
    """A copy of a pre-trained network with a new classifier, all of it trained.

    Args:
        pretrained: the network; it does not change, and provides the pre-trained features.
        num_classes: K.
        backbone: the module to train; by default a copy of the network's backbone with all parameters.
        after: a module between backbone and classifier, which keeps the features' width. With it the consistency term
            compares with the pre-trained features; without it there is none.
        objective: task loss, and regularizers on the classifier's input; by default no regularizers.
        penalty: a term that is added only to ``total`` of the loss.
        generator: draws the classifier's initial values.

    Such heads exist only in the study: they are neither saved nor loaded separately.
    """

    def __init__(
        self,
        pretrained: Network,
        num_classes: int,
        *,
        backbone: nn.Module | None = None,
        after: nn.Module | None = None,
        objective: NMTuneLoss | None = None,
        penalty: Penalty | None = None,
        generator: torch.Generator,
    ) -> None:
        self._width = pretrained.num_features
        super().__init__(
            pretrained.num_inputs,
            num_classes,
            network=_Network(trainable(pretrained) if backbone is None else backbone, after or nn.Identity()),
            objective=objective or NMTuneLoss(consistency_weight=0, covariance_weight=0, dominant_weight=0),
            classifier_init="linear",
            generator=generator,
        )
        self._pretrained = (pretrained.backbone,)  # the tuple keeps it out of this module: neither trained nor saved
        self.with_reference = after is not None
        self.penalty = penalty

    def reset(self, num_classes: int | None, *, generator: torch.Generator | None = None) -> None:
        """Make a new classifier on the features, whose width differs from that of the rows."""
        count = check_integer(num_classes or 0, "num_classes", minimum=1)
        self.classifier = classifier(self._width, count, self.classifier_init, generator)

    def tune(self, features: Tensor) -> Tensor:
        """The tuned features (N, D) of pixels (N, P)."""
        return self._network(check_rows(features, num_features=self.in_features))

    def pretrained_features(self, pixels: Tensor) -> Tensor:
        """The features (N, D) of the network before tuning."""
        with torch.no_grad():
            return self._pretrained[0](pixels)

    def loss(
        self,
        features: Tensor,
        targets: Tensor,
        *,
        reference: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> NMTuneTerms:
        """The terms of a batch of pixels (N, P); the penalty is in ``total`` alone."""
        embedded = self._network.backbone(features)
        tuned = self._network.after(embedded)
        logits = cast(nn.Linear, self.classifier)(tuned)
        if self.with_reference and reference is None:
            reference = self.pretrained_features(features)
        terms = self.objective(
            logits,
            targets,
            tuned=tuned if self.regularized else None,
            reference=reference,
            sample_weight=sample_weight,
        )
        if self.penalty is not None:
            terms = terms._replace(total=terms.total + self.penalty(self, features, embedded))
        return terms

    @property
    def _network(self) -> _Network:
        return cast(_Network, self.network)


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class AdaptedBackbone(nn.Module):
    """A backbone with LoRA; its BatchNorm statistics are frozen, as all its own parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, rows: Tensor) -> Tensor:
        """The features of rows."""
        return self.module(rows)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the adapters; BatchNorm remains in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, BATCH_NORMS):
                module.eval()
        return self


def trainable(pretrained: Network) -> nn.Module:
    """A copy of the backbone to train, all of it."""
    return copy.deepcopy(pretrained.backbone).requires_grad_(True).train()


def with_lora(pretrained: Network, *, rank: int, alpha: int, generator: torch.Generator) -> AdaptedBackbone:
    """A copy of the backbone with W + (α/r)·B·A instead of the weight W of each linear layer; A and B are trained.

    A backbone without linear layers (a residual network) gets LoRA in each convolution without groups.

    Raises:
        MissingExtraError: peft is not installed.
    """
    peft = import_extra("peft", extra="peft", purpose="LoRA in the study")
    backbone = AdaptedBackbone(copy.deepcopy(pretrained.backbone))
    with seeded(generator.initial_seed()):  # peft draws from torch's global generator
        peft.inject_adapter_in_model(
            peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=_adaptable(backbone.module)), backbone.module
        )
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return backbone.train()


def _adaptable(backbone: nn.Module) -> list[str]:
    """The layers that LoRA adapts.

    ``MultiheadAttention`` multiplies by the weight of its last layer itself, so a replacement of that layer would never
    be called.
    """
    modules = dict(backbone.named_modules())
    within = {f"{name}.out_proj" for name, module in modules.items() if isinstance(module, nn.MultiheadAttention)}
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear) and name not in within]
    return linear or [name for name, module in modules.items() if isinstance(module, nn.Conv2d) and module.groups == 1]


# ---- penalties -------------------------------------------------------------------------------------------------------


def towards_the_start(pretrained: Network, *, alpha: float, beta: float) -> Penalty:
    """L2-SP from the pre-trained backbone."""
    start = {f"network.backbone.{name}": value.detach() for name, value in pretrained.backbone.named_parameters()}
    return lambda head, _pixels, _embedded: l2_sp_penalty(dict(head.named_parameters()), start, alpha=alpha, beta=beta)


def small_spectrum(*, weight: float, num_smallest: int) -> Penalty:
    """Batch spectral shrinkage of the backbone's features."""
    return lambda _head, _pixels, embedded: batch_spectral_shrinkage(embedded, num_smallest=num_smallest) * weight


def moved_embeddings(*, weight: float) -> Penalty:
    """Distortion of the backbone's features."""
    return lambda head, pixels, embedded: embedding_distortion(embedded, head.pretrained_features(pixels)) * weight
