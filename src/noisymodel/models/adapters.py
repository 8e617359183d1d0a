"""Models of timm, transformers and open_clip as backbones: (B, D) features of known width, nothing random in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .._checks import check_choice, check_integer
from ..features.extraction.extract import POOLINGS
from ..features.extraction.layers import OUTPUT, as_tensor, pooled
from ..features.extraction.weights import left_as_it_was
from .backbone import PooledBackbone, check_twice
from .clip_towers import before_projection, text_tower


def timm_backbone(model: nn.Module, *, example: Tensor | None = None) -> PooledBackbone:
    """A timm model without its classifier: the features that go into it, as ``forward_head(pre_logits=True)`` gives.

    The model is used as it is, with whatever classifier it has; ``num_classes=0`` is not needed. The width is
    ``head_hidden_size``, which for some models is not timm's ``num_features``.

    Args:
        model: of ``timm.create_model``.
        example: a batch of pictures (B, C, H, W) that is passed twice in evaluation mode, to see that the features
            are of that width and nothing in them is random.

    Raises:
        TypeError: for a module that is no timm model with a head.
        ValueError: the example's features are not what is expected.
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
    """A model of transformers (``AutoModel``) with its last hidden states pooled; the pooler's output is not used.

    It takes the model's own inputs, as keywords or in their order. The pooler, whose weights many checkpoints lack,
    gets no gradient.

    Args:
        model: an encoder or a decoder. Of models with two towers give one of them, ``model.vision_model``.
        pooling: ``"mean"`` over the tokens that ``attention_mask`` keeps, ``"cls"``: the first, ``"last"``: the last
            one that it keeps, wherever the padding is; (B, C, H, W) is averaged over H and W.
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
    """One tower of an open_clip model: embeddings after the projection, or what goes into it.

    The embeddings are not normalised. The backbone shares its weights with the model, and does not hold those of the
    other tower. It takes what the tower takes: pictures (B, C, H, W), or tokens (B, T).

    Args:
        model: of ``open_clip.create_model``.
        tower: ``"image"`` or ``"text"``.
        feature: ``"post_proj"``: after the projection into the space of both towers; ``"pre_proj"``: before it, which
            for ResNets means what goes into the last linear map of the attention pooling.
        example: a batch that is passed twice in evaluation mode, see `timm_backbone`; ``None``: one of zeros.

    Raises:
        TypeError: for a module without those towers.
        ValueError: for another ``tower`` or ``feature``, or a tower whose projection is not known.
    """
    check_choice(tower, "tower", ("image", "text"))
    check_choice(feature, "feature", ("pre_proj", "post_proj"))
    clip = cast("Any", model)
    if not hasattr(model, "visual") or not hasattr(model, "encode_text"):
        raise TypeError(f"`model` must be a model of open_clip with two towers, got {_name(model)}")
    module, method = (clip.visual, None) if tower == "image" else text_tower(clip)
    if feature == "pre_proj":
        module = before_projection(module)
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


def _clip_example(clip: Any, tower: str) -> Tensor:
    """One sample of zeros."""
    like = next(clip.parameters())
    if tower == "text":
        return torch.zeros(1, clip.context_length, dtype=torch.long, device=like.device)
    size = clip.visual.image_size
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return torch.zeros(1, 3, height, width, dtype=like.dtype, device=like.device)


def _width(config: Any) -> int:
    """The width of the last hidden states by a configuration of transformers."""
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
