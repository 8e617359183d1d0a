"""Folders of models, as sentence-transformers lays them out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def with_sentence_files(
    source: Path,
    folder: Path,
    rules: list[str],
    *,
    normalize: bool = True,
    max_length: int = 16,
    more: list[str] | None = None,
    width: int = 16,
    **config: Any,
) -> Path:
    """A copy of a model's folder, with the files that sentence-transformers lays beside it."""
    shutil.copytree(source, folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else []), *(more or [])]
    paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling: dict[str, Any] = {f"pooling_mode_{name}": name in rules for name in names}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    files = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": width, **pooling},
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": config,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder
