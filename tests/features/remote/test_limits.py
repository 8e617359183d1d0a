from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.errors import SpendLimitError
from noisymodel.features.remote.limits import Pace, Spending, retry_after, wait_before_retry


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), min_size=1, max_size=60))
def test_no_minute_holds_more_than_the_limits(steps: list[tuple[float, int]]) -> None:
    now = 0.0
    pace = Pace(30, 1000, clock=lambda: now)
    sent: list[tuple[float, int]] = []
    for pause, tokens in steps:
        now += pause
        sent.append((now + pace.reserve(tokens), tokens))
    for start, _ in sent:
        window = [tokens for when, tokens in sent if start <= when < start + 60 - 1e-6]
        assert len(window) <= 30 + 1
        assert sum(window[:-1]) <= 1000 + 1e-6


def test_without_limits_nothing_waits() -> None:
    pace = Pace(None, None, clock=lambda: 1.0)
    assert [pace.reserve(10**6) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_tokens_set_the_pace() -> None:
    pace = Pace(None, 600, clock=lambda: 0.0)
    assert [pace.reserve(20) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_reserved_tokens_count_until_they_are_settled() -> None:
    spending = Spending(None, None, 10)
    spending.reserve(6)
    with pytest.raises(SpendLimitError, match="`max_tokens` is 10: 0 tokens have been used"):
        spending.reserve(5)
    spending.settle(6, 3)
    spending.reserve(7)
    assert spending.tokens == 3


def test_waits_double_with_jitter_up_to_a_minute() -> None:
    for attempt, low, high in [(0, 1, 2), (1, 2, 4), (3, 8, 16), (20, 30, 60)]:
        waits = [wait_before_retry(attempt, 2.0, {}) for _ in range(200)]
        assert low <= min(waits)
        assert max(waits) <= high
        assert max(waits) - min(waits) > (high - low) / 2
    assert wait_before_retry(0, 0.0, {"retry-after": "90"}) == 90


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "inf"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": formatdate(0, usegmt=True)}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_a_date() -> None:
    assert 55 < retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 60
