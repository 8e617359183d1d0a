"""Adapters of the heads to other libraries' training loops; each needs the library that it is named after.

- `noisymodel.integrations.transformers`: a `PreTrainedModel` of a backbone and a head, and a `Trainer` that logs terms;
- `noisymodel.integrations.peft`: LoRA with the head trained and saved beside it;
- `noisymodel.integrations.lightning`: a `LightningModule`, and a callback that logs spectra.
"""
