"""The model cards of exported networks: description, noise, performance, and loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import import_extra
from ..data import Source
from ..identity import made_with

_NOUNS = {"supervised": "labels", "contrastive": "captions", "masked_token": "words"}
_MEASURES = {
    "clean_accuracy": "accuracy on held-out examples with clean labels",
    "noisy_label_fit": "share of its noisy training labels that it reproduces",
    "retrieval_accuracy": "held-out pictures whose own caption is the nearest",
    "masked_token_accuracy": "masked words of held-out texts that it finds",
    "singular_value_entropy": "singular-value entropy (SVE) of the features",
    "largest_singular_value_ratio": "largest singular value ratio (LSVR) of the features",
    "effective_rank": "effective rank of the features",
    "subspace_rotation": "rotation of the dominant subspace against the clean network (degrees)",
    "linear_cka": "linear CKA with the clean network",
}


def model_card(
    record: Mapping[str, Any],
    audit: Mapping[str, Any],
    checks: Mapping[str, float],
    source: Source,
    licence: str,
) -> str:
    """The ``README.md`` of one network.

    Args:
        record: its ``config.json``.
        audit: its ``noise_audit.json``.
        checks: its measures by name; empty if the study had not computed them.
        source: its training data.
        licence: the licence of the weights.

    Raises:
        MissingExtraError: huggingface_hub or jinja2 is not installed.
    """
    hub = import_extra("huggingface_hub", extra="study", purpose="the cards of exported networks")
    tags = ["noisy-model-learning", *(record[name].replace("_", "-") for name in ("objective", "noise_kind"))]
    return _rendered(
        "card",
        front_matter=hub.ModelCardData(license=licence, library_name="noisymodel", tags=tags).to_yaml(),
        record=record,
        audit=audit,
        checks={_spoken(name): _number(name, value) for name, value in checks.items()},
        source=source,
        licence=licence,
        noun=_NOUNS[record["objective"]],
    )


def overview(source: Source, records: Sequence[Mapping[str, Any]], licence: str) -> str:
    """The ``README.md`` of all networks, with a row for each."""
    checks = [_main_checks(record["checks"]) for record in records]
    return _rendered("overview", records=records, checks=checks, source=source, licence=licence)


def _rendered(name: str, **values: object) -> str:
    jinja2 = import_extra("jinja2", extra="study", purpose="the cards of exported networks")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.md.j2").render(values, versions=made_with())


def _spoken(name: str) -> str:
    metric, _, task = name.partition(" ")
    return f"{_MEASURES.get(metric, metric.replace('_', ' '))} {task}".strip()


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name.endswith(("accuracy", "fit")) else f"{value:.4g}"


def _main_checks(checks: Mapping[str, float]) -> str:
    shown = {name: value for name, value in checks.items() if name.endswith(("accuracy", "fit"))}
    return ", ".join(f"{name.replace('_', ' ')} {_number(name, value)}" for name, value in shown.items())
