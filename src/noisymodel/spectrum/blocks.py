"""Blocks of rows on their way into O(d²) numbers: by a Gram matrix where it is as good, else by QR decompositions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .scatter import Relative, Scatter, added, conditioned, scatter_of
from .triangle import Moments, centred, joined, no_rows

_PATIENCE = 4  # at most 2⁴ − 1 blocks go by QR before their coordinates are tried again


class Blocks:
    """What is kept of all blocks so far, in three parts whose rows add up.

    - ``scatter``: Gram matrices added up, while their sum is well enough conditioned;
    - ``moments``: triangles by QR decomposition;
    - ``relative``: Gram matrices in the coordinates of such a triangle, for rows similar to those in it.

    ``always_gram`` adds up Gram matrices whatever their condition.
    """

    def __init__(self, num_features: int, device: torch.device, *, always_gram: bool) -> None:
        self.always_gram = always_gram
        self.moments = no_rows(num_features, device)
        self.scatter: Scatter | None = None
        self.relative: Relative | None = None
        self._mild = True  # whether Gram matrices of the rows themselves may do
        self._failures, self._skip = 0, 0

    @property
    def device(self) -> torch.device:
        """Where all of it lies."""
        return self.moments.mean.device

    @property
    def num_rows(self) -> int:
        """Of all parts."""
        return self.moments.num_rows + sum(part.num_rows for part in (self.scatter, self.relative) if part)

    def take_in(self, rows: Tensor) -> None:
        """Take in rows (n, d), float64, which are overwritten."""
        first = 2 * rows.shape[1]  # enough to judge, and to have coordinates for the others
        if not self.always_gram and len(rows) > first and self.scatter is None and self.relative is None:
            self._take(rows[:first])
            rows = rows[first:]
        self._take(rows)

    def add(self, scatter: Scatter) -> None:
        """Take in the rows of a scatter, which must be mild unless ``always_gram``."""
        total = added(self.scatter, scatter)
        if not self.always_gram and not total.is_mild:
            self.moments = joined(self.moments, scatter.moments())
        else:
            self.scatter = total

    def merge(self, other: Blocks) -> None:
        """Take in all rows of others."""
        device = self.device if self.num_rows else other.device
        self.moments = joined(_moved(self.moments, device), _moved(other.moments, device))
        self.scatter, self.relative = (part and _moved(part, device) for part in (self.scatter, self.relative))
        if other.relative is not None and other.relative.num_rows:
            self.moments = joined(self.moments, _moved(other.relative.moments(), device))
        if other.scatter is not None:
            self.add(_moved(other.scatter, device))
        self._mild = self._mild and other._mild

    def all_moments(self) -> Moments:
        """The moments of all rows; for ``always_gram`` with the scatter in the factor's place."""
        if self.always_gram:
            return self.moments if self.scatter is None else Moments(*self.scatter[:3])
        found = self.moments
        for part in (self.relative, self.scatter):
            if part is not None and part.num_rows:
                found = joined(found, part.moments())
        return found

    def only_scatter(self) -> Scatter | None:
        """The scatter, if that is all there is."""
        return self.scatter if self.scatter and self.scatter.num_rows == self.num_rows else None

    def _take(self, rows: Tensor) -> None:
        mean = centred(rows)
        if self.always_gram:
            self.add(scatter_of(mean, rows))
            return
        if self._mild and (self.scatter is not None or len(rows) >= 2 * rows.shape[1]):
            total = added(self.scatter, scatter_of(mean, rows))
            total = total if total.is_mild else conditioned(total)
            if total.is_mild:
                self.scatter = total
                return
            self._mild = False  # and it is likely to stay so
        mean = mean + centred(rows)  # what rounding left of the mean: zero exactly for constant columns
        if self.relative is not None and not self._skip:
            if not self.relative.has_room_for(len(rows)):
                self.relative = Relative.to(self._fold())
            found = self.relative.plus(mean, rows)
            if found is not None:
                self.relative, self._failures = found, 0
                return
            self._failures = min(self._failures + 1, _PATIENCE)
            self._skip = 2**self._failures
        self._decompose(mean, rows)

    def _decompose(self, mean: Tensor, rows: Tensor) -> None:
        """Take in centred rows by QR, and have coordinates of all rows for the next ones."""
        self.moments = joined(self._fold(), Moments(len(rows), mean, rows))
        self._skip = max(0, self._skip - 1)
        if self.moments.num_rows >= 2 * rows.shape[1]:
            self.relative = Relative.to(self.moments)

    def _fold(self) -> Moments:
        """The triangle, with the rows of ``relative`` moved into it."""
        if self.relative is not None and self.relative.num_rows:
            self.moments = joined(self.moments, self.relative.moments())
        self.relative = None
        return self.moments


def _moved(part: Any, device: torch.device) -> Any:
    """A part on another device."""
    return type(part)(*(value.to(device) if isinstance(value, Tensor) else value for value in part))
