"""What `weights="auto"` loses to the best fixed weights: every entry of its grid, trained on all rows and tested.

    python docs/evidence/texts.py --out texts --tasks debian
    python docs/evidence/fixed_weights.py texts/debian.npz --epochs 10 --seeds 10 11 12 --records fixed.jsonl

The best entry in hindsight is that of the highest mean accuracy in-domain over the seeds: it has seen the test rows, so
what "auto" loses to it is at least what it loses to weights that somebody could have known. With ``--records FILE``
every fit is written down as soon as it is there, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from choosing import Split, text_splits

from noisymodel import NMTuneClassifier
from noisymodel.study.analysis.summary import mean_interval
from noisymodel.sweeping.choice import default_grid

AUTO = "auto"
VARIED = ("consistency_weight", "residual", "covariance_weight", "label_smoothing", "learning_rate")


def accuracies(split: Split, epochs: int, settings: dict[str, object]) -> tuple[float, float]:
    """In-domain and mean accuracy over the shifts, %."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = NMTuneClassifier(epochs=epochs, random_state=split.seed, **settings).fit(*split.training)
    scores = {name: 100 * classifier.score(*test) for name, test in split.tests.items()}
    return scores.pop("ID"), float(np.mean(list(scores.values())))


def table(records: list[dict[str, object]]) -> str:
    """All entries by their mean accuracy in-domain, and what "auto" loses to the best of them."""
    names = list(dict.fromkeys(str(record["entry"]) for record in records))
    by = {name: sorted((r for r in records if r["entry"] == name), key=lambda r: r["seed"]) for name in names}
    means = {name: [float(np.mean([r[key] for r in by[name]])) for key in ("ID", "OOD")] for name in names}
    lines = ["| entry | ID | OOD |", "|---|---|---|"]
    for name in sorted(names, key=lambda name: -means[name][0]):
        lines.append(f"| {name} | {means[name][0]:.1f} | {means[name][1]:.1f} |")
    fixed = [name for name in names if name != AUTO]
    for title, place in (("in-domain", 0), ("under shift", 1)):
        best = max(fixed, key=lambda name: means[name][place])
        found: list[str] = []
        for key in ("ID", "OOD"):
            pairs = [float(a[key]) - float(b[key]) for a, b in zip(by[AUTO], by[best], strict=True)]
            interval = mean_interval(pairs)
            found.append(f"{key} {interval.mean:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]")
        lines.append(f"\nauto − the best entry {title} ({best}): {'; '.join(found)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="an .npz file of docs/evidence/texts.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--records", type=Path, help="file of what was measured, one line of JSON for every fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    entries: dict[str, dict[str, object]] = {AUTO: {"weights": "auto"}}
    for entry in default_grid():
        entries[", ".join(f"{key.removesuffix('_weight')} {entry[key]}" for key in VARIED)] = entry
    records: list[dict[str, object]] = []
    if options.records is not None and options.records.exists():
        records = [json.loads(line) for line in options.records.read_text().splitlines()]
    known = {(record["seed"], record["entry"]) for record in records}
    for split in text_splits(options.data, options.seeds, [0]):
        for name, settings in entries.items():
            if (split.seed, name) in known:
                continue
            inside, outside = accuracies(split, options.epochs, settings)
            records.append({"seed": split.seed, "entry": name, "ID": inside, "OOD": outside})
            if options.records is not None:
                with options.records.open("a") as file:
                    file.write(json.dumps(records[-1]) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
