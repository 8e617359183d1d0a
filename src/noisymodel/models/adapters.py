"""Models of timm, transformers and open_clip as backbones: deterministic features (B, D) of known width."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .._checks import check_choice, check_integer
from ..features.extraction.extract import POOLINGS
from ..features.extraction.layers import OUTPUT, as_tensor, pooled
from ..features.extraction.weights import left_as_it_was
from .backbone import PooledBackbone, check_twice


def timm_backbone(model: nn.Module, *, example: Tensor | None = None) -> PooledBackbone:
    """A timm model without its classifier: it returns the classifier's input, ``forward_head(pre_logits=True)``.

    The model may have any classifier; ``num_classes=0`` is not needed. The width is ``head_hidden_size``, which for
    some models differs from timm's ``num_features``.

    Args:
        model: a model of ``timm.create_model``.
        example: a batch of pictures (B, C, H, W) that is passed twice in evaluation mode, to check the width of the
            features and that they are deterministic.

    Raises:
        TypeError: for a module that is not a timm model with a head.
        ValueError: the example's features have another width, or differ between the two passes.
    """
    if not callable(getattr(model, "forward_features", None)) or not callable(getattr(model, "forward_head", None)):
        raise TypeError(f"`model` must be a timm model with forward_features and forward_head, got {_name(model)}")
    backbone = _TimmBackbone(cast("Any", model)).freeze_unused()
    check_twice(backbone, example)
    return backbone


def transformers_backbone(
    model: nn.Module,
    *,
    pooling: str = "mean",
    num_features: int | None = None,
    example: Mapping[str, Any] | None = None,
) -> PooledBackbone:
    """A model of transformers (``AutoModel``) whose last hidden states are pooled; the pooler's output is not used.

    It takes the model's own inputs, as keywords or by position. The pooler gets no gradient; many checkpoints lack its
    weights.

    Args:
        model: an encoder or a decoder. For a model with two towers give one tower, such as ``model.vision_model``.
        pooling: ``"mean"`` over the tokens that ``attention_mask`` keeps, ``"cls"`` (the first token), or ``"last"``
            (the last token that the mask keeps, wherever the padding is); (B, C, H, W) is averaged over H and W.
        num_features: the width; ``None``: that of the configuration.
        example: inputs that are passed twice in evaluation mode, see `timm_backbone`.

    Raises:
        TypeError: for a module without a configuration.
        ValueError: for a model with two towers, or a width that the configuration does not name.
    """
    check_choice(pooling, "pooling", POOLINGS)
    config = getattr(model, "config", None)
    if config is None:
        raise TypeError(f"`model` must be a model of transformers with a config, got {_name(model)}")
    if isinstance(getattr(model, "vision_model", None), nn.Module) and hasattr(model, "text_model"):
        raise ValueError("`model` has two towers: give model.vision_model or model.text_model")
    width = _width(config) if num_features is None else check_integer(num_features, "num_features", minimum=1)
    backbone = _TransformersBackbone(model, pooling, width).freeze_unused()
    check_twice(backbone, example)
    return backbone


def open_clip_backbone(
    model: nn.Module,
    *,
    tower: str = "image",
    feature: str = "post_proj",
    example: Tensor | None = None,
) -> PooledBackbone:
    """One tower of an open_clip model, with the embeddings after or before its projection.

    The embeddings are not normalised. The backbone shares its weights with the model, and does not hold the weights of
    the other tower. Its inputs are those of the tower: pictures (B, C, H, W), or tokens (B, T).

    Args:
        model: a model of ``open_clip.create_model``.
        tower: ``"image"`` or ``"text"``.
        feature: ``"post_proj"``: after the projection into the common space of both towers; ``"pre_proj"``: before the
            projection (for ResNets the input of the last linear map in the attention pooling).
        example: a batch that is passed twice in evaluation mode, see `timm_backbone`; ``None``: a batch of zeros.

    Raises:
        TypeError: for a module without these towers.
        ValueError: for another ``tower`` or ``feature``, or a tower whose projection is unknown.
    """
    check_choice(tower, "tower", ("image", "text"))
    check_choice(feature, "feature", ("pre_proj", "post_proj"))
    clip = cast("Any", model)
    if not hasattr(model, "visual") or not hasattr(model, "encode_text"):
        raise TypeError(f"`model` must be a model of open_clip with two towers, got {_name(model)}")
    module, method = (clip.visual, None) if tower == "image" else _text_tower(clip)
    if feature == "pre_proj":
        module = _before_projection(module)
    if example is None:
        example = _clip_example(clip, tower)
    with torch.no_grad(), left_as_it_was(module, None):
        width = _embedded(module, method, example).shape[-1]
    backbone = _OpenClipBackbone(module, method, width)
    check_twice(backbone, example)
    return backbone


class _TimmBackbone(PooledBackbone):
    def __init__(self, model: Any) -> None:
        width = getattr(model, "head_hidden_size", None) or model.num_features
        super().__init__(width)
        self.model = model
        classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
        self.unused = tuple(
            name for name, part in self.named_modules() if part is classifier and any(True for _ in part.parameters())
        )

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, D) of pictures (B, C, H, W)."""
        return self.checked(self.model.forward_head(self.model.forward_features(pixel_values), pre_logits=True))


class _TransformersBackbone(PooledBackbone):
    def __init__(self, model: nn.Module, pooling: str, num_features: int) -> None:
        pooler = isinstance(getattr(model, "pooler", None), nn.Module)
        super().__init__(num_features, ["model.pooler"] if pooler else [])
        self.model, self.pooling = model, pooling

    def forward(self, *inputs: Any, **keywords: Any) -> Tensor:
        """(B, D) of the model's own inputs."""
        hidden = as_tensor(self.model(*inputs, **keywords), OUTPUT)
        return self.checked(pooled(hidden, self.pooling, keywords.get("attention_mask"), OUTPUT))


class _OpenClipBackbone(PooledBackbone):
    def __init__(self, tower: nn.Module, method: str | None, num_features: int) -> None:
        super().__init__(num_features)
        self.tower, self.method = tower, method

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, D) of pictures (B, C, H, W) or tokens (B, T)."""
        return self.checked(_embedded(self.tower, self.method, inputs))


def _embedded(tower: nn.Module, method: str | None, inputs: Tensor) -> Tensor:
    return as_tensor(tower(inputs) if method is None else getattr(tower, method)(inputs), OUTPUT)


def _text_tower(clip: Any) -> tuple[nn.Module, str | None]:
    """The text tower without the image weights, and the name of its embedding method (None: call the tower)."""
    if isinstance(getattr(clip, "text", None), nn.Module):
        return clip.text, None
    return _with(clip, visual=None, logit_scale=None, logit_bias=None), "encode_text"


def _before_projection(tower: nn.Module) -> nn.Module:
    """The tower without its projection.

    Raises:
        ValueError: for a tower whose projection is unknown.
    """
    parts = cast("Any", tower)
    if isinstance(getattr(tower, "attnpool", None), nn.Module):
        return _with(tower, attnpool=_with(parts.attnpool, c_proj=_Unchanged(parts.attnpool.c_proj.in_features)))
    head = dict(parts.head.named_children()) if isinstance(getattr(tower, "trunk", None), nn.Module) else {}
    if head.keys() & {"proj", "mlp"} and "pool" not in head:
        return _with(tower, head=nn.Identity())
    for name in ("proj", "text_projection"):
        if hasattr(tower, name):
            named = name == "proj" and isinstance(parts.proj, nn.Module)
            return _with(tower, **{name: nn.Identity() if named else None})
    raise ValueError(
        f"`feature` 'pre_proj' is not known for {type(tower).__name__}: give `TunedModel` the tower and a `layer`"
    )


class _Unchanged(nn.Module):
    """An identity that replaces the last linear map of attention pooling."""

    weight: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(width), persistent=False)
        self.bias = None


def _with(module: nn.Module, **parts: object) -> nn.Module:
    """A shallow copy of a module with some parts replaced; it shares all other parameters and submodules."""
    twin = copy.copy(module)
    for held in ("_parameters", "_buffers", "_modules"):
        vars(twin)[held] = dict(vars(module)[held])
    for name, part in parts.items():
        if hasattr(module, name):
            setattr(twin, name, part)
    return twin


def _clip_example(clip: Any, tower: str) -> Tensor:
    """One sample of zeros."""
    like = next(clip.parameters())
    if tower == "text":
        return torch.zeros(1, clip.context_length, dtype=torch.long, device=like.device)
    size = clip.visual.image_size
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return torch.zeros(1, 3, height, width, dtype=like.dtype, device=like.device)


def _width(config: Any) -> int:
    """The width of the last hidden states, from a configuration of transformers."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    for part in (config, text):
        for name in ("hidden_size", "d_model"):
            if isinstance(getattr(part, name, None), int):
                return getattr(part, name)
        sizes = getattr(part, "hidden_sizes", None)
        if sizes:
            return int(sizes[-1])
    raise ValueError(f"`num_features` must be given: {type(config).__name__} does not name the width")


def _name(model: object) -> str:
    return type(model).__name__
