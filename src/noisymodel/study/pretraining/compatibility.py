"""The known objectives, kinds of noise and architectures, and their compatible combinations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LABEL_NOISE = (
    "symmetric",
    "pair_flip",
    "asymmetric",
    "similarity",
    "confusion",
    "instance_dependent",
    "posterior_dependent",
)
CAPTION_NOISE = ("caption_shuffle", "caption_permutation", "caption_swap", "caption_resample")
TOKEN_NOISE = ("token_substitute", "token_mask", "token_delete", "token_swap")

NOISE_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"supervised": LABEL_NOISE, "contrastive": CAPTION_NOISE, "masked_token": TOKEN_NOISE}
)
"""Objective -> the kinds of noise in its training data."""
OBJECTIVES = tuple(NOISE_OF)
NOISE_KINDS = tuple(kind for kinds in NOISE_OF.values() for kind in kinds)

OF_PICTURES = ("mlp", "resnet", "vit")
OF_TEXTS = ("transformer",)
LIBRARIES = ("timm", "transformers", "open_clip")
ARCHITECTURES = (*OF_PICTURES, *OF_TEXTS, *(f"{library}:NAME" for library in LIBRARIES))
"""The architectures in the form that errors show."""


def is_architecture(name: str) -> bool:
    """Whether a name is a built-in architecture or begins with a library; the library may not have the model."""
    return name in (*OF_PICTURES, *OF_TEXTS) or name.partition(":")[0] in LIBRARIES


def fits(source_kind: str, objective: str, architecture: str, noise_kind: str) -> bool:
    """Whether a source of ``"pictures"``, ``"pairs"`` or ``"texts"`` and the three names fit together.

    >>> fits("pairs", "contrastive", "resnet", "caption_shuffle"), fits("pictures", "supervised", "vit", "pair_flip")
    (True, True)
    >>> fits("pictures", "contrastive", "resnet", "caption_shuffle"), fits("texts", "masked_token", "mlp", "token_swap")
    (False, False)
    """
    if noise_kind not in NOISE_OF.get(objective, ()):
        return False
    needed = {"contrastive": "pairs", "masked_token": "texts"}.get(objective)
    return needed in (None, source_kind) and _takes(architecture, objective, texts=source_kind == "texts")


def _takes(architecture: str, objective: str, *, texts: bool) -> bool:
    library, _, name = architecture.partition(":")
    if library == "open_clip":
        return bool(name) and objective == "contrastive"
    if library == "transformers":
        return bool(name)
    if library == "timm":
        return bool(name) and not texts
    return architecture in (OF_TEXTS if texts else OF_PICTURES)
