"""Texts embedded by several ranks: one store, each text once and in order, whoever fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisymodel.errors import EmbeddingError, FeatureStoreError
from noisymodel.features import FeatureStore, embed

TEXTS = [f"text {index} {'x' * (index % 5)}" for index in range(43)]


class Lengths:
    """A client that writes down which texts it was asked for, and fails at one of them."""

    metadata = {"backbone": "lengths"}  # noqa: RUF012 - a fake

    def __init__(self, record: Path, fails_at: str = "") -> None:
        self.record, self.fails_at = record, fails_at

    def embed(self, texts: list[str], *, received: Any = None) -> np.ndarray:
        if self.fails_at in texts:
            raise EmbeddingError(f"{self.fails_at} is refused")
        with self.record.open("a") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
        return np.array([[len(text), int(text.split()[1])] for text in texts], dtype=np.float32)


def on_rank(rank: int, folder: Path, fails_at: str = "", texts: list[str] = TEXTS, cache: bool = False) -> str:
    """What went wrong on this rank, in words."""
    client = Lengths(folder / f"asked-{rank}.jsonl", fails_at)
    columns = {"labels": list(range(len(texts))), "ids": [f"row {row}" for row in range(len(texts))]}
    try:
        store = embed(iter(texts), folder / "store", client=client, cache=cache, block_rows=5, **columns)
    except (EmbeddingError, FeatureStoreError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    assert len(store) == len(texts)
    return ""


def asked(folder: Path) -> list[list[str]]:
    return [
        [json.loads(line) for line in file.read_text().splitlines()] for file in sorted(folder.glob("asked-*.jsonl"))
    ]


def check(folder: Path, texts: list[str] = TEXTS) -> None:
    store = FeatureStore.open(folder / "store")
    store.verify()
    assert store[:].tolist() == [[len(text), row] for row, text in enumerate(texts)]
    assert store.labels is not None
    assert store.labels[:].tolist() == list(range(len(texts)))
    assert list(store.ids[:]) == [f"row {row}" for row in range(len(texts))]
    assert not (folder / "store" / ".parts").exists()


@pytest.mark.parametrize("cache", [False, True])
def test_ranks_share_the_texts(on_ranks: Callable[..., list[str]], tmp_path: Path, cache: bool) -> None:
    assert on_ranks(on_rank, tmp_path, "", TEXTS, cache, world=2) == ["", ""]
    check(tmp_path)
    first, second = asked(tmp_path)
    assert sorted(first + second) == sorted(TEXTS), "each text is asked for once"
    assert len(first) == 23
    longer = [*TEXTS, "text 43", "text 44"]
    assert on_ranks(on_rank, tmp_path, "", longer, cache, world=2) == ["", ""]
    check(tmp_path, longer)
    assert sorted(text for one in asked(tmp_path) for text in one) == sorted(longer)


def test_a_rank_that_fails_costs_no_other_its_blocks(on_ranks: Callable[..., list[str]], tmp_path: Path) -> None:
    said = on_ranks(on_rank, tmp_path, TEXTS[17], world=2)
    assert said[1] == f"EmbeddingError: {TEXTS[17]} is refused"
    assert said[0] == f"EmbeddingError: rank 1: {TEXTS[17]} is refused"
    assert on_ranks(on_rank, tmp_path, world=3) == ["", "", ""], "another number of ranks goes on"
    check(tmp_path)
    assert sorted(text for one in asked(tmp_path) for text in one) == sorted(TEXTS)


def test_one_process_goes_on_and_other_texts_are_refused(on_ranks: Callable[..., list[str]], tmp_path: Path) -> None:
    assert on_rank(0, tmp_path, "", TEXTS[:12]) == ""
    assert on_ranks(on_rank, tmp_path, world=2) == ["", ""]
    check(tmp_path)
    said = on_ranks(on_rank, tmp_path, "", [*TEXTS[:20], "text 20 of others", *TEXTS[21:]], world=2)
    assert all("row 20 of " in text for text in said), said
    assert "no texts" not in on_rank(0, tmp_path)
    check(tmp_path)
