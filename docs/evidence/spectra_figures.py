"""The figures of docs/spectra.md, of the study's networks: pre-trained on glyphs with 0 to 30 % label noise, one seed.

    python docs/evidence/spectra_figures.py docs/figures

Writes spectra-scree.png, spectra-energy.png, spectra-rates.png, spectra-angles.png and spectra-tuning.png, and prints
the numbers in them. The features are of the in-domain test pictures; the tuned ones are those of `NMTuneClassifier`
with its default settings, fitted to the downstream training pictures. One seed: the bars are over the pictures, and
what another pre-training would give is not in them (docs/study_results.md has eight).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from noisymodel import NMTuneClassifier
from noisymodel.plot import angle_map, before_after, cumulative_energy, metrics_against_rate, scree
from noisymodel.spectrum import analyze, jackknife_intervals
from noisymodel.study import StudyConfig, plan
from noisymodel.study.cell import Cell
from noisymodel.study.part_cache import PartCache
from noisymodel.subspace import principal_angles

SEED = 7000
DIRECTIONS = 8


class Features(NamedTuple):
    """Test features (N, D) of one network, frozen and tuned."""

    frozen: np.ndarray
    tuned: np.ndarray


def features_by_rate() -> dict[float, Features]:
    """The networks of one seed, and their features."""
    config = StudyConfig(seeds=(SEED,))
    found: dict[float, Features] = {}
    with tempfile.TemporaryDirectory() as folder:
        planned, (shots,) = plan(config), config.shots
        cell = Cell(planned, planned.cells[0], PartCache(folder))
        training, test = cell.tasks["fine"].training(shots), cell.tasks["fine"].test()
        for index, rate in enumerate(config.noise_rates):
            network = cell.pretrained().one(index)
            rows, frozen = (network.features(torch.from_numpy(part.inputs)).numpy() for part in (training, test))
            classifier = NMTuneClassifier(random_state=SEED).fit(rows, training.labels)
            found[rate] = Features(frozen, np.asarray(classifier.transform(frozen)))
    return found


def main(folder: Path) -> None:
    """Draw and print."""
    held = features_by_rate()
    frozen = {rate: analyze(features.frozen) for rate, features in held.items()}
    centred = {rate: analyze(features.frozen, center="column") for rate, features in held.items()}
    tuned = {rate: analyze(features.tuned) for rate, features in held.items()}
    intervals = {
        "frozen": {rate: jackknife_intervals(features.frozen) for rate, features in held.items()},
        "tuned": {rate: jackknife_intervals(features.tuned) for rate, features in held.items()},
    }
    clean = held[0.0].frozen
    noisy = [rate for rate in held if rate]
    angles = [principal_angles(clean, held[rate].frozen, k=DIRECTIONS) for rate in noisy]
    ends = {rate: (frozen[rate], tuned[rate]) for rate in (0.0, 0.1, 0.3)}

    figures = {
        "scree": scree(centred).figure,
        "energy": cumulative_energy(centred).figure,
        "rates": metrics_against_rate(intervals),
        "angles": angle_map(angles, rows=noisy, row_title="against clean pre-training").figure,
        "tuning": before_after(
            {rate: before for rate, (before, _) in ends.items()}, {rate: after for rate, (_, after) in ends.items()}
        ),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"spectra-{name}.png", dpi=150, metadata={"Software": None})

    print(f"{clean.shape[0]} pictures, {clean.shape[1]} features")
    for name, by_rate in intervals.items():
        for rate, metrics in by_rate.items():
            print(f"{name:6} {rate:5.0%}  " + "  ".join(f"{metric} {interval}" for metric, interval in metrics.items()))
    for rate in noisy:
        change = jackknife_intervals(held[rate].frozen, ["entropy", "largest_ratio"], against=clean)
        print(f"{rate:5.0%} less clean, frozen:  " + "  ".join(f"{name} {found}" for name, found in change.items()))
    for rate, found in zip(noisy, angles, strict=True):
        print(f"{rate:5.0%} angles to clean (degrees): {np.degrees(found).round(1)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
