"""Backbones by name, with their own preprocessing: `load_backbone`, and the loaders of timm and open_clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ...errors import InputFileError, MissingExtraError, import_extra
from .pooling_files import OwnPooling


class Backbone(NamedTuple):
    """A module, with the preprocessing of its raw samples and its metadata.

    ``transform`` maps one picture (PIL) to a tensor, for data sets with workers; None for text models. ``prepare`` maps
    a batch of texts or pictures to the module's keywords; None if the preprocessing is unknown. ``metadata`` is for a
    `FeatureStore`.
    """

    module: nn.Module
    transform: Callable[[Any], Tensor] | None
    prepare: Callable[[Sequence[Any]], Mapping[str, Tensor]] | None
    metadata: dict[str, Any]
    pooling: OwnPooling | None = None
    """The authors' pooling of tokens to one row; None if the model's files do not say."""
    complete: bool = False
    """Whether all weights are known to come from the checkpoint, none from a random draw."""


def load_backbone(name: str, *, pretrained: bool = True, seed: int = 0, prompt: str | None = None) -> Backbone:
    """Load a backbone by name.

    - ``"timm:resnet50"``: a picture model without its classifier.
    - ``"open_clip:RN50/openai"`` (model/weights; by default the weights ``openai``, if they exist): embeddings of
      pictures and texts, after the projection.
    - ``"hf:bert-base-uncased"``, or a folder after ``hf:``: an `AutoModel` for texts or pictures, as its processor
      says; models with two towers give the embeddings after the projection. If the folder has files of
      sentence-transformers, their pooling, normalisation, prompts and maximum length are used.
    - ``"st:all-MiniLM-L6-v2"``, or a folder: a model of sentence-transformers, as that library runs it.
    - ``"onnx:model.onnx"``: a network in a file, with the tokenizer or processor beside it, if there is one.

    Args:
        name: as above; the part after the colon goes to the library, which downloads the model if necessary.
        pretrained: False: random weights, for tests; ``timm``, ``open_clip`` and ``hf`` only.
        seed: for weights that the checkpoint does not hold. The global random state does not change.
        prompt: the name of one of the model's own prompts, such as ``"query"``; None: the model's default. Only some
            text models have prompts.

    Raises:
        MissingExtraError: the library is not installed.
        ValueError: for a name without one of the prefixes.
        InputFileError: the library cannot load the model, for example because a file of weights is damaged.
    """
    kind, _, rest = name.partition(":")
    if kind not in _LOADERS or not rest:
        raise ValueError(f"`backbone` must begin with timm:, open_clip:, hf:, st: or onnx:, got {name!r}")
    load: Callable[..., Backbone] = getattr(import_module(_LOADERS[kind], __package__), f"load_{kind}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            return load(rest, pretrained, prompt)
        except (MissingExtraError, InputFileError):
            raise
        except Exception as error:  # whatever a library raises for a damaged file
            told = " ".join(str(error).split())[:300]
            raise InputFileError(f"{name} cannot be loaded: {told or type(error).__name__}") from error


_LOADERS = {"timm": ".backbones", "open_clip": ".backbones", "hf": ".huggingface", "st": ".sentences", "onnx": ".onnx"}


def refuse_prompt(prompt: str | None) -> None:
    """Raise for a prompt, for models without prompts."""
    if prompt is not None:
        raise ValueError(f"`prompt` {prompt!r} was asked for, and the model has no prompts")


def imported(package: str, extra: str) -> Any:
    """Import the package, or raise a `MissingExtraError`; an error inside the package is not changed."""
    return import_extra(package, extra=extra, purpose=f"backbones of {package}")


def described(name: str, transform: object, packages: Sequence[str]) -> dict[str, Any]:
    """The metadata of a backbone in a store: its name, its preprocessing, and the versions of its libraries."""
    versions = {package: version(package) for package in (*packages, "torch", "noisymodel")}
    return {"backbone": name, "transform": transform, "versions": versions}


def load_timm(name: str, pretrained: bool, prompt: str | None) -> Backbone:
    """A model of timm, without its classifier."""
    refuse_prompt(prompt)
    timm = imported("timm", "timm")
    module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    metadata = described(f"timm:{name}", _one_line(transform), ["timm"])
    return Backbone(_Keyword(module), transform, _Pictures(transform), metadata, complete=not pretrained)


def load_open_clip(name: str, pretrained: bool, prompt: str | None) -> Backbone:
    """Both towers of a model of open_clip."""
    refuse_prompt(prompt)
    open_clip = imported("open_clip", "open-clip")
    model, _, weights = name.partition("/")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained and not weights:
        if "openai" not in tags:
            raise ValueError(f"name the weights: open_clip:{model}/WEIGHTS, one of {', '.join(tags)}")
        weights = "openai"
    module, _, transform = open_clip.create_model_and_transforms(model, pretrained=weights if pretrained else None)
    prepare = _Pictures(transform, open_clip.get_tokenizer(model))
    full = f"open_clip:{model}/{weights}" if weights else f"open_clip:{model}"
    told = {"pictures": _one_line(transform), "max_length": getattr(module, "context_length", None)}
    metadata = described(full, told, ["open_clip_torch"])
    return Backbone(Encoder(module), transform, prepare, metadata, complete=not pretrained)


def _one_line(transform: object) -> str:
    return " ".join(str(transform).split())


class _Keyword(nn.Module):
    """A wrapper that takes the pictures of a module by keyword."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.module(pixel_values)


class Encoder(nn.Module):
    """One of the two towers of a model of pictures and texts, with its projection."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixel_values: Tensor | None = None, input_ids: Tensor | None = None, **keywords: Any) -> Any:
        """Embed pictures or texts."""
        model = cast("Any", self.module)
        if hasattr(model, "encode_image"):
            return model.encode_text(input_ids) if pixel_values is None else model.encode_image(pixel_values)
        if pixel_values is None:
            return model.get_text_features(input_ids=input_ids, **keywords)
        return model.get_image_features(pixel_values=pixel_values, **keywords)


class _Pictures:
    """The preprocessing of pictures, and of texts where there is a tokenizer."""

    def __init__(
        self, transform: Callable[[Any], Tensor], tokenizer: Callable[[list[str]], Tensor] | None = None
    ) -> None:
        self.transform, self.tokenizer = transform, tokenizer

    def __call__(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        if not isinstance(samples[0], str):
            return {"pixel_values": torch.stack([self.transform(picture.convert("RGB")) for picture in samples])}
        if self.tokenizer is None:
            raise TypeError("this backbone takes pictures, and the loader gives texts")
        return {"input_ids": self.tokenizer(list(samples))}
