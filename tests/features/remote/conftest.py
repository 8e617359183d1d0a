from __future__ import annotations

from collections.abc import Iterator

import pytest

from reference.embedding_server import EmbeddingServer


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as running:
        yield running
