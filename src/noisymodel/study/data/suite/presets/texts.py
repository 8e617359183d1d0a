"""GLUE and GLUE-X: seven classification tasks of texts, and their out-of-distribution test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .preset import Part, Preset, PresetTask


class _Glue(NamedTuple):
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    test: str = "validation"


_ENTAILMENT = ("entailment", "not_entailment")
_TASKS: Mapping[str, _Glue] = {
    "cola": _Glue(("unacceptable", "acceptable"), ("sentence",)),
    "sst2": _Glue(("negative", "positive"), ("sentence",)),
    "mrpc": _Glue(("not_equivalent", "equivalent"), ("sentence1", "sentence2")),
    "qqp": _Glue(("not_duplicate", "duplicate"), ("question1", "question2")),
    "mnli": _Glue(("entailment", "neutral", "contradiction"), ("premise", "hypothesis"), "validation_matched"),
    "qnli": _Glue(_ENTAILMENT, ("question", "sentence")),
    "rte": _Glue(_ENTAILMENT, ("sentence1", "sentence2")),
}


def _columns(names: Sequence[str]) -> dict[str, str]:
    return dict(zip(("text_column", "text_pair_column"), names, strict=False))


def _glue(name: str, files: str) -> dict[str, Any]:
    """A set of GLUE: labels are numbers of its classes."""
    task = _TASKS[name]
    return {
        "path": f"glue/{name}/{files}-*.parquet",
        "format": "table",
        "labels": "index",
        "classes": list(task.classes),
        **_columns(task.columns),
    }


def _glue_part(name: str, *, mismatched: bool = False) -> Part:
    parts = ["train", _TASKS[name].test] + ["validation_mismatched"] * mismatched
    return Part(
        title=f"GLUE, {name}",
        files=tuple(f"glue/{name}/{part}-*.parquet" for part in parts),
        layout=f"glue/{name}/\n" + "\n".join(f"  {part}-00000-of-00001.parquet" for part in parts),
        source="https://huggingface.co/datasets/nyu-mll/glue (folder by folder as it lies there)",
        terms="each set has its own, see https://gluebenchmark.com",
        size="",
        notes="The labels of the test parts are not public: the validation part is tested on.",
    )


def _task(name: str, shifts: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> PresetTask:
    return PresetTask(
        {
            "name": name,
            "train": _glue(name, "train"),
            "test": _glue(name, _TASKS[name].test),
            "shifts": list(shifts),
        },
        (name, *parts),
    )


_LEFT_OUT = "Of the eight tasks that GLUE-X looks at STS-B is left out, a regression."
_PRETRAINING = "The texts to pre-train on, in which the vocabulary is counted, are to be declared beside it."

GLUE = Preset(
    title="GLUE",
    description=f"Seven tasks without shifted test sets. {_LEFT_OUT} {_PRETRAINING}",
    parts={name: _glue_part(name) for name in _TASKS},
    kind="texts",
    tasks=tuple(_task(name, (), ()) for name in _TASKS),
)

# ---- GLUE-X ----------------------------------------------------------------------------------------------------------

_SINGLE, _PAIR = ("sentence",), ("sentence1", "sentence2")
_LAYOUT = (
    "How the files lie in the authors' folder is not known here: bring each set into one table, .csv, .tsv, .jsonl or "
    ".parquet, with the columns and labels named below."
)


def _foreign_part(name: str, columns: Sequence[str], labels: Sequence[str]) -> Part:
    return Part(
        title=f"GLUE-X, {name}",
        files=(f"glue-x/{name}.*",),
        layout=f"glue-x/\n  {name}.csv    columns {', '.join(columns)}, label ({', '.join(labels)})",
        source="https://github.com/YangLinyi/GLUE-X",
        terms="each set has its own",
        size="",
        notes=_LAYOUT,
    )


def _foreign(name: str, columns: Sequence[str], label_map: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "path": f"glue-x/{name}.*",
        "format": "table",
        "label_column": "label",
        "label_map": dict(label_map),
        **_columns(columns),
    }


def _kin(name: str, label_map: Mapping[str, str], files: str = "{train,validation}") -> dict[str, Any]:
    """Another set of GLUE as a shifted test set."""
    return {"name": name, **_glue(name.removesuffix("_mismatched"), files), "label_map": dict(label_map)}


def _same(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _two(source: Sequence[str], target: Sequence[str]) -> dict[str, str]:
    return dict(zip(source, target, strict=True))


_SENTIMENT = ("negative", "positive")
_NLI = ("entailment", "neutral", "contradiction")
_HANS = ("entailment", "non-entailment")
_YES = {"rte": _ENTAILMENT, "mrpc": ("equivalent", "not_equivalent"), "qqp": ("duplicate", "not_duplicate")}
"""«The same» first."""
_FOREIGN: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "imdb": (_SINGLE, _SENTIMENT),
    "yelp_polarity": (_SINGLE, _SENTIMENT),
    "amazon_polarity": (_SINGLE, _SENTIMENT),
    "flipkart": (_SINGLE, ("negative", "neutral", "positive")),
    "grammar_test": (_SINGLE, ("unacceptable", "acceptable")),
    "snli": (_PAIR, _NLI),
    "sick": (_PAIR, _NLI),
    "newsqa": (_PAIR, _ENTAILMENT),
    "hans": (_PAIR, _HANS),
    "scitail": (_PAIR, ("entails", "neutral")),
    "twitter": (_PAIR, ("equivalent", "not_equivalent")),
}


def _shift(name: str, target: Sequence[str]) -> dict[str, Any]:
    columns, labels = _FOREIGN[name]
    return _foreign(name, columns, _two(labels, target))


_SHIFTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "cola": [_shift("grammar_test", ("unacceptable", "acceptable"))],
    "sst2": [
        *(_shift(name, _SENTIMENT) for name in ("imdb", "yelp_polarity", "amazon_polarity")),
        _shift("flipkart", ("negative", "negative", "positive")),
    ],
    "mnli": [_kin("mnli_mismatched", _same(_NLI), "validation_mismatched"), _shift("snli", _NLI), _shift("sick", _NLI)],
    "qnli": [_shift("newsqa", _ENTAILMENT)],
    "rte": [
        _kin("mrpc", _two(_YES["mrpc"], _YES["rte"])),
        _kin("qqp", _two(_YES["qqp"], _YES["rte"])),
        _shift("hans", _YES["rte"]),
        _shift("scitail", _YES["rte"]),
    ],
    "mrpc": [
        _kin("qqp", _two(_YES["qqp"], _YES["mrpc"])),
        _kin("rte", _two(_YES["rte"], _YES["mrpc"])),
        _shift("hans", _YES["mrpc"]),
        _shift("twitter", _YES["mrpc"]),
    ],
    "qqp": [
        _kin("mrpc", _two(_YES["mrpc"], _YES["qqp"])),
        _kin("rte", _two(_YES["rte"], _YES["qqp"])),
        _shift("hans", _YES["qqp"]),
        _shift("twitter", _YES["qqp"]),
    ],
}


def _needed(name: str) -> tuple[str, ...]:
    return tuple(shift["name"] for shift in _SHIFTS[name] if shift["name"] != "mnli_mismatched")


GLUE_X = Preset(
    title="GLUE-X",
    description=f"The seven tasks of GLUE with the out-of-distribution test sets of GLUE-X. {_LEFT_OUT} {_PRETRAINING}",
    parts={
        **{name: _glue_part(name, mismatched=name == "mnli") for name in _TASKS},
        **{name: _foreign_part(name, *columns_labels) for name, columns_labels in _FOREIGN.items()},
    },
    kind="texts",
    tasks=tuple(_task(name, _SHIFTS[name], _needed(name)) for name in _TASKS),
)
