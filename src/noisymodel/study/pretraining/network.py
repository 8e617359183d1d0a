"""Pre-trained networks: a backbone for features, with the layers that its objective needs on top."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..data import as_rows

_HOTTEST = math.log(100.0)


class Body(NamedTuple):
    """A backbone with its properties."""

    name: str
    backbone: nn.Module
    num_inputs: int
    num_features: int


class Network(nn.Module):
    """A backbone; a study tunes classifiers on its features, or the backbone itself.

    ``backbone`` maps rows ``(n, num_inputs)`` of flattened inputs (token ids as float32) to features
    ``(n, num_features)``. Subclasses add the layers that the pre-training objective needs. ``name`` is the entry in the
    column ``architecture`` of a study's results.
    """

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.name = body.name
        self.num_inputs = body.num_inputs
        self.num_features = body.num_features
        self.backbone = body.backbone

    def features(self, inputs: Tensor) -> Tensor:
        """Features ``(n, num_features)`` of inputs ``(n, ...)``."""
        return self.backbone(as_rows(inputs))


class ClassifyingNetwork(Network):
    """Inputs to logits: the backbone, and a linear classifier."""

    def __init__(self, body: Body, classifier: nn.Linear) -> None:
        super().__init__(body)
        self.classifier = classifier

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``(n, classes)``."""
        return self.classifier(self.features(inputs))


class Embeddings(NamedTuple):
    """Embeddings of pairs, all of length one, and the factor of their cosines."""

    pictures: Tensor
    captions: Tensor
    scale: Tensor


class PairedNetwork(Network):
    """Pictures and captions to a common space: the backbone and an encoder of captions, each with a projection.

    The cosines are multiplied by exp(``log_scale``), a parameter, at most 100.
    """

    def __init__(
        self, body: Body, captions: nn.Module, projections: tuple[nn.Module, nn.Module], temperature: float
    ) -> None:
        super().__init__(body)
        self.projection, self.caption_projection = projections
        self.captions = captions
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, inputs: Tensor, captions: Tensor) -> Embeddings:
        """Embeddings ``(n, E)`` of pictures and of token ids ``(n, L)``."""
        scale = self.log_scale.clamp(max=_HOTTEST).exp()
        return Embeddings(self.embed_pictures(inputs), self.embed_captions(captions), scale)

    def embed_pictures(self, inputs: Tensor) -> Tensor:
        """``(n, E)``, rows of length one."""
        return nn.functional.normalize(self.projection(self.features(inputs)), dim=1)

    def embed_captions(self, captions: Tensor) -> Tensor:
        """``(n, E)``, rows of length one."""
        return nn.functional.normalize(self.caption_projection(self.captions(captions)), dim=1)


class MaskedTokenNetwork(Network):
    """From texts to logits of their tokens: the backbone's states, and a linear decoder.

    The mask token has the id ``vocabulary``.
    """

    def __init__(self, body: Body, vocabulary: int) -> None:
        super().__init__(body)
        self.mask_token = vocabulary
        self.decoder = nn.Linear(body.num_features, vocabulary)

    def forward(self, tokens: Tensor, where: Tensor) -> Tensor:
        """Logits ``(m, vocabulary)`` of the ``m`` places ``where`` is True in token ids ``(n, L)``."""
        return self.decoder(cast(Any, self.backbone).states(tokens)[where])


class Pretrained(NamedTuple):
    """Networks of one shape that were pre-trained on the same inputs, one for each noise rate."""

    network: Network
    """The shape; its own parameters are the common initial values."""
    states: tuple[Mapping[str, Tensor], ...]
    """A state dictionary per network."""

    def one(self, index: int) -> Network:
        """Network ``index`` in evaluation mode, its parameters frozen."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(dict(self.states[index]))
        return network.eval().requires_grad_(False)
