"""The figure of docs/noise.md: every kind of label noise as the matrix that it samples from, or that it left behind.

    python docs/evidence/label_noise.py --out docs/figures

Writes ``noise-matrices.png``. The data are scikit-learn's handwritten digits: prototypes, posterior and confusions are
those of a naive Bayes classifier on their pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from noisymodel import noise

RATE = 0.4


def empirical(clean: np.ndarray, noisy: object) -> np.ndarray:
    counts = np.zeros((10, 10))
    np.add.at(counts, (clean, np.asarray(noisy)), 1)
    return counts / counts.sum(1, keepdims=True)


def matrices() -> dict[str, np.ndarray]:
    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures / 16
    model = GaussianNB(var_smoothing=0.05).fit(pictures[::2], labels[::2])
    posterior, predicted = model.predict_proba(pictures), model.predict(pictures)
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels, predicted), 1)
    prototypes = noise.class_prototypes(pictures - pictures.mean(0), labels)
    by_sample = {
        "instance_dependent *": noise.instance_dependent(labels, pictures, RATE, seed=0),
        "posterior_dependent, type II *": noise.posterior_dependent(labels, posterior, RATE, kind="II", seed=0),
    }
    return {
        "symmetric": noise.symmetric_transition(10, RATE),
        "symmetric, include_true": noise.symmetric_transition(10, RATE, include_true=True),
        "pair_flip": noise.pair_transition(10, RATE),
        "asymmetric, cifar10": noise.asymmetric_transition(10, RATE, "cifar10"),
        "asymmetric, mnist": noise.asymmetric_transition(10, RATE, "mnist"),
        "similarity, τ = 0.2": noise.similarity_transition(prototypes, RATE, 0.2),
        "from_confusion": noise.confusion_transition(counts, RATE, empty="uniform"),
        **{name: empirical(labels, found.labels) for name, found in by_sample.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    figure = Figure(figsize=(7.5, 7.8), layout="constrained")
    axes = figure.subplots(3, 3)
    shown = None
    for axis, (name, matrix) in zip(axes.flat, matrices().items(), strict=True):
        shown = axis.imshow(matrix, vmin=0, vmax=1, cmap="Greys")
        axis.set_title(name, fontsize=9)
        axis.set_xticks(range(0, 10, 3))
        axis.set_yticks(range(0, 10, 3))
    for axis in axes[:, 0]:
        axis.set_ylabel("clean class")
    for axis in axes[-1]:
        axis.set_xlabel("noisy class")
    figure.colorbar(shown, ax=axes, shrink=0.6, label="P(noisy class | clean class)")
    options.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out / "noise-matrices.png", dpi=90)


if __name__ == "__main__":
    main()
