"""Division of texts into requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BYTES_PER_TOKEN = 3

Vectors = npt.NDArray[np.float32]


class Request(NamedTuple):
    """Texts that are sent together, with their places among all texts and their tokens."""

    places: list[int]
    texts: list[str]
    tokens: list[int]

    def pieces(self, size: int) -> list[Request]:
        """Split into requests with at most ``size`` texts each."""
        starts = range(0, len(self.texts), size)
        return [self.part(start, start + size) for start in starts]

    def part(self, start: int, end: int) -> Request:
        """The request with the texts from ``start`` to ``end``."""
        return Request(self.places[start:end], self.texts[start:end], self.tokens[start:end])

    def halves(self) -> tuple[Request, Request]:
        """Split into two requests with half of the texts each."""
        middle = len(self.texts) // 2
        return self.part(0, middle), self.part(middle, len(self.texts))


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text, seldom too low: one for three bytes of UTF-8 (English has four letters a token).

    >>> count_tokens("a wrong label"), count_tokens("")
    (5, 1)
    """
    return max(1, math.ceil(len(text.encode()) / _BYTES_PER_TOKEN))


def check_text(text: object, place: int) -> str:
    """Check that a text is one that endpoints accept: a string, not empty."""
    if not isinstance(text, str):
        raise TypeError(f"`texts[{place}]` must be a string, got {text!r} ({type(text).__name__})")
    if not text:
        raise ValueError(f"`texts[{place}]` is empty, which embedding endpoints refuse: leave it out, or say ' '")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
    else:
        return text
    raise ValueError(f"`texts[{place}]` has half a surrogate pair at character {at}, which no text of UTF-8 can hold")


def check_texts(texts: object) -> None:
    """Raise for an iterable that is not an ordered collection of texts.

    >>> check_texts("a document")
    Traceback (most recent call last):
    TypeError: `texts` must be a list of strings, got one string; ["a document"] is a list of one
    """
    got = ""
    if isinstance(texts, (str, bytes, bytearray)):
        shown = repr(texts[:20])[:-1] + ("..." if len(texts) > 20 else "") + repr(texts)[-1]
        kind = "string" if isinstance(texts, str) else "piece of bytes"
        got = f"one {kind}; [{shown.replace(chr(39), chr(34))}] is a list of one"
    elif isinstance(texts, Mapping):
        got = "a dictionary; list(texts.values()) may be what you mean"
    elif isinstance(texts, (set, frozenset)):
        got = "a set, which has no order: sorted(texts) has one"
    elif hasattr(texts, "columns") or hasattr(texts, "column_names"):
        got = f"a table ({type(texts).__name__}): name one column of it"
    elif getattr(texts, "ndim", 1) != 1:
        got = "an array of more than one dimension"
    elif not isinstance(texts, Iterable):
        got = type(texts).__name__
    if got:
        raise TypeError(f"`texts` must be a list of strings, got {got}")


def requests(
    texts: Sequence[str], *, batch_size: int, batch_tokens: int, count: Callable[[str], int]
) -> Iterator[Request]:
    """Divide all texts, in order, into requests of at most ``batch_size`` texts and ``batch_tokens`` tokens.

    A text with more tokens is a request of its own.
    """
    held, total = Request([], [], []), 0
    for place, text in enumerate(texts):
        tokens = count(text)
        if held.texts and (len(held.texts) == batch_size or total + tokens > batch_tokens):
            yield held
            held, total = Request([], [], []), 0
        held.places.append(place)
        held.texts.append(text)
        held.tokens.append(tokens)
        total += tokens
    if held.texts:
        yield held
