"""What each part of a free NMTune head is worth: regularizers, noise, width, averaging; design tasks only.

    python docs/evidence/texts.py --out texts --tasks wordnet debian
    python docs/evidence/head_ablation.py texts/wordnet.npz texts/debian.npz --per-class 64 256 --seeds 0 1

For every variant, two heads are trained on ``--per-class`` rows of each class (AdamW 1e-3, batches of 64, 10 epochs and
at least 300 steps, as `NMTuneClassifier` trains them) and averaged in log-probability. Prints accuracy in %, in-domain
and the mean over the shifts, as differences from the base.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from noisymodel import NMTune
from noisymodel.sweeping import train_heads

BASE: dict[str, object] = {"hidden_features": 768, "dominant_weight": 0.0}
VARIANTS: dict[str, dict[str, object]] = {
    "base": {},
    "no consistency": {"consistency_weight": 0.0},
    "no covariance": {"covariance_weight": 0.0},
    "no regularizer": {"consistency_weight": 0.0, "covariance_weight": 0.0},
    "no noise": {"input_noise": 0.0},
    "no regularizer, no noise": {"consistency_weight": 0.0, "covariance_weight": 0.0, "input_noise": 0.0},
    "dominant 0.1": {"dominant_weight": 0.1},
    "dominant 1": {"dominant_weight": 1.0},
    "dominant 1, top 5": {"dominant_weight": 1.0, "top_k": 5},
    "consistency 10": {"consistency_weight": 10.0},
    "noise 2": {"input_noise": 2.0},
    "residual": {"residual": True},
    "width D/2": {"hidden_features": 192},
    "width 4 D": {"hidden_features": 1536},
}


def outcome(arrays: dict[str, np.ndarray], per_class: int, seed: int, settings: dict[str, object]) -> list[float]:
    """Accuracy in %, in-domain and mean over the shifts, of two heads averaged."""
    features, labels = arrays["train"], arrays["train_labels"]
    random = np.random.default_rng([seed, 11])
    order = [random.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
    rows = np.concatenate(order)
    generator = torch.Generator().manual_seed(seed)
    classes = int(labels.max()) + 1
    arguments = {**BASE, **settings}
    heads = [NMTune(features.shape[1], classes, generator=generator, **arguments) for _ in range(2)]  # type: ignore[arg-type]
    epochs = max(10, math.ceil(300 / math.ceil(len(rows) / 64)))
    train_heads(heads, torch.from_numpy(features[rows]), labels[rows], seeds=[seed, seed + 100], epochs=epochs)

    def accuracy(split: str) -> float:
        given = torch.from_numpy(arrays[split])
        with torch.no_grad():
            mean: Tensor = torch.stack([head(given).log_softmax(1) for head in heads]).mean(0)
        return 100 * float((mean.argmax(1).numpy() == arrays[f"{split}_labels"]).mean())

    shifts = [name for name in arrays if name.startswith("shift_") and not name.endswith("_labels")]
    return [accuracy("test"), float(np.mean([accuracy(shift) for shift in shifts]))]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", type=Path)
    parser.add_argument("--per-class", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args()
    for per_class in options.per_class:
        for path in options.tasks:
            with np.load(path) as file:
                arrays = dict(file)
            print(f"\n{path.stem}, {per_class} labels a class, seeds {options.seeds} (ID / OOD)")
            base = np.zeros((len(options.seeds), 2))
            for name in dict.fromkeys(["base", *options.variants]):
                found = np.array([outcome(arrays, per_class, seed, VARIANTS[name]) for seed in options.seeds])
                base = found if name == "base" else base
                shown = found if name == "base" else found - base
                mean, spread = shown.mean(0), np.ptp(shown, axis=0) / 2
                sign = "" if name == "base" else "+"
                values = " / ".join(f"{m:{sign}.1f} ± {s:.1f}" for m, s in zip(mean, spread, strict=True))
                print(f"{name:26} {values}", flush=True)


if __name__ == "__main__":
    main()
