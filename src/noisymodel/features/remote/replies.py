"""Checks of a reply against its request; and the reaction to a failure: wait, split, blame a text, or give up."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from .requests import Request, Vectors

Verdict = Literal["wait", "cut", "format", "end"]

_AGAIN = (408, 409, 425, 429)
_OF_SERVERS = 500
_OF_ACCESS = (401, 402, 404, 405, 407, 410, 415, 451)
_RATE = re.compile(r"rate.?limit|too many requests|overloaded|temporarily|try again", re.IGNORECASE)
_QUOTA = re.compile(r"insufficient_quota|billing|quota exceeded", re.IGNORECASE)
_FORMAT = re.compile(r"encoding[_ ]?format|base64", re.IGNORECASE)
_DIMENSIONS = re.compile(r"\bdimensions?\b|matryoshka", re.IGNORECASE)
_MODEL = re.compile(r"model[^.]{0,60}(not found|does not exist|not supported)", re.IGNORECASE)


class Failure(NamedTuple):
    """A failed request: the HTTP ``status`` (0: no connection), the server's message, and the wait it asks for."""

    status: int
    told: str
    code: str = ""
    headers: Mapping[str, str] = {}
    attempts: int = 1
    body: str = ""

    def verdict(self, *, dimensions: bool) -> Verdict:
        """The reaction to the failure.

        ``"wait"``: try again; ``"cut"``: a text or the size is the cause; ``"format"``: base64 is refused; ``"end"``:
        nothing helps. ``dimensions`` says whether the request had this argument; only then a message with the word
        "dimensions" is about it.
        """
        words = f"{self.code} {self.told} {self.body}"
        if self.status in _OF_ACCESS or _QUOTA.search(words):
            return "end"
        if self.status in _AGAIN or self.status == 0 or self.status >= _OF_SERVERS:
            return "wait"
        if _FORMAT.search(words):
            return "format"
        return "end" if _MODEL.search(words) or (dimensions and _DIMENSIONS.search(words)) else "cut"


def failure_of(error: object) -> Failure | None:
    """The failure in a reply with status 200 that holds an ``error``, else None."""
    if not isinstance(error, Mapping):
        return Failure(400, str(error)) if error else None
    held = cast("Mapping[str, Any]", error)
    words = str(held.get("message") or dict(held))
    code = str(held.get("code") or held.get("type") or "")
    if _RATE.search(f"{code} {held.get('type') or ''} {words}"):
        return Failure(429, words, code)
    return Failure(int(code) if re.fullmatch(r"[45]\d\d", code) else 400, words, code)


class Reply(NamedTuple):
    """The vectors of the texts at ``places`` (among all texts), and by place the faults of the other vectors."""

    places: list[int]
    vectors: Vectors
    wrong: dict[int, str]
    model: str | None
    tokens: int | None


class ReplyError(ValueError):
    """The reply as a whole does not match its request."""


def read_reply(content: object, request: Request, dimensions: int | None) -> Reply | Failure:
    """Read the vectors of a reply; a fault of one vector is recorded for its text.

    Raises:
        ReplyError: the content is not a reply, or a reply to other texts.
    """
    if not isinstance(content, Mapping):
        raise ReplyError("it is no JSON object")
    body = cast("Mapping[str, Any]", content)
    failed = failure_of(body.get("error"))
    if failed is not None:
        return failed
    data = body.get("data")
    if not isinstance(data, list):
        raise ReplyError("it has no list `data`")
    rows: dict[int, npt.NDArray[np.float32]] = {}
    wrong: dict[int, str] = {}
    for place, item in enumerate(_in_order(cast("list[Any]", data), len(request.texts))):
        found = "did not come" if item is None else _vector(item)
        if isinstance(found, str):
            wrong[request.places[place]] = found
        else:
            rows[request.places[place]] = found
    _check_lengths(rows, wrong, dimensions)
    vectors = np.stack(list(rows.values())) if rows else np.zeros((0, 0), np.float32)
    usage = body.get("usage")
    used = cast("Mapping[str, Any]", usage).get("total_tokens") if isinstance(usage, Mapping) else None
    model = body.get("model")
    whole = type(used) is int and used >= 0
    return Reply(list(rows), vectors, wrong, str(model) if model else None, used if whole else None)


def _in_order(data: list[Any], count: int) -> list[Any]:
    """The items in the order of their texts; None for a text without an item."""
    indices = [cast("Mapping[str, Any]", item).get("index") if isinstance(item, Mapping) else None for item in data]
    if all(index is None for index in indices):  # then the items are in the order of the texts
        if len(data) != count:
            raise ReplyError(f"a reply to {count} texts must have an embedding of each, got {len(data)}")
        return data
    held: list[Any] = [None] * count
    for index, item in zip(indices, data, strict=True):
        if type(index) is not int or not 0 <= index < count or held[index] is not None:
            raise ReplyError(
                f"a reply to {count} texts must have an embedding of each, got {len(data)} with the indices "
                f"{_shown(indices)}"
            )
        held[index] = item
    return held


def _vector(item: Any) -> npt.NDArray[np.float32] | str:
    """The vector of an item, or a description of its fault."""
    given = cast("Mapping[str, Any]", item).get("embedding") if isinstance(item, Mapping) else None
    if isinstance(given, str):
        try:
            row = np.frombuffer(base64.b64decode(given, validate=True), dtype="<f4").astype(np.float32)
        except (binascii.Error, ValueError):
            return "is no base64 of float32 numbers"
    else:
        if not isinstance(given, list) or not all(type(one) in (int, float) for one in cast("list[Any]", given)):
            return "is no list of numbers"
        with np.errstate(over="ignore"):
            row = np.array(cast("list[float]", given), dtype=np.float64).astype(np.float32)
    if not len(row):
        return "has no numbers"
    return row if np.isfinite(row).all() else "has NaN or infinity in it"


def _check_lengths(rows: dict[int, npt.NDArray[np.float32]], wrong: dict[int, str], dimensions: int | None) -> None:
    """Move the rows whose length differs from that of the others to ``wrong``."""
    lengths = [len(row) for row in rows.values()]
    if not lengths:
        return
    wanted = dimensions or max(sorted(set(lengths)), key=lengths.count)
    if dimensions is not None and dimensions not in lengths:
        raise ReplyError(
            f"`dimensions` is {dimensions}, the embeddings have {lengths[0]}: the endpoint does not cut this model's"
        )
    for place in [place for place, row in rows.items() if len(row) != wanted]:
        wrong[place] = f"has {len(rows.pop(place))} dimensions, others {wanted}"


def _shown(places: list[Any]) -> str:
    return str(places) if len(places) <= 8 else f"[{', '.join(map(str, places[:8]))}, ...]"
