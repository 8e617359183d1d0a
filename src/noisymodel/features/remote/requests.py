"""Which texts go into one request, and what a reply to it must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import EmbeddingError

_BYTES_PER_TOKEN = 3

Vectors = npt.NDArray[np.float32]


class Request(NamedTuple):
    """Texts that are sent together: their places among all, and their tokens."""

    places: list[int]
    texts: list[str]
    tokens: list[int]

    def halves(self) -> tuple[Request, Request]:
        """Two requests with half of the texts each."""
        middle = len(self.texts) // 2
        first = Request(self.places[:middle], self.texts[:middle], self.tokens[:middle])
        return first, Request(self.places[middle:], self.texts[middle:], self.tokens[middle:])


def count_tokens(text: str) -> int:
    """An estimate that is seldom too low: a token for three bytes of UTF-8 (English has four letters to one).

    >>> count_tokens("a wrong label"), count_tokens("")
    (5, 1)
    """
    return max(1, math.ceil(len(text.encode()) / _BYTES_PER_TOKEN))


def check_text(text: object, place: int) -> str:
    """A text that endpoints take: not empty."""
    if not isinstance(text, str):
        raise TypeError(f"`texts[{place}]` must be a string, got {text!r} ({type(text).__name__})")
    if not text:
        raise ValueError(f"`texts[{place}]` is empty, which embedding endpoints refuse: leave it out, or say ' '")
    return text


def requests(
    texts: Sequence[str], *, batch_size: int, batch_tokens: int, count: Callable[[str], int]
) -> Iterator[Request]:
    """All texts in order, at most ``batch_size`` of them and ``batch_tokens`` tokens (or one text) at a time."""
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


def vectors_of(data: Sequence[Any], request: Request) -> Vectors:
    """(n, D) float32 of a reply's items, put in the order of the texts; whatever is wrong with it is an error."""
    count = len(request.texts)
    places = [item.index for item in data]
    if sorted(places) != list(range(count)):
        raise EmbeddingError(
            f"a reply to {count} texts must have an embedding of each, got {len(places)} "
            f"with the indices {_shown(places)}"
        )
    rows = [np.asarray(item.embedding, dtype=np.float32) for item in sorted(data, key=lambda one: one.index)]
    sizes = {row.shape for row in rows}
    if len(sizes) > 1 or rows[0].ndim != 1 or rows[0].size == 0:
        raise EmbeddingError(f"the embeddings of one reply must be vectors of one length, got {sorted(sizes)}")
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        row = int(np.argmax(~np.isfinite(vectors).all(1)))
        raise EmbeddingError(
            f"the embedding of `texts[{request.places[row]}]` has NaN or infinity in it; nothing of that reply was kept"
        )
    return vectors


def _shown(places: Sequence[object]) -> str:
    return str(list(places)) if len(places) <= 8 else f"[{', '.join(map(str, places[:8]))}, ...]"
