"""Models of timm, transformers and open_clip without their weights, as backbones of a study's inputs.

Pictures in [0, 1] with one channel are repeated to three. They are resized to the model's size (bilinear, with
antialiasing when shrunk), and normalised with the means and deviations of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import ConfigError, import_extra
from ...models import open_clip_backbone, timm_backbone, transformers_backbone
from .network import Body
from .texts import mean_of_tokens

_SMALLEST = 32
"""Size in pixels of pictures for models that accept every size: most models halve it five times."""


class Prepared(nn.Module):
    """The preparation of rows ``(n, C·H·W)`` of pictures in [0, 1] for a model."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, shape: Sequence[int], size: Sequence[int], channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.shape, self.size, self.channels = tuple(shape), tuple(size), channels
        if shape[0] not in (1, channels):
            raise ConfigError(f"config key `architectures`: the model takes {channels} channels, not {shape[0]}")
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """``(n, channels, *size)``."""
        pictures = rows.unflatten(1, self.shape)
        if self.shape[1:] != self.size:
            pictures = nn.functional.interpolate(
                pictures, self.size, mode="bilinear", antialias=True, align_corners=False
            )
        return (pictures.expand(-1, self.channels, -1, -1) - self.mean) / self.std


def timm_body(name: str, shape: Sequence[int], image_size: int) -> Body:
    """A timm model with random weights, without its classifier.

    Raises:
        ConfigError: timm has no such model, or cannot make it for that size.
        MissingExtraError: timm is not installed.
    """
    timm = import_extra("timm", extra="timm", purpose="pre-training models of timm")
    try:
        known: Any = timm.models.get_pretrained_cfg(name)
        fixed = bool(getattr(known, "fixed_input_size", False))
        own = known.input_size[1:] if fixed else [max(side, _SMALLEST) for side in shape[1:]]
        size = (image_size, image_size) if image_size else tuple(own)
        sized = {"img_size": size} if fixed and image_size else {}
        model = timm.create_model(name, pretrained=False, num_classes=0, **sized)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise _unknown("timm", name, error) from error
    mean, std = model.pretrained_cfg.get("mean", (0.5,) * 3), model.pretrained_cfg.get("std", (0.5,) * 3)
    backbone = timm_backbone(model)
    module = nn.Sequential(Prepared(shape, size, 3, mean, std), backbone)
    return Body(f"timm:{name}", module, math.prod(shape), backbone.num_features)


def transformers_pictures(name: str, shape: Sequence[int], image_size: int) -> Body:
    """A model of transformers for pictures, from a configuration; its last hidden states are averaged.

    Raises:
        ConfigError: no such configuration, or one of another kind of model.
        MissingExtraError: transformers is not installed.
    """
    config = transformers_configuration(name)
    if image_size and hasattr(config, "image_size"):
        config.image_size = image_size
    wanted = getattr(config, "image_size", None) or image_size
    size = (wanted, wanted) if isinstance(wanted, int) and wanted else wanted
    model = _model(name, config, "pixel_values", "pictures")
    backbone = transformers_backbone(model)
    channels = getattr(config, "num_channels", 3)
    fitting = size or [max(side, _SMALLEST) for side in shape[1:]]
    prepared = Prepared(shape, fitting, channels, [0.5] * channels, [0.5] * channels)
    return Body(f"transformers:{name}", nn.Sequential(prepared, backbone), math.prod(shape), backbone.num_features)


class _Texts(nn.Module):
    """A model of transformers with token ids, 0 being padding."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def states(self, tokens: Tensor) -> Tensor:
        """``(n, L, width)``."""
        ids = tokens.long()
        return self.model(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state

    def forward(self, rows: Tensor) -> Tensor:
        return mean_of_tokens(self.states(rows), rows.long())


def transformers_texts(name: str, tokens: int, length: int) -> Body:
    """A model of transformers for texts, from a configuration whose vocabulary size is replaced by that of the data.

    Raises:
        ConfigError: no such configuration, one of another kind of model, or one for shorter texts.
        MissingExtraError: transformers is not installed.
    """
    config = transformers_configuration(name)
    longest = getattr(config, "max_position_embeddings", None)
    if isinstance(longest, int) and 0 < longest < length:
        raise ConfigError(f"config key `architectures`: {name} takes {longest} tokens, and the texts have {length}")
    config.vocab_size, config.pad_token_id = tokens, 0
    for special in ("bos", "eos", "sep", "cls", "decoder_start"):
        if isinstance(getattr(config, f"{special}_token_id", None), int):
            setattr(config, f"{special}_token_id", None)
    model = _model(name, config, "input_ids", "texts")
    return Body(f"transformers:{name}", _Texts(model), length, transformers_backbone(model).num_features)


def transformers_configuration(name: str, *, local: bool = False) -> Any:
    """The configuration in a folder, or of a name on the Hub; remote code is never run.

    Args:
        name: the folder or name.
        local: whether to forbid requests.

    Raises:
        ConfigError: there is no configuration, or it needs remote code.
        MissingExtraError: transformers is not installed.
    """
    transformers = import_extra("transformers", extra="hf", purpose="pre-training models of transformers")
    local = local or Path(name).is_dir()
    try:
        found = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, local_files_only=local)
    except (OSError, ValueError, KeyError) as error:
        raise _unknown("transformers", name, error) from error
    if getattr(found, "auto_map", None):
        raise ConfigError(
            f"config key `architectures`: transformers:{name} brings code of its own (`auto_map`), which is not run: "
            "expected a model that transformers itself has"
        )
    return found


def _model(name: str, config: Any, takes: str, what: str) -> nn.Module:
    try:
        model = import_module("transformers").AutoModel.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unknown("transformers", name, error) from error
    if model.main_input_name != takes:
        raise ConfigError(
            f"config key `architectures`: transformers:{name} is a {type(model).__name__}, which is not for {what}"
        )
    return model


class _Captions(nn.Module):
    """The text tower of an open_clip model for a study's token ids, which are its first ones.

    A caption becomes start, its tokens, end; the rest is padding, 0. Start and end are the last ids of the model's
    vocabulary, as in CLIP's own tokenizer; what does not fit is cut off.
    """

    def __init__(self, tower: nn.Module, context: int, vocabulary: int) -> None:
        super().__init__()
        self.tower, self.context, self.vocabulary = tower, context, vocabulary

    def forward(self, captions: Tensor) -> Tensor:
        kept = captions[:, : self.context - 2]
        ids = captions.new_zeros(len(captions), self.context)
        ids[:, 0] = self.vocabulary - 2
        ids[:, 1 : kept.shape[1] + 1] = kept
        ends = (kept != 0).sum(1) + 1
        return self.tower(ids.scatter(1, ends[:, None], self.vocabulary - 1))


def open_clip_network(name: str, shape: Sequence[int], image_size: int, vocabulary: int) -> tuple[Body, nn.Module]:
    """The towers of an open_clip model from random values, projections included.

    Raises:
        ConfigError: open_clip has no such model, or its vocabulary is smaller than the data's.
        MissingExtraError: open_clip is not installed.
    """
    open_clip = import_extra("open_clip", extra="open-clip", purpose="pre-training models of open_clip")
    sized = {"force_image_size": image_size} if image_size else {}
    try:
        model: Any = open_clip.create_model(name, **sized)
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise _unknown("open_clip", name, error) from error
    held = int(getattr(model, "vocab_size", 0) or model.text.vocab_size)
    if vocabulary > held - 2:
        raise ConfigError(f"config key `architectures`: open_clip:{name} has {held} tokens, and the data {vocabulary}")
    side = model.visual.image_size
    size = (side, side) if isinstance(side, int) else tuple(side)
    mean, std = (getattr(model.visual, f"image_{key}", None) or (0.5,) * 3 for key in ("mean", "std"))
    images, texts = (open_clip_backbone(model, tower=tower) for tower in ("image", "text"))
    prepared = Prepared(shape, size, 3, mean, std)
    body = Body(f"open_clip:{name}", nn.Sequential(prepared, images), math.prod(shape), images.num_features)
    return body, _Captions(texts, int(model.context_length), held)


def _unknown(library: str, name: str, error: Exception) -> ConfigError:
    told = " ".join(str(cast(object, error)).split())[:300]
    return ConfigError(f"config key `architectures`: {library}:{name} cannot be made: {told}")
