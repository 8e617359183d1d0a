"""The numbers of a training that may differ from head to head."""

from __future__ import annotations

from typing import NamedTuple

from .._checks import check_number


class Rates(NamedTuple):
    """What AdamW and the schedule are told of a head; heads with the same rates share an optimizer step."""

    learning_rate: float
    weight_decay: float
    warmup: float

    def checked(self, epochs: int) -> Rates:
        """The same as Python numbers, each in the range that `fit` takes."""
        return Rates(
            check_number(self.learning_rate, "learning_rate", minimum=0, exclusive_minimum=True),
            check_number(self.weight_decay, "weight_decay", minimum=0),
            check_number(self.warmup, "warmup", minimum=0, maximum=epochs),
        )
