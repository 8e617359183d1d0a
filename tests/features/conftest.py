"""A small store in several shards, and the rows that are in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noisymodel.features import FeatureStore

ROWS, WIDTH, SHARD = 25, 4, 10


@pytest.fixture(autouse=True, scope="session")
def _disk_is_not_waited_for() -> Generator[None]:
    """Thousands of waits for it say nothing: test_durable.py models what each is for, test_lock.py has real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def rows() -> Tensor:
    """(25, 4), each row another."""
    return torch.arange(ROWS * WIDTH, dtype=torch.float32).view(ROWS, WIDTH)


@pytest.fixture
def make(tmp_path: Path, rows: Tensor) -> Callable[..., FeatureStore]:
    """Writes the rows, with labels, ids and columns, into shards of ten, and opens the store."""

    def made(name: str = "store", **options: Any) -> FeatureStore:
        settings: dict[str, Any] = {"num_features": WIDTH, "shard_rows": SHARD, **options}
        with FeatureStore.create(tmp_path / name, **settings) as store:
            columns = {"year": np.arange(ROWS, dtype=np.int16), "name": [f"n{i}" for i in range(ROWS)]}
            store.append(rows, torch.arange(ROWS) % 3, [f"é{i}" for i in range(ROWS)], columns=columns)
        return FeatureStore.open(tmp_path / name)

    return made


@pytest.fixture
def store(make: Callable[..., FeatureStore]) -> FeatureStore:
    """25 rows in shards of 10, 10 and 5."""
    return make()
