"""Requests small enough to be trained in a moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisymodel.study import PretrainingConfig
from noisymodel.study.data import Examples
from noisymodel.study.pretraining import PretrainingRequest

CLASSES, VOCABULARY, LENGTH, SIDE = 3, 9, 5, 8
SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "widths": (12, 6),
    "resnet_widths": (4, 6),
    "transformer_width": 8,
    "transformer_depth": 1,
    "transformer_heads": 2,
    "embedding": 5,
    "mask_share": 0.4,
}


def pictures(count: int = 20, seed: int = 0, *, channels: int = 0) -> Examples:
    """Class k is bright in rows of its own; two-token captions name the class and a coin's side."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = generator.random((count, SIDE, SIDE), dtype=np.float32) * 0.5
    for label in range(CLASSES):
        images[labels == label, 2 * label : 2 * label + 2] += 0.5
    coins = generator.integers(2, size=count)
    captions = np.stack([labels + 1, coins + 4, np.zeros_like(labels)], axis=1)
    if channels:
        images = np.repeat(images[:, None], channels, axis=1)
    return Examples(images, labels, captions)


def texts(count: int = 20, seed: int = 0) -> Examples:
    """Each text counts upwards from its first token; some end early."""
    generator = np.random.default_rng(seed)
    first = generator.integers(VOCABULARY - 1, size=count)
    tokens = (first[:, None] + np.arange(LENGTH)) % (VOCABULARY - 1) + 1
    tokens[np.arange(LENGTH) >= generator.integers(2, LENGTH + 1, size=count)[:, None]] = 0
    return Examples(tokens, first % CLASSES)


def request(
    objective: str = "supervised",
    architecture: str = "resnet",
    noise_kind: str = "",
    rates: tuple[float, ...] = (0.3,),
    *,
    examples: Examples | None = None,
    seed: int = 1,
    checkpoints: Any = None,
    **settings: Any,
) -> PretrainingRequest:
    kinds = {"supervised": "symmetric", "contrastive": "caption_shuffle", "masked_token": "token_substitute"}
    of_texts = objective == "masked_token" or architecture == "transformer"
    return PretrainingRequest(
        objective,
        architecture,
        noise_kind or kinds[objective],
        rates,
        examples or (texts() if of_texts else pictures()),
        seed,
        classes=CLASSES,
        vocabulary=VOCABULARY,
        config=PretrainingConfig(**{**SMALL, **settings}),
        checkpoints=checkpoints,
    )
