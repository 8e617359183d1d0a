"""Adapters to other libraries; each needs the library of its name.

- `noisymodel.integrations.transformers`: a `PreTrainedModel` of a backbone and a head, and a `Trainer` that logs terms;
- `noisymodel.integrations.peft`: LoRA, with a head that is trained and saved with the adapters;
- `noisymodel.integrations.lightning`: a `LightningModule`, and a callback that logs spectra;
- `noisymodel.integrations.ray`: features and spectra of Ray Data datasets.
"""

from __future__ import annotations

from importlib import import_module

_MODULES = ("lightning", "peft", "ray", "transformers")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_MODULES)}")


def __dir__() -> list[str]:
    return list(_MODULES)
