"""How far a study is: which cells and parts are stored, which failed, what is being pre-trained."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputFolderError
from .cells import Cell
from .config import StudyConfig
from .folder import CACHE_FOLDER, FAILURES_FILE, RESULTS_FILE, read_claim
from .grid import CellName, cell_names
from .record import PRETRAINING
from .storage import Storage


@dataclass(frozen=True)
class CellStatus:
    """How far one cell is."""

    name: CellName
    parts: int
    """Parts that it has: pre-training with its measures, and one per task, number of shots and method."""
    missing: tuple[str, ...]
    """Those that are not stored."""
    failures: tuple[str, ...]
    """What went wrong when it was last tried, ``"part: message"`` each."""
    checkpoint_age: float | None
    """Seconds since the last checkpoint of an unfinished pre-training, ``None`` where there is none."""


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    path: Path
    cells: tuple[CellStatus, ...]
    reported: bool
    """Whether there is a report. Where ``cells`` are missing it is of those that were whole."""

    @property
    def parts(self) -> int:
        """All parts of all cells."""
        return sum(cell.parts for cell in self.cells)

    @property
    def missing(self) -> int:
        """Parts that are not stored."""
        return sum(len(cell.missing) for cell in self.cells)

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.parts - self.missing} of {self.parts} parts, {self._whole()} cells whole"]
        groups = dict.fromkeys(cell.name[:3] for cell in self.cells)
        for group in groups:
            cells = [cell for cell in self.cells if cell.name[:3] == group]
            whole = sum(not cell.missing for cell in cells)
            objective, architecture, kind = group
            lines.append(f"  {objective} {architecture}, {kind} noise: {whole} of {len(cells)} seeds whole")
            lacking = Counter(part for cell in cells for part in cell.missing)
            if lacking:
                lines.append("    missing: " + ", ".join(f"{part} × {seeds}" for part, seeds in lacking.items()))
        for cell in self.cells:
            lines += [f"  failed: {cell.name}, {failure}" for failure in cell.failures]
            if cell.checkpoint_age is not None:
                lines.append(f"  pre-training: {cell.name}, last checkpoint {cell.checkpoint_age:.0f} s ago")
        lines.append("  the report is there" if self.reported else "  no report yet")
        return "\n".join(lines)

    def _whole(self) -> str:
        return f"{sum(not cell.missing for cell in self.cells)} of {len(self.cells)}"


def status(path: str | Path, *, cache: str | Path | None = None) -> StudyStatus:
    """How far the study in a folder is, also while it is running.

    Args:
        path: the output folder.
        cache: its folder of finished parts, if not the one inside.

    Raises:
        OutputFolderError: the folder holds no study.

    Parts that another version of the library computed count as missing, as they would be computed anew.
    """
    folder = Path(path)
    held = read_claim(folder)
    if held is None:
        raise OutputFolderError(f"{str(folder)!r} holds no study: expected the folder that --out of a study named")
    config = StudyConfig.from_mapping(held)
    storage = Storage(Path(cache) if cache is not None else folder / CACHE_FOLDER)
    failures = _failures(folder)
    cells = tuple(_cell(config, name, storage, failures) for name in cell_names(config))
    return StudyStatus(folder, cells, (folder / RESULTS_FILE).exists())


def _cell(config: StudyConfig, name: CellName, storage: Storage, failures: list[dict[str, Any]]) -> CellStatus:
    cell = Cell(config, name, storage)
    missing = tuple(cell.missing())
    said = [f"{failed['part']}: {failed['message']}" for failed in failures if failed["cell"] == str(name)]
    age = _checkpoint_age(storage.folder / f"pretraining-{cell.pretraining_key}") if PRETRAINING in missing else None
    return CellStatus(name, 1 + len(list(cell.parts)), missing, tuple(said), age)


def _failures(folder: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / FAILURES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _checkpoint_age(folder: Path) -> float | None:
    written = [path.stat().st_mtime for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    return max(0.0, time.time() - max(written)) if written else None
