"""Records -> ``results/PART.json``: the numbers that the pages quote, with date, machine and versions."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import noisymodel

from .cells import Cell, split
from .figures import draw
from .intervals import gain_draws, interval, mean_figures
from .measure import Record, stored
from .methods import ALL, BASELINES
from .parts import Part

FOLDER = Path(__file__).parent / "results"
REFERENCE = "default"
PLACE = ("task", "layer", "size", "noise", "rate")


def collect(part: Part, cache: Path, *, stale: bool) -> dict[str, Any]:
    """Rows and paired differences of a part.

    The rows are means over the seeds that all their methods have; a method with fewer seeds than the reference has no
    row. Differences are over the seeds that both methods have.
    """
    found: dict[tuple[Any, ...], dict[str, dict[int, Record]]] = {}
    for cell in part.cells:
        for method in part.methods:
            record = stored(cell, method, cache, stale=stale)
            if record is not None:
                found.setdefault(_place(cell), {}).setdefault(method, {})[cell.seed] = record
    rows, gains = [], []
    for place, methods in found.items():
        ours = methods.get(REFERENCE, {})
        whole = {method: by_seed for method, by_seed in methods.items() if set(by_seed) >= set(ours)}
        common = set.intersection(*(set(by_seed) for by_seed in whole.values()))
        for method, by_seed in whole.items():
            rows.append(_row(place, method, [by_seed[seed] for seed in sorted(common or by_seed)]))
        for other, theirs in methods.items():
            seeds = sorted(set(ours) & set(theirs))
            if other != REFERENCE and seeds:
                draws = gain_draws([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])
                told = {"method": REFERENCE, "other": other, "title": ALL[other].title, "seeds": len(seeds)}
                gains.append({**_named(place), **told, **{name: interval(values) for name, values in draws.items()}})
    return {"about": about(), "title": part.title, "rows": rows, "gains": gains}


def _place(cell: Cell) -> tuple[Any, ...]:
    return (cell.task, cell.layer, cell.size, cell.noise, cell.rate)


def _named(place: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(PLACE, place, strict=True))


def _row(place: tuple[Any, ...], method: str, records: list[Record]) -> dict[str, Any]:
    means = mean_figures(records)
    rounded = {
        name: {key: None if np.isnan(value) else round(value, 3) for key, value in values.items()}
        for name, values in means.items()
    }
    return {
        **_named(place),
        "method": method,
        "title": ALL[method].title,
        "version": records[0].version,
        "seeds": len(records),
        "training_rows": round(float(np.mean([record.rows for record in records]))),
        "seconds": round(float(np.mean([record.seconds for record in records])), 1),
        "tests": rounded,
    }


def aims(cache: Path, part: Part, *, stale: bool) -> list[dict[str, Any]]:
    """For each number of labels: `NMTuneClassifier()` minus every baseline, and minus the best one, mean over tasks."""
    lines: list[dict[str, Any]] = []
    for size in dict.fromkeys(cell.size for cell in part.cells):
        by_task: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for task in dict.fromkeys(cell.task for cell in part.cells if cell.size == size):
            cells = [cell for cell in part.cells if (cell.size, cell.task) == (size, task)]
            ours = {cell.seed: stored(cell, REFERENCE, cache, stale=stale) for cell in cells}
            for other in BASELINES:
                theirs = {cell.seed: stored(cell, other, cache, stale=stale) for cell in cells}
                pairs = [(ours[s], theirs[s]) for s in ours if ours[s] is not None and theirs[s] is not None]
                if pairs:
                    mine, others = ([pair[i] for pair in pairs] for i in (0, 1))
                    by_task.setdefault(task, {})[other] = gain_draws(mine, others)  # type: ignore[arg-type]
        for other in (*BASELINES, "best"):
            draws = {name: _over_tasks(by_task, other, name) for name in ("id", "ood")}
            if all(values is not None for values in draws.values()):
                name_of = "the best of these, in hindsight" if other == "best" else ALL[other].title
                told = {
                    "size": size,
                    "other": other,
                    "title": name_of,
                    "tasks": sum(other == "best" or other in t for t in by_task.values()),
                }
                lines.append(told | {name: interval(values) for name, values in draws.items() if values is not None})
    return lines


def _over_tasks(by_task: dict[str, dict[str, dict[str, np.ndarray]]], other: str, name: str) -> np.ndarray | None:
    """The mean over tasks; ``best``: of each task the baseline that is measured best on its tests, in hindsight."""
    chosen = [
        min((found[name] for found in gains.values()), key=lambda draws: draws[0])
        if other == "best"
        else gains[other][name]
        for gains in by_task.values()
        if other == "best" or other in gains
    ]
    return np.mean(chosen, axis=0) if chosen else None


def spectra(part: Part, cache: Path) -> list[dict[str, Any]]:
    """SVE and LSVR of the training features of each task and size, seed 0, by the paper's definition."""
    lines: list[dict[str, Any]] = []
    for cell in part.cells:
        if cell.seed == 0 and (cache / "bundles" / f"{cell.task}@{cell.layer}.npz").exists():
            rows = split(cell, cache).training.features
            spectrum = noisymodel.spectrum.analyze(rows)
            lines.append(
                {
                    "task": cell.task,
                    "size": cell.size,
                    "classes": len(np.unique(split(cell, cache).training.labels)),
                    "sve": round(float(spectrum.entropy), 4),
                    "lsvr": round(float(spectrum.largest_ratio), 4),
                }
            )
    return lines


def about() -> dict[str, Any]:
    """Date, machine, versions."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        model = next((line.partition(": ")[2].strip() for line in file if line.startswith("model name")), "")
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{model or platform.processor()}, {os.cpu_count()} cores, one used",
        "versions": {"noisymodel": noisymodel.__version__, "torch": torch.__version__, "numpy": np.__version__},
    }


def write(name: str, result: Any) -> Path:
    """``results/NAME.json``."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def predictors(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Spearman's correlation, over tasks and sizes, of the gain over the best baseline with what is known before."""
    rows = {(row["task"], row["size"], row["method"]): row for row in result["rows"]}
    known = {(one["task"], one["size"]): one for one in result["spectra"]}
    points: list[dict[str, float]] = []
    for task, size in known:
        own = [g for g in result["gains"] if (g["task"], g["size"]) == (task, size) and g["other"] in BASELINES]
        first = rows.get((task, size, "logistic"))
        if own and first:
            rows_a_class = first["training_rows"] / known[task, size]["classes"]
            points.append(
                {
                    "labels a class": rows_a_class,
                    "SVE": known[task, size]["sve"],
                    "LSVR": known[task, size]["lsvr"],
                    "in-domain accuracy of logistic regression": first["tests"]["in-domain"]["accuracy"],
                    "id": min(gain["id"][0] for gain in own),
                    "ood": min(gain["ood"][0] for gain in own),
                }
            )
    if len(points) < 3:
        return []
    lines: list[dict[str, Any]] = []
    for name in [key for key in points[0] if key not in ("id", "ood")]:
        told: dict[str, Any] = {"name": name, "points": len(points)}
        for gain in ("id", "ood"):
            found = spearmanr([point[name] for point in points], [point[gain] for point in points]).statistic
            told[gain] = round(float(found), 2)
        lines.append(told)
    return lines


def calibration(part: Part, cache: Path, *, stale: bool) -> list[dict[str, Any]]:
    """Confidence and accuracy of each test, at each task's largest number of labels: the points of the figure."""
    lines: list[dict[str, Any]] = []
    for task in dict.fromkeys(cell.task for cell in part.cells):
        for method in ("logistic-loss", "mlp", "nmtune", REFERENCE):
            cells = [cell for cell in part.cells if (cell.task, cell.size) == (task, 0)]
            records = [record for cell in cells if (record := stored(cell, method, cache, stale=stale))]
            if records:
                for test, values in mean_figures(records).items():
                    if test != "OOD":
                        told = {"task": task, "method": method, "title": ALL[method].title, "test": test}
                        lines.append(told | {key: round(values[key], 2) for key in ("confidence", "accuracy")})
    return lines


def merged(result: dict[str, Any], before: dict[str, Any], part: Part) -> dict[str, Any]:
    """A part's result with the rows and gains of places that were measured before and not now, in the part's order."""

    def place(line: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(line[name] for name in PLACE)

    now, order = {place(row) for row in result["rows"]}, list(dict.fromkeys(map(_place, part.cells)))
    lines = {
        key: sorted(
            [*result[key], *(line for line in before[key] if place(line) not in now and place(line) in order)],
            key=lambda line: order.index(place(line)),
        )
        for key in ("rows", "gains")
    }
    kept = len(lines["rows"]) > len(result["rows"])
    earlier = [one for one in (before["about"], *before.get("earlier", [])) if kept and one != result["about"]]
    return {**result, "earlier": earlier, **lines}


def write_all(every: dict[str, Part], cache: Path, *, stale: bool) -> Iterator[Path]:
    """``results/PART.json`` of every part that has records, and the figures.

    Places without records keep what the file says of them. The figures over all tasks need the records of all, so the
    tables have only what is in the cache.
    """
    for name, part in every.items():
        result = collect(part, cache, stale=stale)
        if not result["rows"]:
            continue
        path = FOLDER / f"{name}.json"
        if name != "tables" and path.exists():
            result = merged(result, json.loads(path.read_text(encoding="utf-8")), part)
        if name == "tables":
            result["aims"] = aims(cache, part, stale=stale)
            result["spectra"] = spectra(part, cache)
            result["predictors"] = predictors(result)
            result["calibration"] = calibration(part, cache, stale=stale)
        yield write(name, result)
        if name == "tables":
            yield from draw(result)
