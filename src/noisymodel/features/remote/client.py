"""`OpenAIEmbeddings`: embeddings from any OpenAI-compatible endpoint, through the official client."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from ..._checks import check_integer, check_number
from ...errors import EmbeddingError, MissingExtraError
from .limits import Estimate, Pace, Spending, wait_before_retry
from .requests import Request, Vectors, check_text, count_tokens, requests, vectors_of

if TYPE_CHECKING:
    import openai

Received = Callable[[Sequence[int], Vectors], None]

_TOO_LARGE = (400, 413, 422)  # what servers answer to more texts or tokens than they take
_AGAIN = (408, 409, 429)
_LAST_OF_CLIENT_ERRORS = 499


class EmbeddingClient(Protocol):
    """What `embed` needs of a client; `OpenAIEmbeddings` is one, and anything with these two will do."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Which model this is, for JSON: texts embedded by clients with equal metadata have equal features."""
        ...

    def embed(self, texts: Sequence[str], *, received: Received | None = None) -> Vectors:
        """(N, D) float32; ``received(places, vectors)`` is called as soon as some of them are there."""
        ...


class OpenAIEmbeddings:
    """Embeddings from an OpenAI-compatible endpoint: batched, concurrent, retried, paced, and within a limit of cost.

    >>> from noisymodel.features import OpenAIEmbeddings
    >>> client = OpenAIEmbeddings("my-model", "http://localhost:8000/v1", api_key="none", price_per_million_tokens=0.1)
    >>> client
    OpenAIEmbeddings('my-model', base_url='http://localhost:8000/v1')
    >>> client.estimate(["a text", "another"])
    Estimate(texts=2, requests=1, tokens=5, cost=5e-07)

    Args:
        model: its name, as the endpoint knows it.
        base_url: of the endpoint, up to ``/v1``; ``None``: the environment's ``OPENAI_BASE_URL``, or OpenAI's.
        api_key: ``None``: the environment's ``OPENAI_API_KEY``. It goes into the requests' header and nowhere else: not
            into files, errors, `repr` or pickles (a pickled client reads the environment again).
        dimensions: D, for models that can be cut; ``None``: the model's own.
        batch_size: texts in a request at most.
        batch_tokens: tokens in a request at most (one text alone may have more). A request that the server finds too
            large (400, 413, 422) is sent again in halves.
        concurrency: requests at once.
        max_retries: attempts after the first one, on 408, 409, 429, 5xx, lost connections and timeouts. The waits
            double from ``backoff`` on, up to a minute, times a random factor in [½, 1]; ``Retry-After`` is honoured. A
            429 that says that the quota is used up is not retried.
        backoff: seconds of the first wait.
        timeout: seconds for one attempt.
        requests_per_minute: sent at most, evenly spread; ``None``: no limit.
        tokens_per_minute: likewise, of estimated tokens.
        price_per_million_tokens: for `estimate` and ``max_cost``, in any currency. There are no prices in this library.
        max_cost: a request that would make all of this client's replies cost more is not sent: `SpendLimitError`.
        max_tokens: likewise, in tokens.
        count_tokens: tokens of a text; ``None``: a third of its UTF-8 bytes, which is seldom too low.
        http_client: the transport, as the official client takes it; ``None``: its own.

    Raises:
        MissingExtraError: without the package ``openai``.
        ValueError: without a key, and for numbers out of range.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        dimensions: int | None = None,
        batch_size: int = 256,
        batch_tokens: int = 100_000,
        concurrency: int = 4,
        max_retries: int = 6,
        backoff: float = 1.0,
        timeout: float = 60.0,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        price_per_million_tokens: float | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
        http_client: Any = None,
    ) -> None:
        if max_cost is not None and price_per_million_tokens is None:
            raise ValueError("`max_cost` needs `price_per_million_tokens`, since this library knows no prices")
        self.model, self.base_url, self.dimensions = model, base_url, _positive(dimensions, "dimensions")
        self.batch_size = check_integer(batch_size, "batch_size", minimum=1)
        self.batch_tokens = check_integer(batch_tokens, "batch_tokens", minimum=1)
        self.concurrency = check_integer(concurrency, "concurrency", minimum=1)
        self.max_retries = check_integer(max_retries, "max_retries", minimum=0)
        self.backoff = check_number(backoff, "backoff", minimum=0)
        self.timeout = check_number(timeout, "timeout", minimum=0, exclusive_minimum=True)
        self.requests_per_minute = _rate(requests_per_minute, "requests_per_minute")
        self.tokens_per_minute = _rate(tokens_per_minute, "tokens_per_minute")
        self.price_per_million_tokens = _amount(price_per_million_tokens, "price_per_million_tokens")
        self.max_cost, self.max_tokens = _amount(max_cost, "max_cost"), _positive(max_tokens, "max_tokens")
        self.count_tokens = count_tokens
        self._connect(api_key, http_client)

    def _connect(self, api_key: str | None, http_client: Any) -> None:
        try:
            import openai
        except ImportError:
            raise MissingExtraError("openai", extra="api", purpose="embedding APIs") from None
        key = api_key or os.environ.get("OPENAI_API_KEY")
        if not key:
            raise ValueError(
                "there is no API key: set OPENAI_API_KEY in the environment, or give `api_key` "
                "(any text, for an endpoint that asks for none)"
            )
        self._client: openai.OpenAI = openai.OpenAI(
            api_key=key, base_url=self.base_url, timeout=self.timeout, max_retries=0, http_client=http_client
        )
        if http_client is None:  # connections are closed with this client, not some time later
            weakref.finalize(self, self._client.close)
        self._pace = Pace(self.requests_per_minute, self.tokens_per_minute)
        self._spending = Spending(self.price_per_million_tokens, self.max_cost, self.max_tokens)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connect(None, None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={_without_secrets(str(self._client.base_url))!r})"

    @property
    def metadata(self) -> dict[str, Any]:
        """``backbone``, ``transform`` and ``layer``, for a `FeatureStore`: the host is part of the backbone."""
        host = urlsplit(str(self._client.base_url)).netloc.rpartition("@")[2]
        return {"backbone": f"openai:{self.model}@{host}", "transform": {"dimensions": self.dimensions}, "layer": "api"}

    @property
    def tokens_used(self) -> int:
        """Tokens of all replies to this client, as the server counted them."""
        return self._spending.tokens

    @property
    def cost(self) -> float | None:
        """Of all replies to this client, in the currency of ``price_per_million_tokens``; None without a price."""
        return self._spending.cost(self._spending.tokens)

    def estimate(self, texts: Iterable[str]) -> Estimate:
        """What embedding ``texts`` (each different one once, nothing cached) would take; nothing is sent."""
        unique = list(dict.fromkeys(check_text(text, place) for place, text in enumerate(texts)))
        planned = list(self._requests(unique))
        tokens = sum(sum(request.tokens) for request in planned)
        return Estimate(len(unique), len(planned), tokens, self._spending.cost(tokens))

    def embed(self, texts: Sequence[str], *, received: Received | None = None) -> Vectors:
        """Embed texts.

        Args:
            texts: N strings, none empty.
            received: called with (places, vectors (n, D)) as soon as a reply is there, in the order of replies, by the
                calling thread. What came before an error is not lost so.

        Returns:
            (N, D) float32, in the order of ``texts``, (0, 0) without texts.

        Raises:
            EmbeddingError: the endpoint failed for good, or its reply is not what it should be.
            SpendLimitError: before a request that would exceed a limit.
            TypeError, ValueError: for texts that are none, or empty.
        """
        checked = [check_text(text, place) for place, text in enumerate(texts)]
        found: Vectors | None = None
        stop = threading.Event()
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="embeddings") as pool:
            planned = self._requests(checked)
            running: set[Future[tuple[list[int], Vectors]]] = set()
            failure: BaseException | None = None
            try:
                while True:
                    while failure is None and len(running) < self.concurrency and (request := next(planned, None)):
                        running.add(pool.submit(self._answer, request, stop))
                    if not running:
                        break
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        try:
                            found = _place(found, *future.result(), len(checked))
                        except (EmbeddingError, TypeError, ValueError) as error:
                            failure = failure or error
                            stop.set()
                            continue
                        if received is not None:
                            received(*future.result())
            finally:
                stop.set()  # also on Ctrl-C: nothing waits for its next attempt then
            if failure is not None:
                raise failure
        return np.zeros((0, 0), np.float32) if found is None else found

    def _requests(self, texts: Sequence[str]) -> Iterator[Request]:
        count = self.count_tokens or count_tokens
        return requests(texts, batch_size=self.batch_size, batch_tokens=self.batch_tokens, count=count)

    def _answer(self, request: Request, stop: threading.Event) -> tuple[list[int], Vectors]:
        """The reply to a request, which is cut in halves as long as the server finds it too large."""
        try:
            return request.places, self._sent(request, stop)
        except _TooLargeError as error:
            if len(request.texts) == 1:
                raise EmbeddingError(f"`texts[{request.places[0]}]`: {error}") from None
            parts = [self._answer(half, stop) for half in request.halves()]
            return [place for places, _ in parts for place in places], np.concatenate([part for _, part in parts])

    def _sent(self, request: Request, stop: threading.Event) -> Vectors:
        """One request with its retries."""
        import openai

        tokens = sum(request.tokens)
        options: dict[str, Any] = {} if self.dimensions is None else {"dimensions": self.dimensions}
        for attempt in range(self.max_retries + 1):
            _pause(self._pace.reserve(tokens), stop)
            self._spending.reserve(tokens)
            used = 0
            try:
                reply = self._client.embeddings.create(model=self.model, input=request.texts, **options)
                used = _tokens_of(reply, tokens)
                return vectors_of(reply.data, request)
            except openai.APIStatusError as error:
                delay = self._delay(error, attempt)
            except openai.APIConnectionError as error:
                if attempt == self.max_retries:
                    raise EmbeddingError(self._told(error, attempt + 1)) from None
                delay = wait_before_retry(attempt, self.backoff, {})
            except (openai.APIError, ValueError, TypeError, AttributeError) as error:
                told = self._clean(str(error))[:200]
                raise EmbeddingError(f"a reply of {self._where()} cannot be read: {told}") from None
            finally:
                self._spending.settle(tokens, used)
            _pause(delay, stop)
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def _delay(self, error: openai.APIStatusError, attempt: int) -> float:
        """Seconds until the next attempt, if there is to be one."""
        status = error.status_code
        if status in _TOO_LARGE:
            raise _TooLargeError(self._told(error, 1)) from None
        final = status <= _LAST_OF_CLIENT_ERRORS and status not in _AGAIN
        if final or attempt == self.max_retries or error.code == "insufficient_quota":
            raise EmbeddingError(self._told(error, attempt + 1)) from None
        return wait_before_retry(attempt, self.backoff, error.response.headers)

    def _told(self, error: openai.APIError, attempts: int) -> str:
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        cause = "" if error.__cause__ is None else f" ({self._clean(str(error.__cause__))[:200]})"
        return f"{self._where()} failed{tried}: {self._clean(error.message)[:300]}{cause}"

    def _where(self) -> str:
        return _without_secrets(str(self._client.base_url))

    def _clean(self, text: str) -> str:
        """One line, without the key: servers have been seen to repeat it in their errors."""
        return " ".join(text.replace(self._client.api_key, "***").split())


class _TooLargeError(Exception):
    """A server refused a request; a smaller one may do."""


def _place(found: Vectors | None, places: list[int], vectors: Vectors, count: int) -> Vectors:
    if found is None:
        found = np.empty((count, vectors.shape[1]), np.float32)
    if vectors.shape[1] != found.shape[1]:
        raise EmbeddingError(
            f"the embedding of `texts[{places[0]}]` has {vectors.shape[1]} dimensions, earlier ones {found.shape[1]}: "
            "the model behind the endpoint has changed"
        )
    found[places] = vectors
    return found


def _tokens_of(reply: Any, estimated: int) -> int:
    """What the server counted, where it did."""
    used = getattr(getattr(reply, "usage", None), "total_tokens", None)
    return used if isinstance(used, int) and used >= 0 else estimated


def _pause(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds):
        raise EmbeddingError("stopped since another request failed")


def _without_secrets(url: str) -> str:
    """Scheme, host and path: user names, passwords and queries may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _positive(value: int | None, name: str) -> int | None:
    return None if value is None else check_integer(value, name, minimum=1)


def _rate(value: float | None, name: str) -> float | None:
    return None if value is None else check_number(value, name, minimum=0, exclusive_minimum=True)


def _amount(value: float | None, name: str) -> float | None:
    return None if value is None else check_number(value, name, minimum=0)
