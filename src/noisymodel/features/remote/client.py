"""`OpenAIEmbeddings`: embeddings from any OpenAI-compatible endpoint, through the official client."""

from __future__ import annotations

import base64
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from ..._checks import check_choice, check_integer, check_number
from ...errors import EmbeddingError, MissingExtraError
from .cutting import Learnt, Received, Run
from .limits import LONGEST_ASKED, Estimate, Pace, Spending, retry_after, wait_before_retry
from .masking import masked, secrets_of_address, without_secrets
from .replies import Failure, Reply, ReplyError, Verdict, read_reply
from .requests import Request, Vectors, check_text, check_texts, count_tokens, requests

if TYPE_CHECKING:
    import openai


class EmbeddingClient(Protocol):
    """The interface that `embed` needs: any object with these two members, such as `OpenAIEmbeddings`."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The identity of the model, for JSON: clients with equal metadata give equal features for a text."""
        ...

    def embed(self, texts: Sequence[str], *, received: Received | None = None) -> Vectors:
        """Embed texts to (N, D) float32; ``received(places, vectors)`` is called whenever some vectors arrive."""
        ...


class OpenAIEmbeddings:
    """Embeddings from an OpenAI-compatible endpoint: batched, concurrent, retried, paced, and with a cost limit.

    >>> from noisymodel.features import OpenAIEmbeddings
    >>> client = OpenAIEmbeddings("my-model", "http://localhost:8000/v1", api_key="none", price_per_million_tokens=0.1)
    >>> client
    OpenAIEmbeddings('my-model', base_url='http://localhost:8000/v1')
    >>> client.estimate(["a text", "another"])
    Estimate(texts=2, requests=1, tokens=5, cost=5e-07)

    Args:
        model: its name, as the endpoint knows it.
        base_url: the address of the endpoint, up to ``/v1``; ``None``: the environment's ``OPENAI_BASE_URL``, or
            OpenAI's.
        api_key: ``None``: the environment's ``OPENAI_API_KEY``. It goes only into the requests' header: not into
            files, errors, `repr` or pickles (a pickled client reads the environment again).
        dimensions: D, for models with shortened embeddings; ``None``: the model's own.
        batch_size: the most texts in a request.
        batch_tokens: the most tokens in a request (one text alone may have more). If the server finds a request too
            large, it is sent again in halves, and later requests have no more texts than the size that worked.
        concurrency: the number of simultaneous requests.
        max_retries: attempts after the first one, on 408, 409, 425, 429, 5xx, lost connections and timeouts. The waits
            double from ``backoff`` on, up to a minute, times a random factor in [½, 1]. ``Retry-After`` is honoured up
            to ten minutes; a longer one is an error. A 429 for a used-up quota is not retried.
        backoff: seconds of the first wait.
        timeout: seconds for one attempt.
        requests_per_minute: the most requests a minute, evenly spread; ``None``: no limit.
        tokens_per_minute: the most estimated tokens a minute, evenly spread; ``None``: no limit.
        price_per_million_tokens: for `estimate` and ``max_cost``, in any currency. This library has no prices.
        max_cost: the most that all replies to this client may cost; a request beyond it raises `SpendLimitError`.
        max_tokens: the most tokens of all replies to this client; a request beyond it raises `SpendLimitError`.
        count_tokens: a function from a text to its number of tokens; ``None``: a third of its UTF-8 bytes, which is
            seldom too low.
        encoding_format: ``"base64"`` or ``"float"``; ``None``: base64, or float once base64 is refused.
        http_client: the transport of the official client; ``None``: its own.

    Raises:
        MissingExtraError: without the package ``openai``.
        ValueError: for a missing key, and for numbers out of range.
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
        encoding_format: str | None = None,
        http_client: Any = None,
    ) -> None:
        if encoding_format is not None:
            check_choice(encoding_format, "encoding_format", ("base64", "float"))
        self.encoding_format = encoding_format
        if max_cost is not None and price_per_million_tokens is None:
            raise ValueError("`max_cost` needs `price_per_million_tokens`, since this library knows no prices")
        self.model, self.base_url, self.dimensions = model, base_url, _positive(dimensions, "dimensions")
        self.batch_size = check_integer(batch_size, "batch_size", minimum=1)
        self.batch_tokens = check_integer(batch_tokens, "batch_tokens", minimum=1)
        self.concurrency = check_integer(concurrency, "concurrency", minimum=1)
        self.max_retries = check_integer(max_retries, "max_retries", minimum=0)
        self.backoff = check_number(backoff, "backoff", minimum=0)
        self.timeout = check_number(timeout, "timeout", minimum=0, exclusive_minimum=True)
        self.requests_per_minute = _amount(requests_per_minute, "requests_per_minute", positive=True)
        self.tokens_per_minute = _amount(tokens_per_minute, "tokens_per_minute", positive=True)
        self.price_per_million_tokens = _amount(price_per_million_tokens, "price_per_million_tokens")
        self.max_cost, self.max_tokens = _amount(max_cost, "max_cost"), _positive(max_tokens, "max_tokens")
        self.count_tokens = count_tokens
        _check_address(base_url if base_url is not None else os.environ.get("OPENAI_BASE_URL"))
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
        address = self.base_url if self.base_url is not None else os.environ.get("OPENAI_BASE_URL")
        self._secrets = [key, *(secrets_of_address(address) if address else [])]
        self._headers, address = _basic(address)
        self._client: openai.OpenAI = openai.OpenAI(  # its retries cannot be stopped, paced or counted: ours are below
            api_key=key, base_url=address, timeout=self.timeout, max_retries=0, http_client=http_client
        )
        if http_client is None:  # connections close with this client, not some time later
            weakref.finalize(self, self._client.close)
        self._pace = Pace(self.requests_per_minute, self.tokens_per_minute)
        self._spending = Spending(self.price_per_million_tokens, self.max_cost, self.max_tokens)
        self.learnt = Learnt(self.encoding_format or "base64", self.batch_size)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "learnt"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connect(None, None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={self._where()!r})"

    @property
    def metadata(self) -> dict[str, Any]:
        """``backbone``, ``transform`` and ``layer``, for a `FeatureStore`: the host is part of the backbone."""
        host = urlsplit(str(self._client.base_url)).netloc.rpartition("@")[2]
        return {"backbone": f"openai:{self.model}@{host}", "transform": {"dimensions": self.dimensions}, "layer": "api"}

    @property
    def answering_model(self) -> str | None:
        """The model's name in the replies; None before the first reply, or if replies have no name."""
        return self.learnt.model

    @property
    def tokens_used(self) -> int:
        """The tokens of all replies to this client, as the server counted them."""
        return self._spending.tokens

    @property
    def cost(self) -> float | None:
        """The cost of all replies to this client, in the currency of ``price_per_million_tokens``; None without it."""
        return self._spending.cost(self._spending.tokens)

    def estimate(self, texts: Iterable[str]) -> Estimate:
        """Estimate the requests, tokens and cost of embedding ``texts`` (equal texts once, no cache); send nothing."""
        check_texts(texts)
        unique = list(dict.fromkeys(check_text(text, place) for place, text in enumerate(texts)))
        planned = list(self._requests(unique))
        tokens = sum(sum(request.tokens) for request in planned)
        return Estimate(len(unique), len(planned), tokens, self._spending.cost(tokens))

    def embed(self, texts: Sequence[str], *, received: Received | None = None) -> Vectors:
        """Embed texts.

        If the endpoint refuses a text or returns a wrong vector, all other texts are embedded and handed to
        ``received`` before the error, which names that text.

        Args:
            texts: N strings, none empty.
            received: called with (places, vectors (n, D)) for each reply as soon as it arrives, by the calling thread.
                So vectors that arrived before an error are not lost.

        Returns:
            (N, D) float32, in the order of ``texts``, (0, 0) without texts.

        Raises:
            EmbeddingError: the endpoint failed permanently, or its reply is invalid.
            SpendLimitError: the next request would exceed a limit.
            TypeError, ValueError: for texts that are not strings, or empty.
        """
        check_texts(texts)
        checked = [check_text(text, place) for place, text in enumerate(texts)]
        return Run(self, len(checked), received).over(self._requests(checked), self.concurrency)

    def _requests(self, texts: Sequence[str]) -> Iterator[Request]:
        count = self.count_tokens or count_tokens
        return requests(texts, batch_size=self.batch_size, batch_tokens=self.batch_tokens, count=count)

    def sent(self, request: Request, stop: threading.Event, retries: int) -> Reply | Failure:
        """Send one request, with retries; return the reply or the failure."""
        tokens = sum(request.tokens)
        for attempt in range(retries + 1):
            _pause(self._pace.reserve(tokens), stop)
            self._spending.reserve(tokens)
            used = 0
            try:
                found = self._attempt(request)
                used = 0 if isinstance(found, Failure) else tokens if found.tokens is None else found.tokens
            finally:
                self._spending.settle(tokens, used)
            if isinstance(found, Reply) or self.verdict(found) != "wait":
                return found
            asked = retry_after(found.headers)
            if asked > LONGEST_ASKED:
                raise EmbeddingError(
                    f"{self.told(found._replace(attempts=attempt + 1))}; it asks to wait {asked:,.0f} seconds "
                    "(Retry-After): run this again then, what came so far is kept"
                )
            if attempt == retries:
                return found._replace(attempts=retries + 1)
            _pause(wait_before_retry(attempt, self.backoff, found.headers), stop)
        raise AssertionError("the last attempt returns")  # pragma: no cover

    def _attempt(self, request: Request) -> Reply | Failure:
        """Send one request once. No exception of the client leaves this method, because it may hold the key."""
        import openai

        options: dict[str, Any] = {} if self.dimensions is None else {"dimensions": self.dimensions}
        options |= {"encoding_format": self.learnt.encoding, "extra_headers": self._headers}
        wrong = ""
        try:
            raw = self._client.embeddings.with_raw_response.create(model=self.model, input=request.texts, **options)
            return read_reply(json.loads(raw.http_response.content), request, self.dimensions)
        except openai.APIStatusError as error:
            headers, body = dict(error.response.headers), str(error.body or "")
            return Failure(error.status_code, error.message, str(error.code or ""), headers, body=body)
        except openai.APIConnectionError as error:
            return Failure(0, f"{error.message}{'' if error.__cause__ is None else f' ({error.__cause__})'}")
        except (openai.APIError, ReplyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            wrong = self._clean(str(error))[:300]
        raise EmbeddingError(f"a reply of {self._where()} cannot be read: {wrong}")

    def verdict(self, failure: Failure) -> Verdict:
        """The reaction to a failure of this client's requests."""
        return failure.verdict(dimensions=self.dimensions is not None)

    def told(self, failure: Failure) -> str:
        """Describe a failure in one line, without the key."""
        tried = f" after {failure.attempts} attempts" if failure.attempts > 1 else ""
        return f"{self._where()} failed{tried}: {self._clean(failure.told)[:300]}"

    def _where(self) -> str:
        return without_secrets(str(self._client.base_url))

    def _clean(self, text: str) -> str:
        """The text on one line, without the key: some servers repeat it in their errors."""
        return masked(text, self._secrets)


def _check_address(url: str | None) -> None:
    """Raise for an address without a scheme or host; None is the client's default."""
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = without_secrets(url) if parts.hostname else ("an empty text" if not url.strip() else "another text")
        raise ValueError(f"`base_url` (or OPENAI_BASE_URL) must be an address such as https://host/v1, got {shown}")


def _basic(url: str | None) -> tuple[dict[str, str], str | None]:
    """The header for the user in an address, and the address without the user, which may be logged."""
    parts = urlsplit(url or "")
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return {}, url
    coded = base64.b64encode(unquote(user).encode()).decode()
    return {"Authorization": f"Basic {coded}"}, parts._replace(netloc=host).geturl()


def _pause(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds):
        raise EmbeddingError("stopped since another request failed")


def _positive(value: int | None, name: str) -> int | None:
    return None if value is None else check_integer(value, name, minimum=1)


def _amount(value: float | None, name: str, *, positive: bool = False) -> float | None:
    return None if value is None else check_number(value, name, minimum=0, exclusive_minimum=positive)
