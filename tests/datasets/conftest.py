"""WebDataset, which leaves its shards to the garbage collector to close."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture
def wds() -> Iterator[ModuleType]:
    """The package; its files are closed while the test ignores that they were open."""
    yield pytest.importorskip("webdataset")
    gc.collect()
