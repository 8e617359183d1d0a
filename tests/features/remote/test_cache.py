from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import InputFileError
from noisymodel.features.remote.cache import EmbeddingCache

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "cache.sqlite"
    with EmbeddingCache(path, {"model": "m"}) as cache:
        cache.put(["a", "ü"], ROWS)
    with EmbeddingCache(path, {"model": "m"}) as cache:
        found = cache.get(["ü", "unknown", "a"])
    assert set(found) == {"a", "ü"}
    assert np.array_equal(found["ü"], ROWS[1])
    assert found["a"].dtype == np.float32


def test_another_model_has_other_vectors(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with EmbeddingCache(path, {"model": "m"}) as cache:
        cache.put(["a"], ROWS[:1])
    with EmbeddingCache(path, {"model": "n"}) as cache:
        assert cache.get(["a"]) == {}
        cache.put(["a"], ROWS[1:])
    with EmbeddingCache(path, {"model": "m"}) as cache:
        assert np.array_equal(cache.get(["a"])["a"], ROWS[0])


def test_many_are_asked_for_at_once(tmp_path: Path) -> None:
    texts = [str(number) for number in range(1300)]
    rows = np.arange(2600, dtype=np.float32).reshape(-1, 2)
    with EmbeddingCache(tmp_path / "cache.sqlite", {}) as cache:
        cache.put(texts, rows)
        found = cache.get(texts)
    assert np.array_equal(np.stack([found[text] for text in texts]), rows)


def test_texts_are_not_in_the_file(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path / "cache.sqlite", {}) as cache:
        cache.put(["a private sentence"], ROWS[:1])
    assert b"private" not in (tmp_path / "cache.sqlite").read_bytes()


def test_a_foreign_file_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"something else, long enough to be looked at " * 50)
    with pytest.raises(InputFileError, match=r"cache\.sqlite: no cache of embeddings.*delete it, or name another"):
        EmbeddingCache(path, {})
    assert path.read_bytes().startswith(b"something else")
