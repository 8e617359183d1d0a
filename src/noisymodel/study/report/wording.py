"""Texts for the numbers of a summary: points with true minus signs, intervals, and the outcome of a difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from ..analysis.summary import NOISY, SummaryRow

Outcome = Literal["gain", "loss", "not significant", "no interval"]
"""The outcome of a difference; ``"no interval"`` with a single seed."""


class Entry(NamedTuple):
    """The text of one cell of a table, with the outcome of its difference."""

    text: str
    outcome: Outcome | None = None

    @property
    def marked(self) -> str:
        """The text, with a mark if it is not significant."""
        return self.text + (" n.s." if self.outcome == "not significant" else "")


LEVEL = 0.05
"""The level of significance after Holm's correction."""
FEW_SEEDS = 6
"""With fewer seeds the intervals of a bootstrap are too narrow."""

WHERE = {"id": "in-domain", "ood": "under shift"}
"""The names of the splits for readers."""


def outcome(row: SummaryRow) -> Outcome:
    """The outcome of a difference, by its sign and whether its interval excludes zero."""
    if math.isnan(row.low):
        return "no interval"
    if row.significant:
        return "gain" if row.mean > 0 else "loss"
    return "not significant"


def sorted_by_outcome(texts: Iterable[tuple[str, Outcome]]) -> dict[Outcome, list[str]]:
    """The texts with each outcome."""
    found: dict[Outcome, list[str]] = {"loss": [], "gain": [], "not significant": [], "no interval": []}
    for text, said in texts:
        found[said].append(text)
    return found


def by_outcome(
    rows: Iterable[tuple[str, SummaryRow | None]],
    text: str = "{} ({})",
    judge: Callable[[SummaryRow], Outcome] = outcome,
) -> dict[Outcome, list[str]]:
    """The differences with each outcome, as their label and points; missing ones are left out."""
    return sorted_by_outcome((text.format(label, signed(row.mean)), judge(row)) for label, row in rows if row)


def after_holm(row: SummaryRow) -> Outcome:
    """The outcome of a comparison after Holm's correction over its family."""
    said = outcome(row)
    return "not significant" if said in ("gain", "loss") and not row.p_holm <= LEVEL else said


def rate_text(rate: str) -> str:
    r"""A noise rate as readers write it.

    >>> rate_text("0.05"), rate_text("noisy")
    ('5\xa0%', 'mean of noisy')
    """
    return "mean of noisy" if rate == NOISY else f"{100 * float(rate):g}\u00a0%"


def rates_text(rates: Iterable[str]) -> str:
    r"""Several noise rates.

    >>> rates_text(["0.0", "0.05"])
    '0, 5\xa0%'
    """
    return ", ".join(f"{100 * float(rate):g}" for rate in rates) + "\u00a0%"


def signed(value: float, scale: float = 100, digits: int = 1) -> str:
    """A signed number with a true minus sign; ``scale`` 100 makes percentage points of fractions.

    >>> signed(-0.0361), signed(0.03), signed(-0.0001)
    ('−3.6', '+3.0', '−0.0')
    """
    return f"{scale * value:+.{digits}f}".replace("-", "−")


def bounds(row: SummaryRow, scale: float = 100, digits: int = 1) -> str:
    """The interval of a difference that has one; one digit more where a bound would be rounded to zero."""
    if any(0 < abs(scale * bound) < 0.5 * 10**-digits for bound in (row.low, row.high)):
        digits += 1
    return f"{signed(row.low, scale, digits)},\u00a0{signed(row.high, scale, digits)}"


def plus_minus(row: SummaryRow, scale: float = 100, digits: int = 1) -> str:
    """A mean with the half-width of its interval; with a single seed the mean alone."""
    return signed_plus_minus(row, scale, digits).removeprefix("+")


def signed_plus_minus(row: SummaryRow, scale: float = 100, digits: int = 1) -> str:
    """A difference with the half-width of its interval."""
    mean = signed(row.mean, scale, digits)
    return mean if math.isnan(row.low) else f"{mean} ± {scale * row.half_width:.{digits}f}"


def mean_entry(row: SummaryRow | None, scale: float = 100, digits: int = 1) -> Entry:
    """A mean, by `plus_minus`; a dash where there is none."""
    return Entry(plus_minus(row, scale, digits) if row else "–")


def change_entry(row: SummaryRow | None) -> Entry:
    """A difference, by `signed_plus_minus`; a dash where there is none."""
    return Entry(signed_plus_minus(row), outcome(row)) if row else Entry("–")


def estimate_entry(value: float, low: float, high: float, digits: int) -> Entry:
    """A number with its interval, as it is; its sign is neither a gain nor a loss, so it has no colour."""
    if math.isnan(value):
        return Entry("–")
    numbers = [signed(number, 1, digits) for number in (value, low, high)]
    return Entry(numbers[0] if math.isnan(low) else f"{numbers[0]} [{numbers[1]},\u00a0{numbers[2]}]")


def interval_entry(row: SummaryRow | None, scale: float = 100, digits: int = 1) -> Entry:
    """A difference with its interval in square brackets, as ``"+3.0 [+1.1, +4.9]"``; a dash where there is none."""
    if row is None:
        return Entry("–")
    text = signed(row.mean, scale, digits)
    if not math.isnan(row.low):
        text += f" [{bounds(row, scale, digits)}]"
    return Entry(text, outcome(row))


def capitalized(text: str) -> str:
    """Capitalise the first letter; the rest does not change.

    >>> capitalized("linear probe, MLP")
    'Linear probe, MLP'
    """
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """Join items to an English list; with semicolons if an item contains a comma.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a, b", "c"])
    ('a', 'a, b and c', 'a, b; c')
    """
    words = list(items)
    if any("," in word for word in words):
        return "; ".join(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
