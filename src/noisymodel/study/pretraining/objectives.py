"""The objectives of pre-training: the loss of a batch, and the final measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..._random import tensor_generator
from ..data import Examples, Inputs, batches, take
from ..evaluation import accuracy
from .corruption import noisy_captions, noisy_labels, noisy_tokens
from .distributed import all_rows, own_part
from .network import ClassifyingNetwork, Embeddings, MaskedTokenNetwork, Network, PairedNetwork
from .request import MASKS, PretrainingRequest

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_CHECK = 2**31
"""Replaces the step in the seed of the masks for the measured accuracy."""
_ROWS = 4096
"""The number of captions in one batch of the retrieval."""


class Batch:
    """The examples of a step: those of all ranks, and those of this rank."""

    def __init__(self, chosen: Tensor, step: int, device: torch.device, group: ProcessGroup | None) -> None:
        self.chosen, self.step, self.device, self.group = chosen, step, device, group
        self.own = own_part(len(chosen), group)

    def take(self, inputs: Inputs) -> Tensor:
        """This rank's inputs, on the device; no others are decoded."""
        return take(inputs, self.chosen[self.own].numpy()).to(self.device)


class Objective(Protocol):
    """The loss of one noise rate."""

    def loss(self, network: Any, batch: Batch) -> Tensor:
        """This rank's share of the loss: the sum over the ranks is the mean over the batch."""
        ...


class Supervised:
    """Mean cross-entropy with the noisy labels."""

    def __init__(self, request: PretrainingRequest, rate: float) -> None:
        self.inputs = request.examples.inputs
        self.labels = torch.from_numpy(noisy_labels(request, rate))

    def loss(self, network: ClassifyingNetwork, batch: Batch) -> Tensor:
        """Of this rank's rows."""
        labels = self.labels[batch.chosen[batch.own]].to(batch.device)
        logits = network(batch.take(self.inputs))
        return nn.functional.cross_entropy(logits, labels, reduction="sum") / len(batch.chosen)


class Contrastive:
    """The symmetric InfoNCE loss of a batch: each picture's own caption among all, each caption's picture among all.

    With unit embeddings a_i, b_i and scale s, the mean over i of half of
    −log softmax_j(s·a_i·b_j)_i − log softmax_j(s·b_i·a_j)_i. A caption that happens to be equal counts as wrong.
    """

    def __init__(self, request: PretrainingRequest, rate: float) -> None:
        self.inputs = request.examples.inputs
        self.captions = torch.from_numpy(noisy_captions(request, rate))

    def loss(self, network: PairedNetwork, batch: Batch) -> Tensor:
        """Of this rank's pictures and captions, against those of all ranks."""
        captions = self.captions[batch.chosen[batch.own]].to(batch.device)
        return contrastive_loss(network(batch.take(self.inputs), captions), batch)


def contrastive_loss(own: Embeddings, batch: Batch) -> Tensor:
    """A rank's share of the loss of a batch."""
    count = len(batch.chosen)
    places = torch.arange(count, device=batch.device)[batch.own]
    pictures, captions = (all_rows(part, count, batch.group) for part in own[:2])
    of_pictures = own.scale * own.pictures @ captions.mT
    of_captions = own.scale * own.captions @ pictures.mT
    losses = [nn.functional.cross_entropy(logits, places, reduction="sum") for logits in (of_pictures, of_captions)]
    return (losses[0] + losses[1]) / (2 * count)


class MaskedToken:
    """Mean cross-entropy of masked tokens of the noisy texts.

    In every step each token is masked with probability ``mask_share``; tokens that the noise has masked are never
    predicted. A batch without masked tokens has the loss zero.
    """

    def __init__(self, request: PretrainingRequest, rate: float) -> None:
        self.tokens = torch.from_numpy(noisy_tokens(request, rate))
        self.vocabulary, self.share, self.seed = request.vocabulary, request.config.mask_share, request.seed

    def loss(self, network: MaskedTokenNetwork, batch: Batch) -> Tensor:
        """Of this rank's texts; the masks of all are drawn on every rank."""
        tokens = self.tokens[batch.chosen]
        hidden = masked(tokens, self.vocabulary, self.share, tensor_generator(self.seed, MASKS, batch.step))
        own, where = tokens[batch.own].to(batch.device), hidden[batch.own].to(batch.device)
        logits = network(own.masked_fill(where, network.mask_token), where)
        return nn.functional.cross_entropy(logits, own[where], reduction="sum") / max(int(hidden.sum()), 1)


def masked(tokens: Tensor, vocabulary: int, share: float, generator: torch.Generator) -> Tensor:
    """``(n, L)`` bool: the tokens to predict."""
    drawn = torch.rand(tokens.shape, generator=generator) < share
    return drawn & (tokens != 0) & (tokens < vocabulary)


OBJECTIVE: Mapping[str, Callable[[PretrainingRequest, float], Objective]] = {
    "supervised": Supervised,
    "contrastive": Contrastive,
    "masked_token": MaskedToken,
}


# ---- measures --------------------------------------------------------------------------------------------------------


def measures(request: PretrainingRequest, rate: float, network: Network, check: Examples) -> dict[str, float]:
    """Measure a network on its own pre-training task.

    - ``noisy_label_fit``: share of the noisy labels of its own pre-training examples that it reproduces;
      ``clean_accuracy``: share of the clean labels of ``check`` (both of ``"supervised"``);
    - ``retrieval_accuracy``: share of ``check``'s pictures whose own caption is the nearest of ``check``'s different
      captions (``"contrastive"``);
    - ``masked_token_accuracy``: share of ``check``'s clean tokens that it finds where they are masked, as many and at
      the same places for all networks (``"masked_token"``).

    Args:
        request: what the network was pre-trained on.
        rate: its noise rate.
        network: in evaluation mode.
        check: held-out examples with clean labels or captions.
    """
    with torch.inference_mode():
        if isinstance(network, PairedNetwork):
            return {"retrieval_accuracy": _retrieval(network, check)}
        if isinstance(network, MaskedTokenNetwork):
            return {"masked_token_accuracy": _found(request, network, check)}
        given = request.examples._replace(labels=noisy_labels(request, rate))
        return {"noisy_label_fit": accuracy(network, given), "clean_accuracy": accuracy(network, check)}


def _retrieval(network: PairedNetwork, check: Examples) -> float:
    captions, own = np.unique(cast(Any, check.captions), axis=0, return_inverse=True)
    embedded = torch.cat([network.embed_captions(part) for part in torch.from_numpy(captions).split(_ROWS)])
    nearest = [(network.embed_pictures(batch) @ embedded.mT).argmax(1) for batch in batches(check.inputs)]
    return float((torch.cat(nearest) == torch.from_numpy(own.reshape(-1))).double().mean())


def _found(request: PretrainingRequest, network: MaskedTokenNetwork, check: Examples) -> float:
    generator = tensor_generator(request.seed, MASKS, _CHECK)
    right: list[Tensor] = []
    for tokens in batches(check.inputs):
        where = masked(tokens, request.vocabulary, request.config.mask_share, generator)
        logits = network(tokens.masked_fill(where, network.mask_token), where)
        right.append(logits.argmax(1) == tokens[where])
    return float(torch.cat(right).double().mean())
