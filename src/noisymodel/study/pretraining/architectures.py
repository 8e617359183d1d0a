"""The network of a request at its initial values, which follow from its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from ..._random import seeded, tensor_generator
from ...errors import ConfigError
from ...heads.network import classifier
from ..config import PretrainingConfig
from .batched import small_mlp
from .libraries import open_clip_network, timm_body, transformers_pictures, transformers_texts
from .network import Body, ClassifyingNetwork, MaskedTokenNetwork, Network, PairedNetwork
from .pictures import SmallVisionTransformer, small_resnet
from .request import INITIALISATION, PretrainingRequest
from .texts import SmallTransformer


def untrained(request: PretrainingRequest) -> Network:
    """A network for the request's objective; every noise rate starts from it.

    Raises:
        ConfigError: an architecture that is unknown here or to its library, or that does not fit the inputs.
        MissingExtraError: the library is not installed.
    """
    config = request.config
    shape = picture_shape(request.examples.inputs.shape)
    generator = tensor_generator(request.seed, INITIALISATION)
    with seeded(generator.initial_seed()):  # layers of torch and of the libraries draw from its global generator
        if request.architecture.startswith("open_clip:"):
            return _open_clip(request, shape)
        body = _text_body(request) if request.texts else _picture_body(request, shape, generator)
        if request.objective == "masked_token":
            return MaskedTokenNetwork(body, request.vocabulary)
        if request.objective == "contrastive":
            return _paired(request, body)
        return ClassifyingNetwork(
            body, classifier(body.num_features, request.classes, config.classifier_init, generator)
        )


def picture_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(C, H, W) of inputs ``(n, H, W)`` or ``(n, C, H, W)``."""
    return (1, *shape[1:]) if len(shape) == 3 else tuple(shape[1:])


def _picture_body(request: PretrainingRequest, shape: tuple[int, ...], generator: torch.Generator) -> Body:
    architecture, config = request.architecture, request.config
    library, _, name = architecture.partition(":")
    rows = math.prod(shape)
    if architecture == "mlp":
        return small_mlp(rows, config.widths, generator)
    if architecture == "resnet":
        widths = config.resnet_widths
        return Body("-".join(["resnet", *map(str, widths)]), small_resnet(shape, widths), rows, widths[-1])
    if architecture == "vit":
        width, depth, patch = config.transformer_width, config.transformer_depth, config.patch_size
        module = SmallVisionTransformer(shape, patch=patch, width=width, depth=depth, heads=config.transformer_heads)
        return Body(f"vit-{patch}-{width}x{depth}", module, rows, width)
    if library == "timm":
        return timm_body(name, shape, config.image_size)
    if library == "transformers":
        return transformers_pictures(name, shape, config.image_size)
    raise ConfigError(f"config key `architectures`: {architecture!r} is not for pictures")


def _text_body(request: PretrainingRequest) -> Body:
    """The backbone of texts; it has one token more than the vocabulary, for masked tokens."""
    library, _, name = request.architecture.partition(":")
    length, tokens = request.examples.inputs.shape[1], request.vocabulary + 1
    if request.architecture == "transformer":
        width, depth = request.config.transformer_width, request.config.transformer_depth
        return Body(f"transformer-{width}x{depth}", _transformer(tokens, length, request.config), length, width)
    if library == "transformers":
        return transformers_texts(name, tokens, length)
    raise ConfigError(f"config key `architectures`: {request.architecture!r} is not for texts")


def _transformer(tokens: int, length: int, config: PretrainingConfig) -> SmallTransformer:
    return SmallTransformer(
        tokens, length, width=config.transformer_width, depth=config.transformer_depth, heads=config.transformer_heads
    )


def _paired(request: PretrainingRequest, body: Body) -> PairedNetwork:
    """Any backbone of pictures with a small transformer of captions."""
    config = request.config
    length = 0 if request.examples.captions is None else request.examples.captions.shape[1]
    captions = _transformer(request.vocabulary, length, config)
    projections = (
        nn.Linear(body.num_features, config.embedding, bias=False),
        nn.Linear(config.transformer_width, config.embedding, bias=False),
    )
    return PairedNetwork(body, captions, projections, config.temperature)


def _open_clip(request: PretrainingRequest, shape: tuple[int, ...]) -> PairedNetwork:
    name = request.architecture.partition(":")[2]
    body, captions = open_clip_network(name, shape, request.config.image_size, request.vocabulary)
    return PairedNetwork(body, captions, (nn.Identity(), nn.Identity()), request.config.temperature)
