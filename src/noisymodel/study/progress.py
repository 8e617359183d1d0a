"""The progress of a study: stored cells and parts, failures, and networks in pre-training."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputFolderError
from ..files.reading import parse_json
from .config import StudyConfig
from .output_folder import CACHE_FOLDER, FAILURES_FILE, RESULTS_FILE, read_claim
from .part_cache import PartCache
from .plan import NETWORKS, CellName, Plan, plan


@dataclass(frozen=True)
class CellStatus:
    """The progress of one cell."""

    name: CellName
    parts: int
    """The number of its parts: the networks, their features on each task, and each method by task and shots."""
    missing: tuple[str, ...]
    """The number of parts that are not stored."""
    failures: tuple[str, ...]
    """The failures of the last attempt, as ``"part: message"``."""
    checkpoint_age: float | None
    """Seconds since the last checkpoint of an unfinished pre-training, or ``None``."""


@dataclass(frozen=True)
class StudyStatus:
    """The progress of a study."""

    path: Path
    cells: tuple[CellStatus, ...]
    reported: bool
    """Whether there is a report. If cells are missing, the report covers the complete ones."""

    @property
    def parts(self) -> int:
        """All parts of all cells."""
        return sum(cell.parts for cell in self.cells)

    @property
    def missing(self) -> int:
        """Parts that are not stored."""
        return sum(len(cell.missing) for cell in self.cells)

    def __str__(self) -> str:
        whole = sum(not cell.missing for cell in self.cells)
        done = f"{self.parts - self.missing} of {self.parts} parts, {whole} of {len(self.cells)} cells whole"
        lines = [f"{self.path}: {done}"]
        for objective, architecture, kind in dict.fromkeys(cell.name[:3] for cell in self.cells):
            cells = [cell for cell in self.cells if cell.name[:3] == (objective, architecture, kind)]
            whole = sum(not cell.missing for cell in cells)
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


def status(path: str | Path, *, cache: str | Path | None = None) -> StudyStatus:
    """The progress of the study in a folder, also while it is running.

    Args:
        path: the output folder.
        cache: its folder of finished parts, if it is not the one inside ``path``.

    Raises:
        OutputFolderError: the folder holds no study.

    Parts that are unreadable, or were computed by other versions of a stage or of its packages, count as missing: they
    would be computed again.
    """
    folder = Path(path)
    held = read_claim(folder)
    if held is None:
        raise OutputFolderError(f"{str(folder)!r} holds no study: expected the folder that --out of a study named")
    planned = plan(StudyConfig.from_mapping(held))
    parts = PartCache(cache or folder / CACHE_FOLDER)
    failures = _failures(folder)
    cells = tuple(_cell(planned, name, parts, failures) for name in planned.cells)
    return StudyStatus(folder, cells, (folder / RESULTS_FILE).exists())


def _cell(planned: Plan, name: CellName, cache: PartCache, failures: list[dict[str, str]]) -> CellStatus:
    missing = planned.missing(name, cache)
    said = [f"{failed['part']}: {failed['message']}" for failed in failures if failed["cell"] == str(name)]
    age = _checkpoint_age(cache.checkpoints(planned.pretraining(name))) if NETWORKS in missing else None
    return CellStatus(name, len(planned.parts), tuple(map(planned.spoken, missing)), tuple(said), age)


def _failures(folder: Path) -> list[dict[str, str]]:
    """The failures of the last attempt; none if their file is unreadable."""
    try:
        held: Any = parse_json((folder / FAILURES_FILE).read_text(encoding="utf-8"))
        return [{key: str(one[key]) for key in ("cell", "part", "message")} for one in held]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _checkpoint_age(folder: Path) -> float | None:
    written = [path.stat().st_mtime for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    return max(0.0, time.time() - max(written)) if written else None
