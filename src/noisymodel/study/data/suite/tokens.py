"""Texts made into token ids of one length; 0 is padding, whatever the tokenizer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import ConfigError, import_extra
from ....files.reading import reason
from .rows import Integers, Text

UNKNOWN, MASK, SEPARATOR = 1, 2, 3
_FIRST = 4
_KEY = "config key `suite.texts.tokenizer`"
_WORD = re.compile(r"\w+|[^\w\s]")


class WordTokenizer:
    """Lower-case words and punctuation marks.

    Id 1 is an unknown word, 2 is kept free for a masked word, 3 stands between the two texts of a pair.

    Args:
        texts: the texts for counting the vocabulary; those of pre-training.
        vocabulary: the most ids; the most frequent words get one, in a tie the first in alphabetical order.

    >>> tokenizer = WordTokenizer([("A red cube.",), ("a blue cube",)], 9)
    >>> tokenizer.encode([("a red ball",), ("a cube", "blue")], 5).tolist()
    [[4, 8, 1, 0, 0], [4, 5, 3, 7, 0]]
    """

    def __init__(self, texts: Iterable[Text], vocabulary: int) -> None:
        counts = Counter(word for text in texts for part in text for word in _words(part))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - _FIRST]
        self.ids = {word: number for number, word in enumerate(ranked, start=_FIRST)}
        self.vocabulary = _FIRST + len(ranked)

    def encode(self, texts: Sequence[Text], length: int) -> Integers:
        """``(n, length)``; longer texts are cut."""
        found = np.zeros((len(texts), length), dtype=np.int64)
        for row, text in enumerate(texts):
            ids: list[int] = []
            for place, part in enumerate(text):
                ids += [SEPARATOR] * (place > 0) + [self.ids.get(word, UNKNOWN) for word in _words(part)]
            found[row, : min(length, len(ids))] = ids[:length]
        return found


class PretrainedTokenizer:
    """A tokenizer of transformers from a folder. If its padding id is not 0, the two ids are exchanged.

    Args:
        folder: as ``save_pretrained`` writes it.

    Raises:
        ConfigError: the folder holds no tokenizer, or one without padding.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, folder: Path) -> None:
        transformers = import_extra("transformers", extra="hf", purpose="tokenizers in folders")
        if not folder.is_dir():
            raise ConfigError(f"{_KEY}: expected 'words' or the folder of a tokenizer, got {str(folder)!r}")
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{_KEY}: {folder} holds no tokenizer: {reason(error)}") from None
        if self.tokenizer.pad_token_id is None:
            raise ConfigError(f"{_KEY}: the tokenizer in {folder} has no padding token; give it one")
        self.padding = int(self.tokenizer.pad_token_id)
        self.vocabulary = len(self.tokenizer)

    def encode(self, texts: Sequence[Text], length: int) -> Integers:
        """``(n, length)``; longer texts are cut."""
        pairs = [text[1] for text in texts] if texts and len(texts[0]) == 2 else None
        encoded = self.tokenizer(
            [text[0] for text in texts], pairs, padding="max_length", truncation=True, max_length=length
        )
        ids = np.asarray(encoded["input_ids"], dtype=np.int64).reshape(len(texts), length)
        if self.padding == 0:
            return ids
        return np.where(ids == self.padding, 0, np.where(ids == 0, self.padding, ids))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
