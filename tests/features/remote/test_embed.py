from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel.errors import EmbeddingError, FeatureStoreError
from noisymodel.features import FeatureStore, OpenAIEmbeddings, embed
from reference.embedding_server import Answer, EmbeddingServer, failure, reply, vector

KEY = "sk-very-secret-0123456789"
TEXTS = [f"text number {index % 17}" for index in range(40)]


def client(server: EmbeddingServer, **options) -> OpenAIEmbeddings:
    settings = {"api_key": KEY, "backoff": 0.01, "batch_size": 4, "concurrency": 2, "max_retries": 1} | options
    return OpenAIEmbeddings("m", server.url, **settings)


def right(texts: list[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([vector(text) for text in texts]))


def test_rows_labels_and_ids_are_those_of_the_texts(server: EmbeddingServer, tmp_path: Path) -> None:
    ids = [f"row {index}" for index in range(40)]
    store = embed(TEXTS, tmp_path / "store", client=client(server), labels=list(range(40)), ids=ids, block_rows=7)
    assert isinstance(store, FeatureStore)
    assert torch.equal(store[:], right(TEXTS))
    assert store.labels is not None
    assert store.labels[:].tolist() == list(range(40))
    assert list(store.ids[:]) == ids
    assert store.metadata["backbone"].startswith("openai:m@127.0.0.1")
    store.verify()
    assert embed(TEXTS[:5], tmp_path / "half", client=client(server), dtype="float16").dtype == torch.float16


def test_no_text_is_paid_for_twice(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server), block_rows=30, cache=tmp_path / "shared.sqlite")
    assert sorted(server.texts) == sorted(set(TEXTS))
    embed(TEXTS[::-1], tmp_path / "other", client=client(server), cache=tmp_path / "shared.sqlite")
    embed(TEXTS, tmp_path / "store", client=client(server), cache=False)
    assert len(server.texts) == 17
    embed(TEXTS[:3], tmp_path / "third", client=client(server), cache=False)
    assert len(server.texts) == 20


def test_a_failed_run_goes_on(server: EmbeddingServer, tmp_path: Path) -> None:
    texts = [str(index) for index in range(30)]
    server.plan = lambda number, sent: failure(401) if "25" in sent else None
    with pytest.raises(EmbeddingError, match="failed"):
        embed(texts, tmp_path / "store", client=client(server, concurrency=1), block_rows=10)
    assert len(FeatureStore.open(tmp_path / "store")) == 20
    server.plan = lambda number, sent: None
    store = embed(iter(texts), tmp_path / "store", client=client(server), block_rows=10)
    assert torch.equal(store[:], right(texts))
    paid = [text for call in server.calls for text in call.texts]
    assert paid.count("20") == 1  # its reply had come: from the cache
    assert paid.count("25") == 2  # its request had failed
    more = [*texts, "one more"]
    assert len(embed(more, tmp_path / "store", client=client(server))) == 31


KILLED = """
import sys
from noisymodel.features import OpenAIEmbeddings, embed
client = OpenAIEmbeddings("m", sys.argv[1], api_key="k", batch_size=2, concurrency=1)
embed([str(index) for index in range(20)], sys.argv[2], client=client, block_rows=4)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(server: EmbeddingServer, tmp_path: Path) -> None:
    process: list[subprocess.Popen] = []

    def kill(number: int, texts: list[str]) -> Answer | None:
        if number == 7:
            os.kill(process[0].pid, signal.SIGKILL)
            process[0].wait()
        return None

    server.plan = kill
    process.append(subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path / "store")]))
    process[0].wait(timeout=120)
    while len(server.calls) < 8:
        pass
    store = FeatureStore.open(tmp_path / "store")
    assert len(store) == 12
    store = embed([str(index) for index in range(20)], tmp_path / "store", client=client(server))
    assert torch.equal(store[:], right([str(index) for index in range(20)]))
    assert server.texts.count("12") == 1
    assert server.texts.count("14") == 2  # in flight when it was killed


def test_other_texts_are_refused(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server))
    with pytest.raises(FeatureStoreError, match=r"row 1 of .*store is of another text than `texts\[1\]`"):
        embed([TEXTS[0], *TEXTS], tmp_path / "store", client=client(server))
    with pytest.raises(FeatureStoreError, match="has 40 rows and `texts` only 3"):
        embed(TEXTS[:3], tmp_path / "store", client=client(server))


def test_another_model_is_refused(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server))
    other = OpenAIEmbeddings("n", server.url, api_key=KEY)
    with pytest.raises(FeatureStoreError, match=r"openai:m@.*openai:n@"):
        embed(TEXTS, tmp_path / "store", client=other)


def test_other_dimensions_are_refused(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS[:4], tmp_path / "store", client=client(server))
    server.plan = lambda number, texts: Answer(body=reply(texts, width=5))
    with pytest.raises(EmbeddingError, match=r"have 5 dimensions now, those in .* have 6"):
        embed([*TEXTS[:4], "new"], tmp_path / "store", client=client(server))
    with pytest.raises(EmbeddingError, match=r"have \[5, 6\] dimensions: .*since the cache was written"):
        embed(["newer", TEXTS[0]], tmp_path / "mixed", client=client(server), cache=tmp_path / "store.cache.sqlite")


def test_a_store_that_is_there_without_resume(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server))
    with pytest.raises(FileExistsError, match="`resume=True` goes on"):
        embed(TEXTS, tmp_path / "store", client=client(server), resume=False)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "x").touch()
    with pytest.raises(FileExistsError, match="no feature store"):
        embed(TEXTS, tmp_path / "file", client=client(server))
    with FeatureStore.create(tmp_path / "foreign", num_features=2) as foreign:
        foreign.append(torch.zeros(1, 2))
    with pytest.raises(FeatureStoreError, match="was not written by embed"):
        embed(TEXTS, tmp_path / "foreign", client=client(server))


def test_bad_arguments(server: EmbeddingServer, tmp_path: Path) -> None:
    path = tmp_path / "store"
    with pytest.raises(ValueError, match="`texts` is empty"):
        embed([], path, client=client(server))
    with pytest.raises(ValueError, match="`labels` must have one entry per text, 40, got 3"):
        embed(TEXTS, path, client=client(server), labels=[1, 2, 3])
    with pytest.raises(ValueError, match="`ids` must have one entry per text, 3, got 4"):
        embed(iter(TEXTS[:3]), path, client=client(server), ids=["a", "b", "c", "d"])
    with pytest.raises(ValueError, match=r"`texts\[1\]` is empty"):
        embed(["x", ""], tmp_path / "other", client=client(server))
    with pytest.raises(ValueError, match="`block_rows`"):
        embed(TEXTS, path, client=client(server), block_rows=0)


class Own:
    """A client of one's own."""

    metadata = {"backbone": "mine"}  # noqa: RUF012 # never changed

    def __init__(self, rows: object) -> None:
        self.rows = rows

    def embed(self, texts, *, received=None):
        return self.rows


def test_labels_that_no_store_holds_are_refused_before_anything_is_sent(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match=r"got strings; np\.unique"):
        embed(TEXTS, tmp_path / "store", client=client(server), labels=["a", "b"] * 20)
    with pytest.raises(TypeError, match="`ids` must have one string or integer per row"):
        embed(TEXTS, tmp_path / "store", client=client(server), ids=[0.5] * 40)
    assert server.texts == []
    assert list(tmp_path.iterdir()) == []


def test_a_client_of_ones_own(tmp_path: Path) -> None:
    store = embed(["a", "b"], tmp_path / "store", client=Own(np.eye(2)))
    assert store[:].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(EmbeddingError, match=r"the client returned \(3, 2\) for 2 texts"):
        embed(["a", "b"], tmp_path / "wrong", client=Own(np.ones((3, 2))))


def test_no_key_in_any_file(server: EmbeddingServer, tmp_path: Path) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_progress_goes_to_stderr(server: EmbeddingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embed(TEXTS, tmp_path / "store", client=client(server), progress=True)
    shown = capsys.readouterr()
    assert "40/40" in shown.err
    assert not shown.out


def test_one_bad_text_costs_no_other(server: EmbeddingServer, tmp_path: Path) -> None:
    """The others are in the cache: without it, nothing of them is asked for again."""
    server.plan = lambda number, sent: failure(400, "bad") if "7" in sent else None
    texts = [str(index) for index in range(20)]
    with pytest.raises(EmbeddingError, match=r"`texts\[7\]`: .*bad; all other texts were embedded"):
        embed(texts, tmp_path / "store", client=client(server))
    server.calls.clear()
    assert len(embed([*texts[:7], *texts[8:]], tmp_path / "store", client=client(server))) == 19
    assert not server.calls


def test_another_model_behind_the_name_is_refused_in_a_later_run(server: EmbeddingServer, tmp_path: Path) -> None:
    store = embed(TEXTS, tmp_path / "store", client=client(server))
    assert store.metadata["versions"]["model"] == "m"
    server.plan = lambda number, texts: Answer(body={**reply(texts), "model": "m-2"})
    with pytest.raises(EmbeddingError, match=r"rows in .* are of 'm', now 'm-2' answers"):
        embed([*TEXTS, "more"], tmp_path / "store", client=client(server))


def test_one_document_is_refused(server: EmbeddingServer, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="got one string"):
        embed("document", tmp_path / "store", client=client(server))
    assert not list(tmp_path.iterdir())
    assert not server.calls
