"""A backbone of transformers and a head as one `PreTrainedModel`, and a `Trainer` that logs every term.

Importing this module registers ``model_type="nmtune"``: `AutoConfig`, `AutoModelForSequenceClassification` and
`AutoModelForImageClassification` load folders that `save_pretrained` wrote.
"""

from __future__ import annotations

from .._extra import require

require("transformers", extra="hf")

from .configuration import HEADS, NMTuneConfig  # noqa: E402 - a missing library has its own error
from .model import NMTuneClassifierOutput, NMTuneForImageClassification, NMTuneForSequenceClassification  # noqa: E402
from .registration import register  # noqa: E402
from .trainer import NMTuneTrainer, NMTuneTrainerMixin  # noqa: E402

register()

__all__ = [
    "HEADS",
    "NMTuneClassifierOutput",
    "NMTuneConfig",
    "NMTuneForImageClassification",
    "NMTuneForSequenceClassification",
    "NMTuneTrainer",
    "NMTuneTrainerMixin",
]
