"""Add label noise to real data by every rule, and see how much each harms a classifier.

    python examples/label_noise.py

The first 900 labels of scikit-learn's handwritten digits get 40 % noise. A nearest-neighbour classifier (k = 15) learns
from them and is tested on the clean labels of the others. The rate is the same for all rules; the harm differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from noisymodel import noise

RATE, TRAINING, SEEDS = 0.4, 900, range(5)


def injected(pictures: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, noise.NoisyLabels]:
    posterior = GaussianNB(var_smoothing=0.05).fit(pictures, labels).predict_proba(pictures)
    prototypes = noise.class_prototypes(pictures - pictures.mean(0), labels)
    return {
        "none": noise.symmetric(labels, 0.0, seed=seed),
        "symmetric": noise.symmetric(labels, RATE, seed=seed),
        "symmetric, include_true": noise.symmetric(labels, RATE, include_true=True, seed=seed),
        "pair_flip": noise.pair_flip(labels, RATE, seed=seed),
        "asymmetric, mnist": noise.asymmetric(labels, RATE, mapping="mnist", seed=seed),
        "similarity": noise.similarity(labels, RATE, prototypes, temperature=0.2, seed=seed),
        "instance_dependent": noise.instance_dependent(labels, pictures, RATE, seed=seed),
        "posterior_dependent": noise.posterior_dependent(labels, posterior, RATE, kind="II", seed=seed),
    }


def main() -> None:
    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures / 16
    train, test = slice(None, TRAINING), slice(TRAINING, None)
    scores: dict[str, list[tuple[float, float]]] = {}
    for seed in SEEDS:
        for name, noisy in injected(pictures[train], labels[train], seed).items():
            model = KNeighborsClassifier(15).fit(pictures[train], noisy.labels)
            scores.setdefault(name, []).append((noisy.realized_rate, model.score(pictures[test], labels[test])))
    print(f"{'noise':<26}{'asked for':>10}{'wrong':>9}{'accuracy on clean labels':>28}")
    for name, found in scores.items():
        rates, accuracies = np.array(found).T
        asked = 0.0 if name == "none" else RATE
        spread = accuracies.std(ddof=1)
        print(f"{name:<26}{asked:>10.0%}{rates.mean():>9.1%}{accuracies.mean():>20.1%} ± {spread:.1%}")

    noisy = noise.symmetric(labels[train], RATE, seed=0)
    with TemporaryDirectory() as folder:  # the audit is JSON, and can be done again
        file = Path(folder) / "audit.json"
        file.write_text(json.dumps(noisy.audit()))
        noise.verify(json.loads(file.read_text()), labels[train])
    print("\nThe audit of the symmetric noise holds.")


if __name__ == "__main__":
    main()
