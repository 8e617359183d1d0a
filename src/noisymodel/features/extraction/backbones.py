"""Backbones by name, with their own preprocessing: ``timm:``, ``open_clip:`` and ``hf:``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ...errors import InputFileError, MissingExtraError


class Backbone(NamedTuple):
    """A module, how raw samples become its inputs, and what it is called.

    ``transform`` maps one picture (PIL) to a tensor, for data sets with workers; None for text models. ``prepare`` maps
    a batch of texts or pictures to the module's keywords.
    """

    module: nn.Module
    transform: Callable[[Any], Tensor] | None
    prepare: Callable[[Sequence[Any]], Mapping[str, Tensor]]
    metadata: dict[str, Any]


def load_backbone(name: str, *, pretrained: bool = True, seed: int = 0) -> Backbone:
    """Load a backbone by name.

    - ``"timm:resnet50"``: without its classifier; pictures.
    - ``"open_clip:RN50/openai"`` (model/weights; without weights: ``openai`` where there are such): embeddings after
      the projection, of pictures and texts.
    - ``"hf:bert-base-uncased"``, or a folder after ``hf:``: `AutoModel`, texts or pictures as its processor is;
      of models with two towers the embeddings after the projection.

    Args:
        name: as above; what comes after the colon goes to the library, which downloads it where it must.
        pretrained: False: random weights, for tests.
        seed: for weights that the checkpoint does not hold. The global random state is left alone.

    Raises:
        MissingExtraError: the library is not installed.
        ValueError: for a name without one of the prefixes.
        InputFileError: the library cannot load it.
    """
    kind, _, rest = name.partition(":")
    loaders = {"timm": _timm, "open_clip": _open_clip, "hf": _hf}
    if kind not in loaders or not rest:
        raise ValueError(f"`backbone` must begin with timm:, open_clip: or hf:, got {name!r}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            return loaders[kind](rest, pretrained)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            told = " ".join(str(error).split())[:300]
            raise InputFileError(f"{name} cannot be loaded: {told}") from error


def imported(package: str, extra: str) -> Any:
    """The package, or a `MissingExtraError`; an error inside the package is its own."""
    try:
        return import_module(package)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra=extra, purpose=f"backbones of {package}") from None


def _described(name: str, transform: object, packages: Sequence[str]) -> dict[str, Any]:
    versions = {package: version(package) for package in (*packages, "torch", "noisymodel")}
    return {"backbone": name, "transform": " ".join(str(transform).split()), "versions": versions}


def _timm(name: str, pretrained: bool) -> Backbone:
    timm = imported("timm", "timm")
    module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    return Backbone(_Keyword(module), transform, _Pictures(transform), _described(f"timm:{name}", transform, ["timm"]))


def _open_clip(name: str, pretrained: bool) -> Backbone:
    open_clip = imported("open_clip", "open-clip")
    model, _, weights = name.partition("/")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained and not weights:
        if "openai" not in tags:
            raise ValueError(f"name the weights: open_clip:{model}/WEIGHTS, one of {', '.join(tags)}")
        weights = "openai"
    module, _, transform = open_clip.create_model_and_transforms(model, pretrained=weights if pretrained else None)
    prepare = _PicturesOrTexts(transform, open_clip.get_tokenizer(model))
    full = f"open_clip:{model}/{weights}" if weights else f"open_clip:{model}"
    return Backbone(_Encoder(module), transform, prepare, _described(full, transform, ["open_clip_torch"]))


def _hf(name: str, pretrained: bool) -> Backbone:
    transformers = imported("transformers", "hf")
    if pretrained:
        module, loaded = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
        missing = sorted(loaded["missing_keys"])
    else:
        module, missing = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(name)), []
    pictures = hasattr(module.config, "vision_config") or module.main_input_name == "pixel_values"
    texts = module.main_input_name == "input_ids"
    processor = transformers.AutoImageProcessor.from_pretrained(name) if pictures else None
    tokenizer = transformers.AutoTokenizer.from_pretrained(name) if texts else None
    metadata = _described(f"hf:{name}", type(processor or tokenizer).__name__, ["transformers"])
    if missing:
        metadata["random_weights"] = missing
    transform = None if processor is None else _OnePicture(processor)
    encoder = _Encoder(module) if hasattr(module, "get_image_features") else module
    return Backbone(encoder, transform, _Processed(processor, tokenizer), metadata)


class _Keyword(nn.Module):
    """A module of pictures that takes them by name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.module(pixel_values)


class _Encoder(nn.Module):
    """One of the two towers of a model of pictures and texts, with its projection."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixel_values: Tensor | None = None, input_ids: Tensor | None = None, **keywords: Any) -> Any:
        model = cast("Any", self.module)
        if hasattr(model, "encode_image"):
            return model.encode_text(input_ids) if pixel_values is None else model.encode_image(pixel_values)
        if pixel_values is None:
            return model.get_text_features(input_ids=input_ids, **keywords)
        return model.get_image_features(pixel_values=pixel_values, **keywords)


class _Pictures:
    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __call__(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        if isinstance(samples[0], str):
            raise TypeError("this backbone takes pictures, and the loader gives texts")
        return {"pixel_values": torch.stack([self.transform(picture.convert("RGB")) for picture in samples])}


class _PicturesOrTexts(_Pictures):
    def __init__(self, transform: Callable[[Any], Tensor], tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__(transform)
        self.tokenizer = tokenizer

    def __call__(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        if isinstance(samples[0], str):
            return {"input_ids": self.tokenizer(list(samples))}
        return super().__call__(samples)


class _OnePicture:
    """The transform of one picture, picklable for workers."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, picture: Any) -> Tensor:
        return self.processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]


class _Processed:
    def __init__(self, processor: Any, tokenizer: Any) -> None:
        self.processor, self.tokenizer = processor, tokenizer

    def __call__(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        if isinstance(samples[0], str):
            if self.tokenizer is None:
                raise TypeError("this backbone takes pictures, and the loader gives texts")
            return dict(self.tokenizer(list(samples), padding=True, truncation=True, return_tensors="pt"))
        if self.processor is None:
            raise TypeError("this backbone takes texts, and the loader gives pictures")
        return dict(self.processor([picture.convert("RGB") for picture in samples], return_tensors="pt"))
