"""Limits of requests: pace, spending, and the waits between attempts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from ...errors import SpendLimitError

_PER_MINUTE = 60.0
_LONGEST_WAIT = 60.0  # seconds between attempts, unless the server asks for more
LONGEST_ASKED = 600.0
"""The most seconds that a server may ask to wait; more is an error."""

_MILLION = 1_000_000


class Estimate(NamedTuple):
    """An estimate of the requests, tokens and cost of embedding some texts."""

    texts: int
    requests: int
    tokens: int
    cost: float | None  # None without a price


class Pace:
    """Limits of requests and tokens per minute: each request waits until the earlier ones have used their time.

    Requests are spread evenly, without bursts, so no window of a minute has more than the limits plus one request.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_request = _PER_MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._per_token = _PER_MINUTE / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._ready = clock()

    def reserve(self, tokens: int) -> float:
        """Reserve the time of a request with so many tokens; return the seconds to wait before it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._ready)
            self._ready = start + max(self._per_request, self._per_token * tokens)
            return start - now


class Spending:
    """Limits of tokens and cost: a request that could exceed a limit is not sent."""

    def __init__(self, price_per_million_tokens: float | None, max_cost: float | None, max_tokens: int | None) -> None:
        self.price = price_per_million_tokens
        self._max_cost, self._max_tokens = max_cost, max_tokens
        self._lock = threading.Lock()
        self._tokens = 0  # of replies
        self._reserved = 0  # of requests without a reply yet

    @property
    def tokens(self) -> int:
        """The tokens of all replies, as the server counted them, or estimated if it did not."""
        return self._tokens

    def cost(self, tokens: int) -> float | None:
        """The cost in the price's currency; None without a price."""
        return None if self.price is None else tokens * self.price / _MILLION

    def reserve(self, tokens: int) -> None:
        """Reserve a request's estimated tokens, or refuse the request."""
        with self._lock:
            after = self._tokens + self._reserved + tokens
            cost = self.cost(after)
            spent = f"{self._tokens:,} tokens have been used, and the next request has about {tokens:,}"
            if self._max_tokens is not None and after > self._max_tokens:
                raise SpendLimitError(f"`max_tokens` is {self._max_tokens:,}: {spent}; what came so far is kept")
            if self._max_cost is not None and cost is not None and cost > self._max_cost:
                raise SpendLimitError(
                    f"`max_cost` is {self._max_cost:g}: {spent}, {cost:.4g} in all; what came so far is kept"
                )
            self._reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Replace the reservation by the tokens that the reply used, 0 for a failed request."""
        with self._lock:
            self._reserved -= reserved
            self._tokens += used


def wait_before_retry(attempt: int, backoff: float, headers: Mapping[str, str]) -> float:
    """Seconds before the next attempt: a random share of backoff·2^attempt, and at least what the server asks for.

    The share is uniform in [½, 1], so that clients that failed together do not return together.
    """
    jitter = random.uniform(0.5, 1.0)  # affects no result; it must differ between clients
    delay = min(backoff * 2.0**attempt, _LONGEST_WAIT) * jitter
    return max(delay, retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds in ``retry-after-ms`` or ``Retry-After`` (seconds or a date); 0 without these headers."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return 0.0
