"""LoRA of a backbone, with a head that is trained and saved with the adapters."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..features.extraction.weights import left_as_it_was
from ..heads import Head
from ._extra import require

require("peft", extra="peft")

from peft import LoraConfig  # noqa: E402 - a missing library has its own error
from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: E402

_ATTENTION = ("attention", "attn")


def lora_config(
    model: nn.Module,
    *,
    r: int = 8,
    target_modules: str | Sequence[str] = "mlp",
    modules_to_save: Sequence[str] = (),
    **options: Any,
) -> LoraConfig:
    """Make a `LoraConfig` for ``peft.get_peft_model`` with the head in ``modules_to_save``.

    Without this entry the head stays frozen at its first weights, or is trained but not saved. With it the whole head,
    including its BatchNorm statistics, is saved, loaded and merged with the adapters.

    Args:
        model: a module that holds a head of this library, such as `NMTuneForSequenceClassification`.
        r: the rank; 8, as in the published code.
        target_modules: ``"mlp"``: the linear layers of the backbone's blocks outside attention, as in the published
            code; ``"attention"``: those inside; ``"all"``: both; or names, as in peft.
        modules_to_save: further modules to train and save, such as a pooler.
        options: keywords of `LoraConfig`: ``lora_alpha``, ``lora_dropout`` and so on.

    Raises:
        ValueError: if there is no head, or no layer of that kind.
    """
    heads = [name for name, module in model.named_modules() if isinstance(module, Head)]
    if len(heads) != 1 or not heads[0]:
        raise ValueError(
            f"`model` must hold one head of noisymodel, got {len(heads)}: TunedModel or from_backbone makes one"
        )
    if getattr(getattr(model, "config", None), "freeze_backbone", False):
        raise ValueError("`model` has freeze_backbone=True, and no gradient would reach the adapters: make it without")
    alike = [name for name, _ in model.named_modules() if name.endswith(heads[0]) and name != heads[0]]
    if alike:
        raise ValueError(f"peft would take {alike[0]!r} for the head {heads[0]!r}, whose name it ends with: rename one")
    if target_modules in ("mlp", "attention", "all"):
        target_modules = _linear_layers(model, target_modules, heads[0])
    names = target_modules if isinstance(target_modules, str) else list(target_modules)
    kept = [*heads, *modules_to_save]
    return LoraConfig(r=r, target_modules=names, modules_to_save=kept, **options)


@contextmanager
def adapters_disabled(module: nn.Module) -> Generator[None]:
    """Switch the adapters of ``module`` off, in evaluation mode, as before tuning; restore both afterwards.

    Raises:
        ValueError: if there are no adapters.
    """
    layers = [part for part in module.modules() if isinstance(part, BaseTunerLayer)]
    if not layers:
        raise ValueError(
            "reference='pretrained' needs adapters that can be switched off, and there are none: wrap the model by "
            "peft.get_peft_model(model, lora_config(model)), or give `reference`, cached features of the frozen model"
        )
    trained = {weight: weight.requires_grad for layer in layers for weight in layer.parameters()}
    enabled = [layer for layer in layers if not layer.disable_adapters]
    with left_as_it_was(module, None):
        try:
            for layer in enabled:
                layer.enable_adapters(False)
            yield
        finally:
            for layer in enabled:
                layer.enable_adapters(True)
            for weight, wanted in trained.items():
                weight.requires_grad_(wanted)


def _linear_layers(model: nn.Module, kind: str, head: str) -> list[str]:
    """The full names of linear layers in numbered blocks, inside or outside attention."""
    found: list[str] = []
    for name, module in model.named_modules():
        parts = name.lower().split(".")
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if not linear or name.startswith(f"{head}.") or not any(part.isdigit() for part in parts):
            continue
        attention = any(word in part for part in parts for word in _ATTENTION)
        if kind == "all" or attention == (kind == "attention"):
            found.append(name)
    if not found:
        raise ValueError(f"`model` has no linear layers of target_modules={kind!r}: give their names")
    return found
