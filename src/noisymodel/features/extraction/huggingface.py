"""Backbones of transformers: ``hf:NAME`` or a folder, with tokenizer or processor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from .backbones import Backbone, Encoder, described, imported, refuse_prompt
from .pooling_files import OwnPooling, own_pooling

_NO_LIMIT = 10**6  # tokenizers without a maximum length give a far larger one


def load_hf(name: str, pretrained: bool, prompt: str | None) -> Backbone:
    """Load an `AutoModel` with its tokenizer or processor, and its pooling files."""
    transformers = imported("transformers", "hf")
    if pretrained:
        module, loaded = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
        missing = sorted(loaded["missing_keys"])
    else:
        module, missing = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(name)), []
    pictures = hasattr(module.config, "vision_config") or module.main_input_name == "pixel_values"
    texts = module.main_input_name == "input_ids"
    prepare = preprocessing(name, module.config, prompt, texts=texts, pictures=pictures)
    metadata = described(f"hf:{name}", prepare.described(), ["transformers", "tokenizers"])
    if missing:
        metadata["random_weights"] = missing
    encoder = Encoder(module) if hasattr(module, "get_image_features") else module
    return Backbone(encoder, prepare.transform, prepare, metadata, prepare.own, complete=not missing)


def preprocessing(name: str | Path, config: Any, prompt: str | None, *, texts: bool, pictures: bool) -> Processed:
    """The preprocessing that the files of a model describe, of texts, pictures or both."""
    transformers = imported("transformers", "hf")
    processor = transformers.AutoImageProcessor.from_pretrained(name) if pictures else None
    tokenizer = transformers.AutoTokenizer.from_pretrained(name) if texts else None
    own = own_pooling(str(name)) if texts and not pictures else None
    if own is None:
        refuse_prompt(prompt)
    limit = longest(tokenizer, config, own) if tokenizer is not None else None
    return Processed(processor, tokenizer, limit, own, prompt)


def longest(tokenizer: Any, config: Any, own: OwnPooling | None) -> int | None:
    """The most tokens of a text: from the model's files, else the limit of the tokenizer and the model."""
    if own is not None and own.max_length:
        return int(own.max_length)
    known = [tokenizer.model_max_length]
    if getattr(config, "pad_token_id", None) in (None, 0):  # others, such as RoBERTa, count from there
        known.append(getattr(config, "max_position_embeddings", None))
    small = [int(limit) for limit in known if isinstance(limit, int | float) and 0 < limit < _NO_LIMIT]
    return min(small, default=None)


def tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    """The tokenizer's settings that decide a text's tokens: class, side, and a hash of vocabulary and rules."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    held: dict[str, Any] = json.loads(backend.to_str()) if backend is not None else {"vocab": tokenizer.get_vocab()}
    for state in ("padding", "truncation"):  # they hold the settings of the last call
        held.pop(state, None)
    text = json.dumps(
        [held, {name: str(token) for name, token in tokenizer.special_tokens_map.items()}], sort_keys=True
    )
    return {
        "tokenizer": type(tokenizer).__name__,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
    }


class Processed:
    """The preprocessing from texts or pictures to a model's keywords."""

    def __init__(
        self, processor: Any, tokenizer: Any, max_length: int | None, own: OwnPooling | None, prompt: str | None
    ) -> None:
        self.processor, self.tokenizer, self.max_length = processor, tokenizer, max_length
        self.own = own
        self.prompt = "" if own is None else own.prompt(prompt)
        self.lower_case = own is not None and own.lower_case

    @property
    def transform(self) -> Callable[[Any], Tensor] | None:
        """The transform of one picture; None for models of texts alone."""
        return None if self.processor is None else self._of_picture

    def _of_picture(self, picture: Any) -> Tensor:
        return self.processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]

    def described(self) -> dict[str, Any]:
        """All settings, for a store's metadata."""
        found: dict[str, Any] = {}
        if self.tokenizer is not None:
            found |= tokenizer_settings(self.tokenizer)
            found |= {"max_length": self.max_length, "prompt": self.prompt, "lower_case": self.lower_case}
        if self.processor is not None:  # they include size, interpolation, mean and deviation
            found |= json.loads(json.dumps(self.processor.to_dict(), default=str))
        return found

    def __call__(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """The keywords of a batch."""
        if isinstance(samples[0], str):
            if self.tokenizer is None:
                raise TypeError("this backbone takes pictures, and the loader gives texts")
            texts = [self.prompt + (text.lower() if self.lower_case else text) for text in samples]
            cut = {"truncation": self.max_length is not None, "max_length": self.max_length}
            return dict(self.tokenizer(texts, padding=True, return_tensors="pt", **cut))
        if self.processor is None:
            raise TypeError("this backbone takes texts, and the loader gives pictures")
        return dict(self.processor([picture.convert("RGB") for picture in samples], return_tensors="pt"))
