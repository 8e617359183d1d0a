"""Two figures of the tables: confidence against accuracy under each shift, and where the gain is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "figures"
CALIBRATION, GAINS = FOLDER / "evidence-calibration.png", FOLDER / "evidence-gains.png"
COLOURS = ("tab:gray", "tab:blue", "tab:green", "tab:red", "tab:purple", "tab:orange")


def draw(result: dict[str, Any]) -> Iterator[Path]:
    """Both, where there is what they show."""
    import matplotlib

    matplotlib.use("Agg")
    if result["calibration"]:
        yield _calibration(result["calibration"])
    if result["gains"]:
        yield _gains(result["gains"])


def _calibration(points: list[dict[str, Any]]) -> Path:
    from matplotlib import pyplot

    methods = list(dict.fromkeys(point["title"] for point in points))
    figure, axes = pyplot.subplots(1, len(methods), figsize=(3.1 * len(methods), 3.3), sharey=True, squeeze=False)
    tasks = list(dict.fromkeys(point["task"] for point in points))
    for axis, method in zip(axes[0], methods, strict=True):
        for task, colour in zip(tasks, COLOURS, strict=False):
            own = [point for point in points if (point["title"], point["task"]) == (method, task)]
            for marker, inside in (("o", True), ("x", False)):
                shown = [point for point in own if (point["test"] == "in-domain") == inside]
                x, y = [p["confidence"] for p in shown], [p["accuracy"] for p in shown]
                axis.scatter(x, y, color=colour, marker=marker, label=task if inside else None)
        axis.plot([0, 100], [0, 100], color="black", linewidth=0.6)
        axis.set(title=method.replace("`", ""), xlabel="mean confidence, %", xlim=(0, 100), ylim=(0, 100))
    axes[0][0].set_ylabel("accuracy, %")
    axes[0][0].legend(fontsize=7)
    return _saved(figure, CALIBRATION)


def _gains(gains: list[dict[str, Any]]) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    tasks = list(dict.fromkeys(gain["task"] for gain in gains))
    others = ("logistic", "logistic-loss", "kernel", "svc", "lda", "mlp", "mlp-chosen")
    for axis, kind, name in zip(axes, ("id", "ood"), ("in-domain", "mean over the shifts"), strict=True):
        for place, (task, colour) in enumerate(zip(tasks, COLOURS, strict=False)):
            sizes = sorted({gain["size"] for gain in gains if gain["task"] == task}, key=lambda size: size or 1024)
            for size in sizes:
                own = [g for g in gains if (g["task"], g["size"]) == (task, size) and g["other"] in others]
                if own:
                    middle, low, high = min((gain[kind] for gain in own), key=lambda values: values[0])
                    x = (size or 1024) * 1.09 ** (place - len(tasks) / 2)
                    label = task if size == sizes[0] else None
                    axis.errorbar(
                        x, middle, [[middle - low], [high - middle]], fmt="o", color=colour, markersize=4, label=label
                    )
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set(xscale="log", title=name, xlabel="labels a class")
        axis.set_xticks([4, 16, 64, 256, 1024], ["4", "16", "64", "256", "all"])
    axes[0].set_ylabel("points over the best baseline")
    axes[0].legend(fontsize=7, loc="lower right")
    return _saved(figure, GAINS)


def _saved(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return path
