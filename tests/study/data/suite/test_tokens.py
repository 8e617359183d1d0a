"""Texts become ids of one length; 0 is padding whatever the tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite.tokens import SEPARATOR, UNKNOWN, PretrainedTokenizer, WordTokenizer

TEXTS = [("The cat sat.",), ("The cat, the dog!",)]


def test_words() -> None:
    tokenizer = WordTokenizer(TEXTS, 100)
    assert tokenizer.vocabulary == 4 + len({"the", "cat", "sat", "dog", ".", ",", "!"})
    ids = tokenizer.encode([("the CAT",), ("the bird", "sat")], 6)
    assert ids.dtype == np.int64
    assert ids.tolist() == [[4, 5, 0, 0, 0, 0], [4, UNKNOWN, SEPARATOR, tokenizer.ids["sat"], 0, 0]]
    assert tokenizer.encode([("the cat the the",)], 2).tolist() == [[4, 5]], "cut at the end"
    assert tokenizer.encode([("",)], 3).tolist() == [[0, 0, 0]]


def test_the_vocabulary_has_a_limit_and_a_fixed_order() -> None:
    small = WordTokenizer(TEXTS, 6)
    assert small.ids == {"the": 4, "cat": 5}
    assert small.vocabulary == 6
    assert WordTokenizer(TEXTS[::-1], 100).ids == WordTokenizer(TEXTS, 100).ids
    assert WordTokenizer([("b a",)], 5).ids == {"a": 4}, "of equally frequent words the first by alphabet"


def save_tokenizer(folder: Path, padding: int | None) -> None:
    words = ["start", "cat", "dog", "<unk>"]
    if padding is not None:
        words.insert(padding, "<pad>")
    inner = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    inner.pre_tokenizer = Whitespace()
    named = {} if padding is None else {"pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **named).save_pretrained(folder)  # noqa: S106


@pytest.mark.parametrize("padding", [0, 1])
def test_tokenizers_of_transformers(tmp_path: Path, padding: int) -> None:
    save_tokenizer(tmp_path, padding)
    tokenizer = PretrainedTokenizer(tmp_path)
    assert tokenizer.vocabulary == 5
    ids = tokenizer.encode([("cat dog",), ("start",), ("cat cat cat cat",)], 3)
    assert ids[0].tolist() == [2, 3, 0]
    assert ids[2].tolist() == [2, 2, 2]
    assert ids[1, 1:].tolist() == [0, 0]
    assert ids[1, 0] == 1, "where padding is not 0, what is 0 takes its place"
    assert tokenizer.encode([("cat", "dog")], 4).tolist() == [[2, 3, 0, 0]]


def test_folders_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`suite.texts.tokenizer`: expected 'words' or the folder of a tokenizer"):
        PretrainedTokenizer(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"`suite.texts.tokenizer`: .*empty holds no tokenizer"):
        PretrainedTokenizer(tmp_path / "empty")
    save_tokenizer(tmp_path / "bare", None)
    with pytest.raises(ConfigError, match="has no padding token; give it one"):
        PretrainedTokenizer(tmp_path / "bare")
