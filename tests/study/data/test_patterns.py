"""Patterns: words, slots, what they are filled with."""

from __future__ import annotations

import numpy as np

from noisymodel.study.data.patterns import PADDING, Patterns, pack
from study.data.words import in_words

PATTERNS = Patterns(("the A N .", "so N !", "N N A"), slots="AN")


def test_words_are_each_once_and_no_slots() -> None:
    assert PATTERNS.words == ("the", ".", "so", "!")
    assert PATTERNS.first_free == 2 + 4
    assert PATTERNS.longest == 4


def test_fill_puts_fillings_into_their_slots() -> None:
    spelling = ("", "<unknown>", *PATTERNS.words, *(f"w{index}" for index in range(6, 50)))
    fillings = np.array([[[10, 20], [11, 21]], [[12, 22], [13, 23]]])
    tokens = PATTERNS.fill(np.array([[0, 1], [2, -1]]), fillings)
    assert tokens.shape == (2, 2, 4)
    assert in_words(tokens.reshape(4, 4), spelling) == ("the w10 w20 .", "so w21 !", "w22 w22 w12", "")


def test_pack_keeps_words_and_their_order() -> None:
    tokens = np.array([[0, 3, 0, 4], [5, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    before = tokens.copy()
    assert pack(tokens).tolist() == [[3, 4, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]]
    assert np.array_equal(tokens, before)
    assert PADDING == 0
