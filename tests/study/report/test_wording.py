"""Numbers as words."""

from __future__ import annotations

import math

import pytest

from noisymodel.study.analysis.summary import SummaryRow
from noisymodel.study.report.wording import (
    bounds,
    interval_entry,
    listed,
    outcome,
    plus_minus,
    signed,
    signed_plus_minus,
)


def difference(mean: float, low: float = math.nan, high: float = math.nan) -> SummaryRow:
    significant = low > 0 or high < 0
    return SummaryRow("d", "o", "a", "s", "0.1", "m", "clean", 40, "id", "none", "accuracy", mean, low, high, 3,
                      0.1, math.nan, significant)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (difference(0.1, 0.05, 0.15), "gain"),
        (difference(-0.1, -0.15, -0.05), "loss"),
        (difference(0.1, -0.05, 0.25), "not significant"),
        (difference(-0.1, -0.25, 0.0), "not significant"),
        (difference(0.1), "no interval"),
    ],
)
def test_outcome(row: SummaryRow, said: str) -> None:
    assert outcome(row) == said


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (difference(0.1, 0.05, 0.15), "+10.0 [+5.0,\u00a0+15.0]"),
        (difference(-0.1, -0.15, -0.05), "−10.0 [−15.0,\u00a0−5.0]"),
        (difference(0.01, 0.0002, 0.02), "+1.0 [+0.02,\u00a0+2.00]"),
        (difference(0.1), "+10.0"),
    ],
)
def test_interval_entry(row: SummaryRow, text: str) -> None:
    assert interval_entry(row) == (text, outcome(row))


def test_a_missing_difference_is_a_dash() -> None:
    assert interval_entry(None) == ("–", None)


def test_scale_and_digits_are_used() -> None:
    row = difference(0.1234, 0.1, 0.1468)
    assert interval_entry(row, 1, 3).text == "+0.123 [+0.100,\u00a0+0.147]"
    assert plus_minus(row, 1, 3) == "0.123 ± 0.023"
    assert signed_plus_minus(row, 1, 2) == "+0.12 ± 0.02"
    assert signed(0.5, 1, 0) == "+0"
    assert bounds(row, 10, 1) == "+1.0,\u00a0+1.5"


def test_one_seed_has_no_half_width() -> None:
    assert plus_minus(difference(0.5)) == "50.0"
    assert signed_plus_minus(difference(-0.5)) == "−50.0"


def test_nothing_listed() -> None:
    assert listed([]) == ""
