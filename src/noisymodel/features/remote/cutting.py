"""One call of a client: it collects replies, and finds out whether a failure is due to a text, the size, or neither."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ...errors import EmbeddingError
from .replies import Failure, Reply
from .requests import Request, Vectors

if TYPE_CHECKING:
    from .client import OpenAIEmbeddings

Received = Callable[[Sequence[int], Vectors], None]

_FORBIDDEN = 403  # the key is refused, or, if it worked before, a text
_SHOWN = 5  # the most refused texts that a message names


class Learnt:
    """Properties of the endpoint, learnt from its replies."""

    def __init__(self, encoding: str, batch_size: int) -> None:
        self.encoding, self.batch_size = encoding, batch_size
        self.model: str | None = None
        self.width: int | None = None
        self.known: str | None = None  # the shortest text that was embedded
        self.lock = threading.Lock()


class Run:
    """One call of `OpenAIEmbeddings.embed`: the replies, the refused texts, and the failure that ended it."""

    def __init__(self, client: OpenAIEmbeddings, count: int, received: Received | None) -> None:
        self.client, self.count, self.received = client, count, received
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.refused: dict[int, str] = {}
        self._found: Vectors | None = None
        self._came: SimpleQueue[Reply | BaseException | None] = SimpleQueue()  # replies, and the end of each request
        self._learnt: Learnt = client.learnt

    def over(self, planned: Iterator[Request], concurrency: int) -> Vectors:
        """Send all requests, and pass each reply to the caller when it arrives; return (N, D), or raise the error."""
        running = 0
        with ThreadPoolExecutor(concurrency, thread_name_prefix="embeddings") as pool:
            try:
                while True:
                    for request in islice(planned, 0 if self.failure else concurrency - running):
                        pool.submit(self._answer, request)
                        running += 1
                    if not running:
                        break
                    came = self._came.get()
                    if isinstance(came, Reply):
                        self._hand_over(came)
                        continue
                    running -= 1
                    if came is not None and not isinstance(came, EmbeddingError | TypeError | ValueError):
                        raise came
                    if came is not None:
                        self.failure = self.failure or came
                        self.stop.set()
            finally:
                self.stop.set()  # also on Ctrl-C: no request waits for its next attempt then
        return self._result()

    def _hand_over(self, reply: Reply) -> None:
        if self._found is None:
            self._found = np.empty((self.count, reply.vectors.shape[1]), np.float32)
        self._found[reply.places] = reply.vectors
        if self.received is not None:
            self.received(reply.places, reply.vectors)

    def _result(self) -> Vectors:
        """Return (N, D), or raise the error."""
        if self.failure is not None:
            raise self.failure
        if self.refused:
            first, *more = sorted(self.refused)
            named = "".join(f", `texts[{place}]`" for place in more[: _SHOWN - 1])
            others = f" ({len(self.refused)} texts were refused: `texts[{first}]`{named})" if more else ""
            raise EmbeddingError(f"`texts[{first}]`: {self.refused[first]}{others}; all other texts were embedded")
        return np.zeros((0, 0), np.float32) if self._found is None else self._found

    def _answer(self, request: Request) -> None:
        """Answer a request, in pieces that the endpoint has accepted before; then say that, or how, it ended."""
        ended: BaseException | None = None
        try:
            for piece in request.pieces(self._learnt.batch_size):
                failed = self._tried(piece, self.client.max_retries)
                if failed is not None:
                    self._cut(piece, failed)
        except BaseException as error:
            ended = error
        self._came.put(ended)

    def _tried(self, request: Request, retries: int) -> Failure | None:
        """Send a request and keep the reply; return None, or a failure that a smaller request may avoid."""
        encoding = self._learnt.encoding
        found = self.client.sent(request, self.stop, retries)
        if isinstance(found, Reply):
            self._keep(found, request)
            return None
        verdict = self.client.verdict(found)
        if verdict == "format" and encoding == "base64" and self.client.encoding_format is None:
            self._learnt.encoding = "float"
            return self._tried(request, retries)
        if verdict == "end" or (verdict == "format" and (encoding == "base64" or self._learnt.known is None)):
            self._ended(found)
        if found.status == _FORBIDDEN and self._learnt.known is None:
            self._ended(found)
        return found

    def _ended(self, failure: Failure) -> NoReturn:
        raise EmbeddingError(self.client.told(failure))

    def _keep(self, reply: Reply, request: Request) -> None:
        learnt = self._learnt
        width = reply.vectors.shape[1] if reply.places else None
        with learnt.lock:
            earlier, answered = learnt.width, learnt.model
            learnt.width = learnt.width or width
            learnt.model = learnt.model or reply.model
            if reply.places and learnt.width == width:
                good = set(reply.places)
                shortest = min((t for p, t in zip(request.places, request.texts, strict=True) if p in good), key=len)
                learnt.known = shortest if learnt.known is None else min(learnt.known, shortest, key=len)
        if answered and reply.model and reply.model != answered:
            raise EmbeddingError(
                f"the model behind the endpoint has changed: {answered!r} answered before, now {reply.model!r}"
            )
        if earlier and width and width != earlier:
            if len(reply.places) == 1 and self._lives():
                self.refused[reply.places[0]] = f"the embedding has {width} dimensions, others {earlier}"
                return
            raise EmbeddingError(
                f"the embedding of `texts[{reply.places[0]}]` has {width} dimensions, earlier ones {earlier}: "
                "the model behind the endpoint has changed"
            )
        self.refused.update({place: f"the embedding {why}" for place, why in reply.wrong.items()})
        if reply.places:
            self._came.put(reply)

    def _cut(self, request: Request, failed: Failure) -> None:
        """Split a failed request in halves, to find out whether its size or a text is the cause."""
        told = self.client.told(failed)
        waited = self.client.verdict(failed) == "wait"
        if len(request.texts) == 1:
            if waited and not self._lives():
                self._ended(failed)
            self.refused[request.places[0]] = told
            return
        before = len(self.refused)
        halves = request.halves()
        retries = 0 if waited else self.client.max_retries
        failures = [self._tried(half, retries) for half in halves]
        if all(failures) and not self._lives() and (waited or self._both_ends(request)):
            self._ended(failed)
        for half, again in zip(halves, failures, strict=True):
            if again is not None:
                self._cut(half, again)
        taken = [len(half.texts) for half, again in zip(halves, failures, strict=True) if again is None]
        if taken and len(self.refused) == before and not waited:  # so the size was the cause
            self._learnt.batch_size = min(self._learnt.batch_size, max(taken))

    def _lives(self) -> bool:
        """Whether the endpoint accepts a text now that it has accepted before."""
        if self._learnt.known is None:
            return False
        text = self._learnt.known
        found = self.client.sent(Request([0], [text], [1]), self.stop, 0)
        return isinstance(found, Reply) and found.vectors.shape[1:] == (self._learnt.width,)

    def _both_ends(self, request: Request) -> bool:
        """Whether the first and the last text alone are refused too: then no single text is the cause."""
        ends = [request.part(at, at + 1) for at in (0, len(request.texts) - 1)]
        return all(self._tried(end, 0) is not None for end in ends)
