"""Shifts of written texts: shape, purity, and what each one is for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from noisymodel.study.data import rewriting
from noisymodel.study.data.grammar import PATTERNS
from noisymodel.study.data.patterns import PADDING, UNKNOWN, Integers

REWRITES: dict[str, Callable[[Integers, np.random.Generator], Integers]] = {
    "drop": partial(rewriting.drop, share=0.4),
    "misspell": partial(rewriting.misspell, share=0.3),
    "shuffle": rewriting.shuffle,
    "swap_neighbours": partial(rewriting.swap_neighbours, share=0.5),
    "truncate": partial(rewriting.truncate, words=4),
    "content_only": lambda tokens, _: rewriting.content_only(tokens),
    "stutter": partial(rewriting.stutter, share=0.3),
}
LENGTHS = np.array([9, 5, 1, 12, 7] * 40)


@pytest.fixture
def tokens() -> Integers:
    """Rows of 12 places with different words, of different lengths; every second one is a function word."""
    words = np.arange(12) // 2 + PATTERNS.first_free
    words[1::2] = np.arange(6) + 2
    return np.where(np.arange(12) < LENGTHS[:, None], words, PADDING)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def words(row: Integers) -> list[int]:
    return [token for token in row.tolist() if token != PADDING]


@pytest.mark.parametrize("name", REWRITES)
def test_contract(name: str, tokens: Integers) -> None:
    before = tokens.copy()
    changed = REWRITES[name](tokens, rng(1))
    assert changed.shape == tokens.shape
    assert changed.dtype == np.int64
    assert np.array_equal(tokens, before), "the input was changed"
    assert not np.array_equal(changed, tokens)
    assert np.array_equal(changed, REWRITES[name](tokens, rng(1)))
    assert (changed[:, 0] != PADDING).all(), "a text was left empty"
    assert (np.diff((changed == PADDING).astype(int), axis=1) >= 0).all(), "padding within a text"


@pytest.mark.parametrize("name", sorted(set(REWRITES) - {"truncate", "content_only"}))
def test_texts_are_changed_independently(name: str, tokens: Integers) -> None:
    same = np.tile(tokens[3], (8, 1))
    assert len({row.tobytes() for row in REWRITES[name](same, rng(1))}) > 4


def test_dropping_keeps_order_and_the_share(tokens: Integers) -> None:
    kept = rewriting.drop(tokens, rng(), share=0.4)
    for before, after in zip(tokens, kept, strict=True):
        rest = iter(words(before))
        assert all(word in rest for word in words(after)), "a subsequence"
    long = LENGTHS > 4
    assert 1 - (kept[long] > 0).sum() / LENGTHS[long].sum() == pytest.approx(0.4, abs=0.05)
    everything = rewriting.drop(tokens, rng(), share=1.0)
    assert np.array_equal(everything[:, 0], tokens[:, 0])
    assert (everything[:, 1:] == PADDING).all()


def test_misspelling_makes_unknown_words_in_place(tokens: Integers) -> None:
    wrong = rewriting.misspell(tokens, rng(), share=0.3)
    changed = wrong != tokens
    assert set(wrong[changed].tolist()) == {UNKNOWN}
    assert changed.sum() / LENGTHS.sum() == pytest.approx(0.3, abs=0.05)
    assert not changed[tokens == PADDING].any()


def test_shuffling_keeps_the_words(tokens: Integers) -> None:
    shuffled = rewriting.shuffle(tokens, rng())
    assert np.array_equal(np.sort(shuffled, 1), np.sort(tokens, 1))
    firsts = shuffled[LENGTHS == 12, 0]
    assert len(set(firsts.tolist())) > 6


def test_swapping_exchanges_neighbours_alone(tokens: Integers) -> None:
    everything = rewriting.swap_neighbours(tokens, rng(), share=1.0)
    nine = words(tokens[0])
    assert words(everything[0]) == [*(nine[i + 1 - 2 * (i % 2)] for i in range(8)), nine[8]]
    half = rewriting.swap_neighbours(tokens, rng(), share=0.5)
    assert (half != tokens)[LENGTHS == 12].mean() == pytest.approx(0.5, abs=0.1)
    odd = rewriting.swap_neighbours(tokens[:, :11], rng(), share=1.0)
    assert odd.shape == (len(tokens), 11)


def test_truncating_keeps_the_first_words(tokens: Integers) -> None:
    assert [words(row) for row in rewriting.truncate(tokens, words=4)] == [words(row)[:4] for row in tokens]


def test_content_words_are_those_of_no_pattern(tokens: Integers) -> None:
    bare = rewriting.content_only(tokens)
    assert [words(row) for row in bare] == [words(row)[::2] for row in tokens]


def test_stuttering_repeats_words_in_place(tokens: Integers) -> None:
    twice = rewriting.stutter(tokens, rng(), share=1.0)
    assert words(twice[1]) == [word for word in words(tokens[1]) for _ in range(2)]
    assert words(twice[3]) == [word for word in words(tokens[3])[:6] for _ in range(2)], "cut to the length"
    some = rewriting.stutter(tokens[LENGTHS == 5], rng(), share=0.3)
    assert (some > 0).sum() / (5 * len(some)) == pytest.approx(1.3, abs=0.1)
