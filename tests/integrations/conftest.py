"""Small random backbones, and the global random state that trainers seed put back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from noisymodel._random import seeded

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def _global_state_is_put_back() -> Iterator[None]:
    """`Trainer` and `seed_everything` seed Python, numpy and torch; this library's own code must not."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy state is what they seed
    with seeded(0):
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002 - see above


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def bert() -> Callable[..., Any]:
    """Tiny BERT models with weights from a seed."""
    from transformers import BertConfig, BertModel

    def make(seed: int = 0, **changes: Any) -> Any:
        settings = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        settings |= {"intermediate_size": 24, "max_position_embeddings": 20, **changes}
        with seeded(seed):
            return BertModel(BertConfig(**settings)).eval()

    return make


@pytest.fixture
def tokens() -> Callable[..., dict[str, torch.Tensor]]:
    """Token ids of different lengths, padded on the right, with labels that can be learned from the first token."""

    def make(rows: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(4, 50, (rows, 8), generator=generator)
        mask = (torch.arange(8) < 3 + torch.arange(rows)[:, None] % 6).long()
        return {"input_ids": ids * mask, "attention_mask": mask, "labels": ids[:, 0] % 3}

    return make
