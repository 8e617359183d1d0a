"""Registration of the wrapper with `AutoConfig` and the auto classes of models."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from .configuration import NMTuneConfig
from .model import NMTuneForImageClassification, NMTuneForSequenceClassification


def register() -> None:
    """Register the configuration and both models; repeated calls are harmless."""
    AutoConfig.register(NMTuneConfig.model_type, NMTuneConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(NMTuneConfig, NMTuneForSequenceClassification, exist_ok=True)
    AutoModelForImageClassification.register(NMTuneConfig, NMTuneForImageClassification, exist_ok=True)
