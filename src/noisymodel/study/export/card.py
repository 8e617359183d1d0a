"""The cards of exported networks: what each is, what noise it saw, how it does, how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data import Source

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
_SHOWN_CLASSES = 20

_USE = """\
Research on what noise in pre-training does to features, and on tuning that repairs it: this is one of a series of
networks that differ in noise alone. It is not meant for decisions about anybody or anything, and nobody has looked at
it beyond the numbers above.
"""


def model_card(
    record: Mapping[str, Any],
    audit: Mapping[str, Any],
    checks: Mapping[str, float],
    source: Source,
    licence: str,
    versions: Mapping[str, str],
) -> str:
    """The ``README.md`` of one network.

    Args:
        record: its ``config.json``.
        audit: its ``noise_audit.json``.
        checks: numbers of it by name; empty where the study had not come that far.
        source: the data that it was trained on.
        licence: of the weights.
        versions: of what it was made with.
    """
    noun = _NOUNS[record["objective"]]
    settings = record["pretraining"]
    sections = [
        _front_matter(record, licence),
        f"# {record['name']}, {record['objective']}, {record['noise_rate']:.1%} wrong {noun}, seed {record['seed']}\n",
        f"Pre-trained from random values on {source.title} with noise in its {noun}; written by `noisymodel study "
        f"export`.\n",
        "## Data\n",
        f"{source.description}\n",
        f"Source `{record['data']['source']}` of noisymodel, options {record['data']['options'] or 'none'}, seed "
        f"{record['seed']}.\n",
        "## Noise\n",
        _noise(record, audit, noun),
        "## Training\n",
        f"Objective {record['objective']}, architecture {record['architecture']}: "
        f"{_counted(settings['epochs'], 'epoch')} of AdamW, batch size {settings['batch_size']}, learning rate "
        f"{settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}. Initial values and order follow "
        "from the seed and are those of every network of this seed and architecture. All settings are in "
        "`config.json`.\n",
        "## Checks\n",
        _checks(checks),
        "## Use\n",
        _USE,
        _loading(record),
        "## Licence and origin\n",
        f"{_licence(licence)} Redo it with\n\n"
        "```\nnoisymodel study --config study.json --out study\nnoisymodel study export study --to zoo\n```\n\n"
        f"where `study.json` lies beside the folders of the networks. {_versions(versions)} Checksums are in "
        "`manifest.json`.\n",
    ]
    return "\n".join(sections)


def overview(source: Source, records: Sequence[Mapping[str, Any]], licence: str, versions: Mapping[str, str]) -> str:
    """The ``README.md`` of all networks: a row each."""
    rows = [
        f"| [{record['folder']}]({record['folder']}) | {record['objective']} | {record['name']} | "
        f"{record['noise_kind']} | {record['noise_rate']:.1%} | {record['audit']['realized_rate']:.2%} | "
        f"{record['seed']} | {_main_checks(record['checks'])} |"
        for record in records
    ]
    return "\n".join(
        [
            "# Pre-trained networks with known noise\n",
            f"{len(records)} networks, pre-trained on {source.title} with known shares of wrong labels, captions or "
            "words; written by `noisymodel study export`. Networks of one seed and architecture had the same initial "
            "values, data and order; what is wrong at a rate is wrong in the same way above it.\n",
            "| folder | objective | network | noise | rate asked for | rate of the draw | seed | checks |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Each folder holds the weights (`model.safetensors`), what they are (`config.json`), what was wrong "
            "(`noise_audit.json`), a card (`README.md`) and checksums (`manifest.json`). Load one with\n",
            f"```python\nfrom noisymodel import study\n\nloaded = study.load_exported({records[0]['folder']!r})\n"
            "features = loaded.features(inputs)\n```\n",
            "Redo all with\n",
            "```\nnoisymodel study --config study.json --out study\nnoisymodel study export study --to zoo\n```\n",
            f"{_licence(licence)} {_versions(versions)}\n",
        ]
    )


def _front_matter(record: Mapping[str, Any], licence: str) -> str:
    tags = ["noisy-model-learning", record["objective"].replace("_", "-"), record["noise_kind"].replace("_", "-")]
    return "\n".join(
        ["---", f"license: {licence}", "library_name: noisymodel", "tags:", *(f"- {tag}" for tag in tags), "---", ""]
    )


def _noise(record: Mapping[str, Any], audit: Mapping[str, Any], noun: str) -> str:
    lines = [
        f"Kind `{record['noise_kind']}`, seed {audit['seed']}: {audit['requested_rate']:.1%} of the {noun} were to be "
        f"wrong, {audit['num_changed']:,} of {audit['num_samples']:,} are ({audit['realized_rate']:.2%})."
    ]
    if "other_class_rate" in audit:
        lines[0] += f" {audit['other_class_rate']:.2%} of the captions are of a picture of another class."
    counts, changed = audit["class_counts"], audit["changed_per_class"]
    if len(counts) <= _SHOWN_CLASSES:
        lines += ["", *_class_table(counts, changed, audit.get("transition_counts"), noun)]
    lines += ["", f"All counts and checksums are in `noise_audit.json`; clean {audit['clean_checksum'][:16]}…, as "
              f"learned from {audit['noisy_checksum'][:16]}….\n"]  # fmt: skip
    return "\n".join(lines)


def _class_table(
    counts: Sequence[int], changed: Sequence[int], transitions: Sequence[Sequence[int]] | None, noun: str
) -> list[str]:
    """Per class: how many, how many wrong, and what they became."""
    became = [f"as {index}" for index in range(len(counts))] if transitions is not None else []
    head = ["class", noun, "wrong", *became]
    rows = [
        [str(index), str(number), str(wrong), *(map(str, transitions[index]) if transitions is not None else [])]
        for index, (number, wrong) in enumerate(zip(counts, changed, strict=True))
    ]
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _checks(checks: Mapping[str, float]) -> str:
    if not checks:
        return "None: the study had not measured this network when it was exported.\n"
    rows = [_row([_spoken(name), _number(name, value)]) for name, value in checks.items()]
    return "\n".join([_row(["measure", "value"]), _row(["---", "---"]), *rows, "", _FEATURES])


_FEATURES = "Features are those of the in-domain downstream test examples.\n"


def _spoken(name: str) -> str:
    metric, _, task = name.partition(" ")
    return f"{_MEASURES.get(metric, metric.replace('_', ' '))} {task}".strip()


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name.endswith(("accuracy", "fit")) else f"{value:.4g}"


def _main_checks(checks: Mapping[str, float]) -> str:
    shown = {name: value for name, value in checks.items() if name.endswith(("accuracy", "fit"))}
    return ", ".join(f"{name.replace('_', ' ')} {_number(name, value)}" for name, value in shown.items())


def _loading(record: Mapping[str, Any]) -> str:
    shape = ", ".join(map(str, ("n", *record["inputs"]["shape"])))
    what = "token ids, 0 is padding" if record["inputs"]["kind"] == "token ids" else "values in [0, 1]"
    return (
        "```python\nfrom noisymodel import study\n\n"
        f"loaded = study.load_exported({record['folder']!r})  # compares the checksums first\n"
        f"features = loaded.features(inputs)  # {record['inputs']['dtype']} ({shape}), {what} -> "
        f"(n, {record['num_features']})\n```\n"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _licence(licence: str) -> str:
    if licence == "other":
        return (
            "The licence of the weights depends on that of the data that they were trained on, which is not known here."
        )
    return f"Licence of the weights: {licence}."


def _versions(versions: Mapping[str, str]) -> str:
    return f"Made with {', '.join(f'{name} {number}' for name, number in versions.items())}."
