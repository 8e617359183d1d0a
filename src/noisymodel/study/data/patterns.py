"""Sentence patterns: fixed words, and slots to fill in; the result is token ids.

A slot is a capital letter of its own: in ``"the A N V ."`` with the slots ``"ANV"`` the words are ``the`` and ``.``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

PADDING, UNKNOWN = range(2)
"""Token ids that are no words."""
NO_WORDS = ("", "<unknown>")


@dataclass(frozen=True)
class Patterns:
    """Patterns with common slots; their words are the token ids from 2 on.

    >>> patterns = Patterns(("the A N .", "N !"), slots="AN")
    >>> patterns.words, patterns.longest
    (('the', '.', '!'), 4)
    >>> patterns.fill(np.array([0, 1, -1]), np.array([[10, 20], [10, 21], [10, 22]]))
    array([[ 2, 10, 20,  3],
           [21,  4,  0,  0],
           [ 0,  0,  0,  0]])
    """

    patterns: tuple[str, ...]
    slots: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of all patterns, each once."""
        words = [word for pattern in self.patterns for word in pattern.split()]
        return tuple(dict.fromkeys(word for word in words if word not in self.slots))

    @property
    def first_free(self) -> int:
        """The first token id after those of :attr:`words`."""
        return len(NO_WORDS) + len(self.words)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest pattern."""
        return max(len(pattern.split()) for pattern in self.patterns)

    @cached_property
    def _codes(self) -> Integers:
        """``(patterns + 1, longest)``: a word's token id, or −1 − slot; the last row is empty."""
        codes = np.full((len(self.patterns) + 1, self.longest), PADDING, dtype=np.int64)
        for row, pattern in zip(codes, self.patterns, strict=False):
            words = pattern.split()
            row[: len(words)] = [
                -1 - self.slots.index(word) if word in self.slots else len(NO_WORDS) + self.words.index(word)
                for word in words
            ]
        return codes

    def fill(self, chosen: Integers, fillings: Integers) -> Integers:
        """Token ids ``(..., longest)`` of ``chosen`` patterns ``(...)``, −1 for no sentence.

        ``fillings (..., slots)`` are the token ids for the slots.
        """
        codes = self._codes[chosen]
        filled = np.take_along_axis(fillings, np.maximum(-codes - 1, 0), axis=-1)
        return np.where(codes < 0, filled, codes)


def pack(tokens: Integers) -> Integers:
    """The same tokens in the same order, with all padding at the end of each row."""
    return np.take_along_axis(tokens, np.argsort(tokens == PADDING, axis=1, kind="stable"), axis=1)
