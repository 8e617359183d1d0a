"""A backbone of transformers and a head as one `PreTrainedModel`, and a `Trainer` that logs every term.

Importing this module registers ``model_type="nmtune"``: `AutoConfig`, `AutoModelForSequenceClassification` and
`AutoModelForImageClassification` load folders that `save_pretrained` wrote.
"""

from __future__ import annotations

from .._extra import require

require("transformers", extra="hf")

from transformers import (  # noqa: E402 - a missing library has its own error
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from .configuration import HEADS, NMTuneConfig  # noqa: E402
from .model import NMTuneClassifierOutput, NMTuneForImageClassification, NMTuneForSequenceClassification  # noqa: E402
from .trainer import NMTuneTrainer, NMTuneTrainerMixin  # noqa: E402

AutoConfig.register(NMTuneConfig.model_type, NMTuneConfig, exist_ok=True)
AutoModelForSequenceClassification.register(NMTuneConfig, NMTuneForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(NMTuneConfig, NMTuneForImageClassification, exist_ok=True)

__all__ = [
    "HEADS",
    "NMTuneClassifierOutput",
    "NMTuneConfig",
    "NMTuneForImageClassification",
    "NMTuneForSequenceClassification",
    "NMTuneTrainer",
    "NMTuneTrainerMixin",
]
