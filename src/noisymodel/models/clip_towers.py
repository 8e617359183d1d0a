"""The separate towers of open_clip models, with and without their projection; weights are shared, not copied."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn


def text_tower(clip: Any) -> tuple[nn.Module, str | None]:
    """The text tower without the image weights, and the name of its embedding method (None: call the tower)."""
    if isinstance(getattr(clip, "text", None), nn.Module):
        return clip.text, None
    return _with(clip, visual=None, logit_scale=None, logit_bias=None), "encode_text"


def before_projection(tower: nn.Module) -> nn.Module:
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
