"""Distribution shifts that act on written texts: pure functions of ``(n, length)`` token ids and a generator.

Each returns new token ids of the same shape, padded at the end with 0; the input does not change.
"""

from __future__ import annotations

import numpy as np

from .grammar import is_function_word
from .patterns import PADDING, UNKNOWN, Integers, pack


def drop(tokens: Integers, generator: np.random.Generator, share: float) -> Integers:
    """Drop each word with probability ``share``; a text keeps at least one word."""
    gone = generator.random(tokens.shape) < share
    words = tokens != PADDING
    empty = ~(words & ~gone).any(1)
    gone[empty, 0] = False
    return pack(np.where(gone, PADDING, tokens))


def misspell(tokens: Integers, generator: np.random.Generator, share: float) -> Integers:
    """Each word becomes the unknown token with probability ``share``."""
    wrong = (generator.random(tokens.shape) < share) & (tokens != PADDING)
    return np.where(wrong, UNKNOWN, tokens)


def shuffle(tokens: Integers, generator: np.random.Generator) -> Integers:
    """The words of each text in a random order."""
    keys = np.where(tokens == PADDING, 2.0, generator.random(tokens.shape))
    return np.take_along_axis(tokens, keys.argsort(axis=1, kind="stable"), axis=1)


def swap_neighbours(tokens: Integers, generator: np.random.Generator, share: float) -> Integers:
    """Words 2i and 2i + 1 of a text change places with probability ``share``."""
    pairs = tokens.shape[1] // 2
    left = tokens[:, : 2 * pairs].reshape(len(tokens), pairs, 2)
    whole = (left != PADDING).all(-1)
    swapped = ((generator.random((len(tokens), pairs)) < share) & whole)[..., None]
    result = tokens.copy()
    result[:, : 2 * pairs] = np.where(swapped, left[..., ::-1], left).reshape(len(tokens), -1)
    return result


def truncate(tokens: Integers, _: object = None, *, words: int) -> Integers:
    """Keep only the first ``words`` words."""
    result = tokens.copy()
    result[:, words:] = PADDING
    return result


def content_only(tokens: Integers, _: object = None) -> Integers:
    """Remove articles, punctuation and the other words of the patterns."""
    return pack(np.where(is_function_word(tokens), PADDING, tokens))


def stutter(tokens: Integers, generator: np.random.Generator, share: float) -> Integers:
    """Repeat each word with probability ``share``; words beyond the length are cut off."""
    length = tokens.shape[1]
    twice = (generator.random(tokens.shape) < share) & (tokens != PADDING)
    doubled = np.stack([tokens, np.where(twice, tokens, PADDING)], -1).reshape(len(tokens), 2 * length)
    return pack(doubled)[:, :length]
