"""Backbones of sentence-transformers: ``st:NAME`` or a folder, as that library runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .backbones import Backbone, described, imported
from .huggingface import tokenizer_settings


def load_st(name: str, pretrained: bool, prompt: str | None) -> Backbone:
    """Load a model of sentence-transformers with all its modules: pooling, normalisation, projections and others."""
    if not pretrained:
        raise ValueError("st: has no random weights: `pretrained` must be True")
    library = imported("sentence_transformers", "st")
    model = library.SentenceTransformer(name, device="cpu")
    known = {key: text for key, text in model.prompts.items() if text}
    if prompt is not None and prompt not in model.prompts:
        raise ValueError(f"`prompt` must be one of {sorted(known)}, got {prompt!r}")
    chosen = model.default_prompt_name if prompt is None else prompt
    text = model.prompts.get(chosen) if chosen is not None else None
    told: dict[str, Any] = {"modules": [_described(part) for part in model]}
    told |= {"max_length": model.max_seq_length, "prompt": text or "", "truncate_dim": model.truncate_dim}
    tokenizer = getattr(model, "tokenizer", None)
    if hasattr(tokenizer, "special_tokens_map"):
        told |= tokenizer_settings(tokenizer)
    shown = name if Path(name).exists() or "/" in name else f"sentence-transformers/{name}"
    metadata = described(f"st:{shown}", told, ["sentence-transformers", "transformers"])
    return Backbone(Sentences(model), None, _Texts(model, text), metadata)


class Sentences(nn.Module):
    """A model of sentence-transformers that gives its embeddings (B, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **features: Any) -> Tensor:
        """The embeddings."""
        found = self.model(features)["sentence_embedding"]
        return found if self.model.truncate_dim is None else found[:, : self.model.truncate_dim]


class _Texts:
    def __init__(self, model: Any, prompt: str | None) -> None:
        self.model, self.prompt = model, prompt

    def __call__(self, samples: Sequence[Any]) -> dict[str, Any]:
        return dict(self.model.preprocess(list(samples), prompt=self.prompt))


def _described(part: Any) -> dict[str, Any]:
    config = part.get_config_dict() if hasattr(part, "get_config_dict") else {}
    return {"module": type(part).__name__, **{key: str(value) for key, value in config.items()}}
