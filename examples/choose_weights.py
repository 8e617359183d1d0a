"""Compare weights of NMTune on seeds and shifts that the study never reports.

    python examples/choose_weights.py --seeds 300 301 302 303 304

The script pre-trains networks at 0, 10 and 30 % label noise on the glyphs of these seeds, tunes with each setting
below, and prints accuracy in-domain and under the *tuning* shifts as paired differences against the MLP. The weights of
NMTune are those of the consistency, covariance and dominant terms; *start* names the start of the classifier's weights.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from noisymodel import LinearProbe, MLPProbe, NMTune, fit
from noisymodel.heads import Head
from noisymodel.study import StudyConfig, plan
from noisymodel.study.analysis.summary import mean_interval
from noisymodel.study.cell import Cell
from noisymodel.study.part_cache import PartCache

Build = Callable[..., Head]
"""``build(in_features, num_classes, generator=...)``."""


def nmtune(consistency: float, covariance: float, dominant: float) -> Build:
    """The network without residual connection, with these weights."""
    weights = {"consistency_weight": consistency, "covariance_weight": covariance, "dominant_weight": dominant}
    return partial(NMTune, residual=False, **weights)


mlp = partial(MLPProbe, residual=False)
official = partial(NMTune.from_preset, "official")
SETTINGS: dict[str, tuple[Build, float]] = {  # name -> (head, learning rate)
    "MLP": (mlp, 3e-3),
    "MLP, Kaiming start": (partial(mlp, classifier_init="kaiming"), 3e-3),
    "MLP + label smoothing 0.1": (partial(mlp, label_smoothing=0.1), 3e-3),
    "NMTune (.01, .01, .01)": (nmtune(0.01, 0.01, 0.01), 3e-3),
    "NMTune (1, .04, .001)": (nmtune(1, 0.04, 0.001), 3e-3),
    "NMTune (1, 1, 1)": (nmtune(1, 1, 1), 3e-3),
    "NMTune (0, 3, 0)": (nmtune(0, 3, 0), 3e-3),
    "NMTune (1, 3, .1)": (nmtune(1, 3, 0.1), 3e-3),
    "NMTune (1, 10, .1)": (nmtune(1, 10, 0.1), 3e-3),
    "NMTune (10, 3, .1)": (nmtune(10, 3, 0.1), 3e-3),
    "linear probe": (LinearProbe, 1e-2),
    "linear probe, Kaiming start": (partial(LinearProbe, classifier_init="kaiming"), 1e-2),
    "published code": (official, 1e-3),
    "published code, linear start": (partial(official, classifier_init="linear"), 1e-3),
}


class Tests(NamedTuple):
    """Features of one network: to train on, and to test on in-domain (first) and under the tuning shifts."""

    training: tuple[torch.Tensor, torch.Tensor]
    tests: list[tuple[torch.Tensor, torch.Tensor]]


def features_of(cell: Cell) -> list[Tests]:
    """Features by the network of each noise rate."""
    task, (shots,) = cell.tasks["fine"], cell.plan.config.shots
    tuning_shifts = [note.name for note in task.shifts if note.role == "tuning"]
    pictures = [task.training(shots), task.test(), *(task.shifted(name) for name in tuning_shifts)]
    found = []
    for index in range(len(cell.rates)):
        network = cell.pretrained().one(index)
        parts = [(network.features(torch.from_numpy(p.inputs)), torch.from_numpy(p.labels)) for p in pictures]
        found.append(Tests(parts[0], parts[1:]))
    return found


def accuracies(
    features: list[Tests], seed: int, classes: int, build: Build, learning_rate: float, epochs: int
) -> np.ndarray:
    """``(rates, 2)``: accuracy in-domain, and the mean over the tuning shifts."""
    results = []
    for (rows, labels), tests in features:
        head = build(rows.shape[1], classes, generator=torch.Generator().manual_seed(seed))
        fit(head, rows, labels, epochs=epochs, learning_rate=learning_rate, seed=seed)
        with torch.inference_mode():
            correct = [(head(rows).argmax(1) == labels).double().mean().item() for rows, labels in tests]
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
    planned = plan(config)
    found: dict[str, list[np.ndarray]] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        for cell_name in tqdm(planned.cells, unit="seed"):
            cell = Cell(planned, cell_name, PartCache(folder))
            features = features_of(cell)
            for name, (build, rate) in SETTINGS.items():
                found[name].append(
                    accuracies(features, cell.name.seed, cell.tasks["fine"].classes, build, rate, options.epochs)
                )
    print("points against the MLP (learning rate 0.003), ± 95 % over seeds, noise 0 / 10 / 30 %")
    for name, values in found.items():
        difference = 100 * (np.stack(values) - np.stack(found["MLP"]))  # (seeds, rates, 2)
        cells = [[mean_interval(difference[:, rate, where].tolist()) for rate in range(3)] for where in range(2)]
        shown = ["  ".join(f"{c.mean:+5.1f} ±{(c.high - c.low) / 2:4.1f}" for c in row) for row in cells]
        print(f"{name:30} ID {shown[0]}   tuning shifts {shown[1]}")


if __name__ == "__main__":
    main()
