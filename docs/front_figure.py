"""Draw the front page's figure from a finished study: ``python docs/front_figure.py STUDY docs/figures``.

``STUDY`` is a folder that ``noisymodel study`` wrote. Four lines: the solved linear probe and NMTune with tuned
weights, in-domain and under shift (the mean of all shifts), each with its 95 % interval over the seeds.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from noisymodel.study.analysis.intervals import Interval, mean_interval

METHODS = {"linear": ("linear probe", "#5F5F5F"), "nmtune_tuned": ("NMTune", "#0072B2")}
SPLITS = {"id": ("in-domain", "-", "o"), "ood": ("under shift", "--", "s")}


def accuracies(results: Path) -> dict[tuple[str, str], dict[float, Interval]]:
    """By method and split, at each noise rate: accuracy in per cent, over seeds, of the mean over shifts."""
    values: dict[tuple[str, str, float, str], list[float]] = defaultdict(list)
    with results.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] in METHODS and row["metric"] == "accuracy":
                key = row["method"], row["split"], float(row["noise_rate"]), row["seed"]
                values[key].append(100 * float(row["value"]))
    found: dict[tuple[str, str], dict[float, Interval]] = {}
    for method in METHODS:
        for split in SPLITS:
            rates = sorted({rate for m, s, rate, _ in values if (m, s) == (method, split)})
            found[method, split] = {
                rate: mean_interval([np.mean(values[key]) for key in values if key[:3] == (method, split, rate)])
                for rate in rates
            }
    return found


def finding(found: dict[tuple[str, str], dict[float, Interval]]) -> str:
    """What the highest noise rate does to the linear probe, in words."""
    changes: list[str] = []
    for split, (where, _, _) in SPLITS.items():
        line = found["linear", split]
        points = round(line[max(line)].mean - line[min(line)].mean)
        ending = "" if abs(points) == 1 else "s"
        changes.append(f"{'gains' if points > 0 else 'loses'} {abs(points)} point{ending} {where}")
    rate = max(found["linear", "id"])
    return f"With {100 * rate:.0f} % wrong labels in pre-training the linear probe\n{' and '.join(changes)}"


def draw(found: dict[tuple[str, str], dict[float, Interval]], file: Path) -> None:
    """One pair of axes with one scale; the title is the finding."""
    figure, axes = plt.subplots(figsize=(5.8, 3.8))  # legible on a phone
    figure.set_layout_engine("constrained", w_pad=0.1)
    for (method, split), line in found.items():
        (name, colour), (where, style, marker) = METHODS[method], SPLITS[split]
        rates, points = 100 * np.array(list(line)), list(line.values())
        axes.plot(rates, [point.mean for point in points], style, marker=marker, color=colour, linewidth=2)
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
        above = points[-1].mean >= max(found[other, split][max(line)].mean for other in METHODS)
        place = rates[-1], points[-1].mean
        offset = 8, 6 if above else -6
        label = f"{name}, {where}"
        axes.annotate(label, place, offset, textcoords="offset points", va="center", color=colour)
    lowest = min(point.low for line in found.values() for point in line.values())
    bottom = max(0, 10 * (lowest // 10) - 10)
    axes.set(xlabel="wrong labels in pre-training (%)", ylabel="accuracy (%)", ylim=(bottom, 100))
    axes.set_title(finding(found), loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6")
    figure.savefig(file, dpi=200, metadata={"Software": None})


if __name__ == "__main__":
    draw(accuracies(Path(sys.argv[1]) / "results.csv"), Path(sys.argv[2]) / "front-noise.png")
