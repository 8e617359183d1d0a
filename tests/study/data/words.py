"""Token ids, to be read."""

from __future__ import annotations

from collections.abc import Sequence

from noisymodel.study.data.patterns import PADDING, Integers


def in_words(tokens: Integers, spelling: Sequence[str]) -> tuple[str, ...]:
    """A line of words per row."""
    return tuple(" ".join(spelling[token] for token in row if token != PADDING) for row in tokens.tolist())
