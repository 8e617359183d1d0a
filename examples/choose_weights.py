"""How the study's tuned NMTune weights are looked at: on seeds and shifts that are never reported.

    python examples/choose_weights.py --seeds 300 301 302 303 304

Pre-trains networks at 0, 10 and 30 % label noise on the glyphs of these seeds, tunes with each setting below, and
prints accuracy in-domain and under the *tuning* shifts as paired differences against the MLP at the same learning rate.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from noisymodel import MLPProbe, NMTune, fit
from noisymodel._random import tensor_generator
from noisymodel.study import StudyConfig
from noisymodel.study.cells import Cell
from noisymodel.study.statistics import mean_interval
from noisymodel.study.storage import Storage

SETTINGS: dict[str, dict[str, float]] = {
    "MLP": {},
    "MLP + label smoothing 0.1": {"label_smoothing": 0.1},
    "(.01, .01, .01), the paper's": {"consistency_weight": 0.01, "covariance_weight": 0.01, "dominant_weight": 0.01},
    "(1, .04, .001)": {"consistency_weight": 1, "covariance_weight": 0.04, "dominant_weight": 0.001},
    "(1, 1, 1), the default": {"consistency_weight": 1, "covariance_weight": 1, "dominant_weight": 1},
    "(0, 3, 0)": {"consistency_weight": 0, "covariance_weight": 3, "dominant_weight": 0},
    "(1, 3, .1)": {"consistency_weight": 1, "covariance_weight": 3, "dominant_weight": 0.1},
    "(1, 10, .1)": {"consistency_weight": 1, "covariance_weight": 10, "dominant_weight": 0.1},
    "(10, 3, .1)": {"consistency_weight": 10, "covariance_weight": 3, "dominant_weight": 0.1},
}


def accuracies(cell: Cell, settings: dict[str, float], epochs: int) -> np.ndarray:
    """``(rates, 2)``: accuracy in-domain, and the mean over the tuning shifts."""
    tuning_shifts = [note.name for note in cell.source.shifts if note.role == "tuning"]
    tests = [cell.source.test(), *(cell.source.shifted(name) for name in tuning_shifts)]
    results = []
    for index, rate in enumerate(cell.config.noise_rates):
        network = cell.pretrained().one(index)
        features, labels = cell.frozen(rate).training
        generator = tensor_generator(cell.seed, 2)
        build = NMTune if "covariance_weight" in settings else MLPProbe
        head = build(features.shape[1], cell.source.classes, residual=False, generator=generator, **settings)
        fit(head, features, labels, epochs=epochs, learning_rate=3e-3, seed=cell.seed)
        with torch.inference_mode():
            correct = [
                (head(network.features(torch.from_numpy(test.images))).argmax(1).numpy() == test.labels).mean()
                for test in tests
            ]
        results.append([correct[0], np.mean(correct[1:])])
    return np.array(results)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[300, 301, 302, 303, 304])
    parser.add_argument("--pretraining-images", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = StudyConfig(
        seeds=tuple(options.seeds),
        noise_rates=(0.0, 0.1, 0.3),
        data_options={"pretraining_images": options.pretraining_images},
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(config.seeds, unit="seed"):
            cell = Cell(config, seed, Storage(Path(folder)))
            for name, settings in SETTINGS.items():
                found[name].append(accuracies(cell, settings, options.epochs))
    print("points against the MLP at the same rate (learning rate 0.003), ± 95 % over seeds, noise 0 / 10 / 30 %")
    for name, values in found.items():
        difference = 100 * (np.stack(values) - np.stack(found["MLP"]))  # (seeds, rates, 2)
        cells = [[mean_interval(difference[:, rate, where].tolist()) for rate in range(3)] for where in range(2)]
        shown = ["  ".join(f"{c.mean:+5.1f} ±{(c.high - c.low) / 2:4.1f}" for c in row) for row in cells]
        print(f"{name:30} ID {shown[0]}   tuning shifts {shown[1]}")


if __name__ == "__main__":
    main()
