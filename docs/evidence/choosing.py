"""What `weights="auto"` and the default weights of `NMTuneClassifier` are worth, against baselines with equal effort.

    python docs/evidence/choosing.py texts/debian.npz --epochs 10 --seeds 10 11 12 13 14 --per-class 16 64 256 0
    python docs/evidence/choosing.py glyphs --seeds 7000 7001 7002                  (the study's, noise 0, 10, 30 %)
    python docs/evidence/choosing.py digits --seeds 7000 7001 7002

(the features of texts are those of docs/evidence/texts.py). With ``--records FILE`` every fit is written down as soon
as it is there, and a run that was stopped goes on. Prints accuracy in-domain and under each shift, means over seeds,
and paired differences (points, 95 % t-intervals over seeds) to the plain MLP, and to the MLP whose label smoothing and
learning rate, the linear probe whose weight decay, and the logistic regression whose C were chosen on held-out training
rows as the weights of "auto" are. The rows that choose never see a test or a shift.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisymodel import NMTuneClassifier
from noisymodel.study.analysis.summary import mean_interval

LOGISTIC = "LogisticRegression, chosen"
METHODS: dict[str, dict[str, object]] = {
    LOGISTIC: {},
    "linear probe": {"method": "linear", "learning_rate": 1e-2},
    "linear probe, chosen": {"method": "linear", "weights": "auto"},
    "MLP": {"method": "mlp", "residual": True},
    "MLP, chosen smoothing": {"method": "mlp", "residual": True, "weights": "auto"},
    "NMTune, paper": {"preset": "paper"},
    "NMTune, published code": {"preset": "official"},
    "NMTune, default": {},
    "NMTune, auto": {"weights": "auto"},
}


class Split(NamedTuple):
    """Rows to fit on, and rows to test on: in-domain first, then each shift."""

    name: str
    seed: int
    per_class: int
    training: tuple[np.ndarray, np.ndarray]
    tests: dict[str, tuple[np.ndarray, np.ndarray]]


def text_splits(path: Path, seeds: list[int], sizes: list[int]) -> Iterator[Split]:
    """The features of a text task with ``sizes`` training rows of every class (0: all), others for each seed."""
    held = dict(np.load(path))
    shifts = [name for name in held if name.startswith("shift_") and not name.endswith("_labels")]
    tests = {"ID": (held["test"], held["test_labels"])}
    tests |= {name.removeprefix("shift_"): (held[name], held[f"{name}_labels"]) for name in shifts}
    labels = held["train_labels"]
    for per_class, seed in itertools.product(sizes, seeds):
        order = np.random.default_rng(seed).permutation(len(labels))
        if per_class:
            order = np.concatenate([order[labels[order] == label][:per_class] for label in np.unique(labels)])
        yield Split(path.stem, seed, per_class, (held["train"][order], labels[order]), tests)


def study_splits(data: str, seeds: list[int], *, tuning: bool = False) -> Iterator[Split]:
    """The features of the study's networks, pre-trained with 0, 10 and 30 % label noise.

    The shifts are those that the study reports, or those that its own weights were tuned on.
    """
    from noisymodel.study import StudyConfig, plan
    from noisymodel.study.cell import Cell
    from noisymodel.study.part_cache import PartCache

    config = StudyConfig(data=data, seeds=tuple(seeds), noise_rates=(0.0, 0.1, 0.3))
    (shots,) = config.shots
    planned = plan(config)
    for name in planned.cells:
        with tempfile.TemporaryDirectory() as folder:
            cell = Cell(planned, name, PartCache(folder))
            (source,) = cell.tasks.values()
            shifts = [note.name for note in source.shifts if (note.role == "tuning") == tuning]
            pictures = {"ID": source.test(), **{name: source.shifted(name) for name in shifts}}
            for index, rate in enumerate(config.noise_rates):
                network = cell.pretrained().one(index)

                def features(part, network=network) -> tuple[np.ndarray, np.ndarray]:
                    return network.features(torch.from_numpy(part.inputs)).numpy(), part.labels

                tests = {name: features(part) for name, part in pictures.items()}
                training = features(source.training(shots))
                yield Split(f"{data}, {rate:.0%} noise", name.seed, shots, training, tests)


def logistic_regression(split: Split) -> object:
    """scikit-learn's, on standardised features; C chosen on the fifth of the rows that "auto" would choose on."""
    features, labels = split.training
    parts = train_test_split(features, labels, test_size=0.2, stratify=labels, random_state=split.seed)

    def fitted(strength: float, rows: np.ndarray, targets: np.ndarray) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(rows, targets)

    tried = {c: fitted(c, parts[0], parts[2]).score(parts[1], parts[3]) for c in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)}
    return fitted(max(tried, key=tried.__getitem__), features, labels)


def accuracies(split: Split, epochs: int, known: set[tuple[object, ...]]) -> Iterator[dict[str, object]]:
    """One record for each method: accuracy (%) on each test, the chosen configuration and the seconds it took."""
    for method, settings in METHODS.items():
        if (split.name, split.seed, split.per_class, method) in known:
            continue
        began = time.perf_counter()
        chosen: dict[str, object] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if method == LOGISTIC:
                classifier = logistic_regression(split)
            else:
                classifier = NMTuneClassifier(epochs=epochs, random_state=split.seed, **settings).fit(*split.training)
                chosen = classifier.selection_.configuration if classifier.selection_ else {}
        seconds = time.perf_counter() - began
        scores = {name: 100 * classifier.score(*test) for name, test in split.tests.items()}
        scores["OOD"] = float(np.mean([score for name, score in scores.items() if name != "ID"]))
        kept = ("residual", "consistency_weight", "covariance_weight", "label_smoothing", "learning_rate")
        yield {
            "data": split.name,
            "per_class": split.per_class,
            "seed": split.seed,
            "method": method,
            **scores,
            "chosen": {name: chosen[name] for name in kept if name in chosen},
            "seconds": seconds,
        }


def table(records: list[dict[str, object]]) -> str:
    """Means and paired differences, as Markdown."""
    fixed = ("data", "per_class", "seed", "method", "chosen", "seconds")
    names = [name for name in records[0] if name not in fixed]
    lines: list[str] = []
    for data, per_class in dict.fromkeys((record["data"], record["per_class"]) for record in records):
        own = [record for record in records if (record["data"], record["per_class"]) == (data, per_class)]
        by = {method: [r for r in own if r["method"] == method] for method in METHODS}
        size = f"{per_class} a class" if per_class else "all rows"
        lines += [f"\n**{data}**, {size}, {len(by['MLP'])} seeds\n", f"| method | {' | '.join(names)} | seconds |"]
        lines += ["|" + "---|" * (len(names) + 2)]
        for method, found in by.items():
            cells = [f"{np.mean([r[name] for r in found]):.1f}" for name in names]
            lines.append(f"| {method} | {' | '.join(cells)} | {np.mean([r['seconds'] for r in found]):.0f} |")
        lines += ["", "| difference | ID | OOD |", "|---|---|---|"]
        for method in ("NMTune, default", "NMTune, auto"):
            for other in ("MLP", "MLP, chosen smoothing", "linear probe, chosen", LOGISTIC):
                lines.append(f"| {method} − {other} | {' | '.join(difference(by, method, other))} |")
    auto = [record for record in records if record["method"] == "NMTune, auto"]
    chosen = [f"{r['data']}, {r['per_class']}, seed {r['seed']}: {json.dumps(r['chosen'])}" for r in auto]
    return "\n".join([*lines, "", "Chosen:", *chosen])


def difference(by: dict[str, list[dict[str, object]]], method: str, other: str) -> Iterator[str]:
    """Paired differences in-domain and under shift."""
    for name in ("ID", "OOD"):
        pairs = [float(a[name]) - float(b[name]) for a, b in zip(by[method], by[other], strict=True)]  # type: ignore[arg-type]
        found = mean_interval(pairs)
        yield f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="an .npz file of docs/evidence/texts.py, glyphs or digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--per-class", type=int, nargs="+", default=[0], help="training rows of every class (0: all)")
    parser.add_argument("--records", type=Path, help="file of what was measured, one line of JSON for every fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data in ("glyphs", "digits"):
        splits = study_splits(options.data, options.seeds)
    else:
        splits = text_splits(Path(options.data), options.seeds, options.per_class)
    records: list[dict[str, object]] = []
    if options.records is not None and options.records.exists():
        records = [json.loads(line) for line in options.records.read_text().splitlines()]
    known = {(r["data"], r["seed"], r["per_class"], r["method"]) for r in records}
    for split in splits:
        for record in accuracies(split, options.epochs, known):
            records.append(record)
            if options.records is not None:
                with options.records.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
