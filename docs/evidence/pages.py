"""``results/*.json`` -> the tables of the pages, between ``<!-- table NAME ... -->`` and ``<!-- end of table -->``.

Reads JSON and writes Markdown; a test holds the pages to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
MARKED = re.compile(r"(<!-- table (\w+)((?: [\w.-]+)*) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
Row = dict[str, Any]


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _size(size: int) -> str:
    return str(size) if size else "all"


def _pair(tests: dict[str, dict[str, float | None]], key: str = "accuracy", digits: int = 1) -> str:
    values = [tests[name][key] for name in ("in-domain", "OOD")]
    return " / ".join("–" if value is None else f"{value:.{digits}f}" for value in values)


def _interval(values: list[float]) -> str:
    return f"{values[0]:+.1f} [{values[1]:+.1f}, {values[2]:+.1f}]".replace("-", "−")


def _table(header: list[str], lines: list[list[str]]) -> str:
    body = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body) + "\n"


def _bold(columns: list[list[str]]) -> None:
    """Mark the highest in-domain and the highest OOD accuracy of each column, in place."""
    for column in columns:
        for place in (0, 1):
            values = [float(cell.split(" / ")[place].strip("*")) if " / " in cell else -1.0 for cell in column]
            for i, value in enumerate(values):
                if value == max(values) and value >= 0:
                    halves = column[i].split(" / ")
                    halves[place] = f"**{halves[place]}**"
                    column[i] = " / ".join(halves)


def accuracy(part: str, task: str) -> str:
    """Methods by labels a class: accuracy in-domain / mean over the shifts."""
    rows = [row for row in _read(part)["rows"] if row["task"] == task]
    sizes = sorted({row["size"] for row in rows}, key=lambda size: size or 10**6)
    titles = list(dict.fromkeys(row["title"] for row in rows))
    cells = {(row["title"], row["size"]): _pair(row["tests"]) for row in rows}
    columns = [[cells.get((name, size), "–") for name in titles] for size in sizes]
    _bold(columns)
    if not rows:
        return "Not measured yet.\n"
    seeds = {size: max(row["seeds"] for row in rows if row["size"] == size) for size in sizes}
    header = ["labels a class (seeds)", *(f"{_size(size)} ({seeds[size]})" for size in sizes)]
    return _table(header, [[name, *(column[i] for column in columns)] for i, name in enumerate(titles)])


def quality(part: str, task: str, size: str) -> str:
    """Log-loss, calibration error, macro-F1 and processor time at one number of labels."""
    rows = [row for row in _read(part)["rows"] if row["task"] == task and row["size"] == int(size)]
    lines = [
        [
            row["title"],
            _pair(row["tests"], "log_loss", 2),
            _pair(row["tests"], "ece"),
            _pair(row["tests"], "f1"),
            f"{row['seconds']:.1f}",
        ]
        for row in rows
    ]
    return _table(["", "log-loss", "calibration error", "macro-F1", "seconds"], lines)


def shifts(part: str, task: str, size: str) -> str:
    """Accuracy under each shift at one number of labels."""
    rows = [row for row in _read(part)["rows"] if row["task"] == task and row["size"] == int(size)]
    names = [name for name in rows[0]["tests"] if name != "OOD"]
    lines = [[row["title"], *(f"{row['tests'][name]['accuracy']:.1f}" for name in names)] for row in rows]
    return _table(["", *names], lines)


def gains(part: str, *others: str) -> str:
    """Paired differences of `NMTuneClassifier()` to methods, by task and labels a class."""
    found = [gain for gain in _read(part)["gains"] if not others or gain["other"] in others]
    titles = list(dict.fromkeys(gain["title"] for gain in found))
    places = list(dict.fromkeys((gain["task"], gain["size"]) for gain in found))
    places.sort(key=lambda place: (place[0], place[1] or 10**6))
    cells = {(g["task"], g["size"], g["title"]): f"{_interval(g['id'])}; {_interval(g['ood'])}" for g in found}
    lines = [
        [f"{task}, {_size(size)}", *(cells.get((task, size, name), "–") for name in titles)] for task, size in places
    ]
    return _table(["minus", *titles], lines)


def aims(part: str) -> str:
    """Means over tasks, against each baseline and the best of them."""
    found = _read(part)["aims"]
    lines = [
        [_size(line["size"]), line["title"], str(line["tasks"]), _interval(line["id"]), _interval(line["ood"])]
        for line in found
    ]
    return _table(["labels a class", "`NMTuneClassifier()` minus", "tasks", "in-domain", "under shift"], lines)


FRONT = ("logistic", "kernel", "mlp", "default")


def front(part: str) -> str:
    """Tasks by methods with all labels, and the gain over logistic regression under shift: the README's table."""
    found = _read(part)
    rows = {(row["task"], row["method"]): row for row in found["rows"] if not row["size"] and row["method"] in FRONT}
    titles = {method: row["title"] for (_, method), row in rows.items()}
    tasks = list(dict.fromkeys(task for task, _ in rows))
    gained = {g["task"]: _interval(g["ood"]) for g in found["gains"] if not g["size"] and g["other"] == "logistic"}
    columns = [[_pair(rows[task, m]["tests"]) if (task, m) in rows else "–" for m in titles] for task in tasks]
    _bold(columns)
    lines = [[task, *column, gained.get(task, "–")] for task, column in zip(tasks, columns, strict=True)]
    return _table(["task", *titles.values(), "gain under shift"], lines)


def noisy(part: str, task: str) -> str:
    """Methods by kind and rate of wrong labels."""
    rows = [row for row in _read(part)["rows"] if row["task"] == task]
    places = list(dict.fromkeys((row["noise"], row["rate"]) for row in rows))
    titles = list(dict.fromkeys(row["title"] for row in rows))
    cells = {(row["title"], row["noise"], row["rate"]): _pair(row["tests"]) for row in rows}
    columns = [[cells.get((name, *place), "–") for name in titles] for place in places]
    _bold(columns)
    header = ["", *(f"{noise} {rate:.0%}" if noise else "clean" for noise, rate in places)]
    return _table(header, [[name, *(column[i] for column in columns)] for i, name in enumerate(titles)])


def layers(part: str) -> str:
    """Methods by task and layer, the last first."""
    rows = _read(part)["rows"]
    places = list(dict.fromkeys((row["task"], row["layer"]) for row in rows))
    titles = list(dict.fromkeys(row["title"] for row in rows))
    cells = {(row["title"], row["task"], row["layer"]): _pair(row["tests"]) for row in rows}
    columns = [[cells.get((name, *place), "–") for name in titles] for place in places]
    _bold(columns)
    header = ["", *(f"{task}, {layer}" for task, layer in places)]
    return _table(header, [[name, *(column[i] for column in columns)] for i, name in enumerate(titles)])


def predictors(part: str) -> str:
    """Rank correlation of the gain over the best baseline with what might predict it, over tasks and sizes."""
    found = _read(part)["predictors"]
    lines = [[line["name"], f"{line['id']:+.2f}", f"{line['ood']:+.2f}", str(line["points"])] for line in found]
    return _table(["", "gain in-domain", "gain under shift", "points"], lines).replace("-0", "−0")


def about(part: str) -> str:
    """Date, machine and versions of a part."""
    found = _read(part)
    runs = [
        f"{told['date']}; {told['machine']}; " + ", ".join(f"{key} {value}" for key, value in told["versions"].items())
        for told in (found["about"], *found.get("earlier", []))
    ]
    return f"({'; some rows: '.join(dict.fromkeys(runs))}.)\n"


def figure(part: str, name: str, *words: str) -> str:  # noqa: ARG001 - all tables begin with their part
    """A figure where it is there; the words say what it shows."""
    path = DOCS / "figures" / f"evidence-{name}.png"
    return f"![{' '.join(words)}](figures/{path.name})\n" if path.is_file() else "Not measured yet.\n"


TABLES: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (accuracy, quality, shifts, gains, aims, front, noisy, layers, predictors, about, figure)
}


def rendered(text: str) -> str:
    """A page with its tables made anew."""

    def one(found: re.Match[str]) -> str:
        part, *others = found[3].split()
        made = (RESULTS / f"{part}.json").is_file()
        return found[1] + (TABLES[found[2]](part, *others) if made else "Not measured yet.\n") + found[5]

    return MARKED.sub(one, text)


def update() -> list[Path]:
    """Write the tables of all pages that have some; what changed."""
    changed: list[Path] = []
    for path in [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        new = rendered(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed
