"""Adapters to other libraries; each needs the library that it is named after.

- `noisymodel.integrations.transformers`: a `PreTrainedModel` of a backbone and a head, and a `Trainer` that logs terms;
- `noisymodel.integrations.peft`: LoRA with the head trained and saved beside it;
- `noisymodel.integrations.lightning`: a `LightningModule`, and a callback that logs spectra;
- `noisymodel.integrations.ray`: the spectrum of a Ray Data dataset.
"""
