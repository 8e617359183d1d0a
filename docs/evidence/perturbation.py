"""Does validation under feature perturbation choose better weights than clean validation does?

    python docs/evidence/texts.py --out texts --tasks docstrings manual
    python docs/evidence/perturbation.py texts/docstrings.npz --per-class 64 --seeds 0 1 --epochs 10
    python docs/evidence/perturbation.py glyphs --seeds 300 301    (the study's tuning seeds and shifts)

The default grid of ``weights="auto"`` is swept once for each seed, on four fifths of the training rows. Every head is
then judged on the held-out fifth, on the same rows under perturbations of their features, and on the test rows and
shifts, which no rule sees. Perturbations, of features with the root mean square 1:

- ``noise t``: t · N(0, 1) added to every feature;
- ``spread t``: t · (f_j − f_k)/√2 added, j and k random training rows: noise with the data's own covariance;
- ``mask p``: every feature zero with probability p, the others divided by 1 − p;
- ``mix t``: (1 − t) · f + t · f_j, j a random training row.

Printed for each: the rank correlation over the grid of its accuracy with the mean accuracy under shift, and what the
entry is worth that it picks, alone (``best``) or among those within one paired standard error of the best clean
accuracy (``eligible``). Only tasks on which the grid was settled belong here; what wins would have to be confirmed on
others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from choosing import Split, study_splits, text_splits
from scipy.stats import spearmanr

from noisymodel import sweep
from noisymodel.sweeping.choice import default_grid, held_out

PERTURBATIONS = [("noise", 0.5), ("noise", 1.0), ("spread", 0.5), ("spread", 1.0), ("mask", 0.5), ("mix", 0.4)]
NOW = "strongest consistency, eligible"


class Picked(NamedTuple):
    """Accuracy (%) in-domain and under shift of the entry that a rule picks, and the rank correlation behind it."""

    test: float
    shifted: float
    correlation: float


def perturbed(rows: np.ndarray, training: np.ndarray, kind: str, size: float, seed: int) -> np.ndarray:
    """The rows with their features perturbed."""
    random = np.random.default_rng(seed)
    if kind == "noise":
        return rows + size * random.normal(size=rows.shape)
    if kind == "mask":
        return rows * (random.random(rows.shape) >= size) / (1 - size)
    others = [training[random.integers(len(training), size=len(rows))] for _ in range(2)]
    if kind == "spread":
        return rows + size * (others[0] - others[1]) / np.sqrt(2)
    return (1 - size) * rows + size * others[0]


def measured(split: Split, epochs: int) -> dict[str, Picked]:
    """What every rule picks of one sweep."""
    features, labels = split.training
    scale = np.sqrt(np.mean(np.square(features, dtype=np.float64)))
    kept, out = held_out(labels, 0.2, split.seed)
    rows = features / scale
    parts = {"clean": (rows[out], labels[out])}
    for kind, size in PERTURBATIONS:
        parts[f"{kind} {size:g}"] = perturbed(rows[out], rows[kept], kind, size, split.seed), labels[out]
    parts |= {f"test {name}": (test / scale, targets) for name, (test, targets) in split.tests.items()}
    together = [np.concatenate([part[which] for part in parts.values()]) for which in (0, 1)]
    grid = default_grid()
    batches = -(-len(kept) // 64)
    result = sweep(
        rows.shape[1],
        int(labels.max()) + 1,
        grid,
        rows[kept].astype(np.float32),
        labels[kept],
        validation=(together[0].astype(np.float32), together[1]),
        seeds=(split.seed,),
        epochs=max(epochs, -(-300 // batches)),
    )
    ends = np.cumsum([len(part[1]) for part in parts.values()])[:-1]
    right = dict(zip(parts, np.split(result.correct, ends, axis=1), strict=True))
    return picked(grid, {name: found.astype(np.float64) for name, found in right.items()})


def picked(grid: list[dict[str, object]], right: dict[str, np.ndarray]) -> dict[str, Picked]:
    """Every rule's entry, from what each head (row) gets right."""
    accuracy = {name: 100 * found.mean(axis=1) for name, found in right.items()}
    test = accuracy.pop("test ID")
    shifted = np.mean([accuracy.pop(name) for name in list(accuracy) if name.startswith("test ")], axis=0)
    behind = right["clean"][accuracy["clean"].argmax()] - right["clean"]
    error = behind.std(axis=1, ddof=1) / np.sqrt(behind.shape[1])
    eligible = behind.mean(axis=1) <= error + 1e-12
    accuracy["strongest consistency"] = (
        np.array([entry["consistency_weight"] for entry in grid]) + accuracy["clean"] / 1e4
    )
    accuracy["shift itself (an oracle)"] = shifted
    rules: dict[str, Picked] = {}
    for name, score in accuracy.items():
        correlation = float(spearmanr(score, shifted).statistic)
        for which, allowed in (("best", np.ones(len(grid), dtype=bool)), ("eligible", eligible)):
            chosen = int(np.where(allowed, score, -np.inf).argmax())
            rules[f"{name}, {which}"] = Picked(float(test[chosen]), float(shifted[chosen]), correlation)
    return rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="an .npz file of docs/evidence/texts.py, glyphs or digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--per-class", type=int, default=0, help="training rows of every class (0: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data in ("glyphs", "digits"):
        splits = study_splits(options.data, options.seeds, tuning=True)
    else:
        splits = text_splits(Path(options.data), options.seeds, [options.per_class])
    found = [measured(split, options.epochs) for split in splits]
    print(f"{options.data}, {len(found)} sweeps; differences to “{NOW}” in points\n")
    print(
        "| rule | rank correlation with the shifts | ID | OOD | ID, difference | OOD, difference |\n"
        "|---|---|---|---|---|---|"
    )
    for rule in found[0]:
        own = np.array([sweep_of[rule] for sweep_of in found])
        now = np.array([sweep_of[NOW] for sweep_of in found])
        difference = (own - now)[:, :2]
        cells = [f"{value:.1f}" for value in own[:, :2].mean(axis=0)]
        spread = [
            f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
            for mean, low, high in zip(difference.mean(0), difference.min(0), difference.max(0), strict=True)
        ]
        print(f"| {rule} | {own[:, 2].mean():+.2f} | {' | '.join(cells + spread)} |")


if __name__ == "__main__":
    main()
