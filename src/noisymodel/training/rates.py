"""The training settings that may differ between heads of one batched model."""

from __future__ import annotations

from typing import NamedTuple

from .._checks import check_number


class Rates(NamedTuple):
    """A head's settings of AdamW and the schedule; heads with the same rates share an optimizer step."""

    learning_rate: float
    weight_decay: float
    warmup: float

    def checked(self, epochs: int) -> Rates:
        """Check the range of each number, and return them as Python numbers."""
        return Rates(
            check_number(self.learning_rate, "learning_rate", minimum=0, exclusive_minimum=True),
            check_number(self.weight_decay, "weight_decay", minimum=0),
            check_number(self.warmup, "warmup", minimum=0, maximum=epochs),
        )
