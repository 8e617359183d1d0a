"""The files of sentence-transformers beside a model: its pooling, normalisation, maximum length and prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from ...errors import InputFileError

_OLD_KEYS = {  # in the order in which sentence-transformers concatenates the rows
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_LENGTHS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")


class OwnPooling(NamedTuple):
    """The pooling of a model's authors.

    ``rule`` is a rule of `POOLINGS`, or None if this library cannot apply the authors' rule, with the reason.
    """

    rule: str | None = None
    normalize: bool = False
    max_length: int | None = None
    lower_case: bool = False
    prompts: dict[str, str] | None = None
    default_prompt: str | None = None
    unknown: str = ""

    def prompt(self, name: str | None) -> str:
        """The prompt of this name, or the default one; empty if there is none."""
        chosen = self.default_prompt if name is None else name
        if chosen is None:
            return ""
        known = self.prompts or {}
        if chosen not in known:
            raise ValueError(f"`prompt` must be one of {sorted(known)}, got {chosen!r}")
        return known[chosen] or ""


def own_pooling(name: str) -> OwnPooling | None:
    """Read the pooling from the files of a model (a folder, or a name on the Hub); None if there are no such files."""
    modules = _read(name, "modules.json")
    if not isinstance(modules, list):
        return None
    listed = [cast("dict[str, Any]", module) for module in cast("list[Any]", modules)]
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in listed]
    prompts = _mapping(name, "config_sentence_transformers.json")
    lengths = next((found for file in _LENGTHS if (found := _mapping(name, file))), {})
    own = OwnPooling(
        normalize="Normalize" in kinds,
        max_length=lengths.get("max_seq_length"),
        lower_case=bool(lengths.get("do_lower_case")),
        prompts=prompts.get("prompts"),
        default_prompt=prompts.get("default_prompt_name"),
    )
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return own._replace(normalize=False, unknown=f"the chain {', '.join(kinds)}")
    settings = _mapping(name, f"{listed[1].get('path', '1_Pooling')}/config.json")
    if not settings.get("include_prompt", True) and any((own.prompts or {}).values()):
        return own._replace(normalize=False, unknown="a pooling that leaves its prompt out")
    rules = settings.get("pooling_mode") or [rule for key, rule in _OLD_KEYS.items() if settings.get(key)] or ["mean"]
    rules = [rules] if isinstance(rules, str) else rules
    if any(rule not in _OLD_KEYS.values() for rule in rules):
        return own._replace(normalize=False, unknown=f"the pooling {rules}")
    return own._replace(rule="+".join("last" if rule == "lasttoken" else rule for rule in rules))


def _mapping(name: str, file: str) -> dict[str, Any]:
    found = _read(name, file)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _read(name: str, file: str) -> Any:
    path = Path(name) / file if Path(name).is_dir() else _fetched(name, file)
    if path is None or not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path} cannot be read: {error}") from None


def _fetched(name: str, file: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return Path(hf_hub_download(name, file))
    except (EntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HFValidationError, OSError):
        return None
