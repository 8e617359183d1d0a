"""The output files of an analysis: numbers as JSON, singular values, figures and a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..errors import OutputFolderError
from ..files import check_writable, write_file
from ..files.reading import is_folder, is_there
from .figures import NAMES, check_drawable, draw
from .page import render_page
from .result import FilesAnalysis

RESULTS, SPECTRA, PAGE = "results.json", "spectra.safetensors", "report.html"


def check_folder(out: str | Path, *, force: bool = False, inputs: tuple[str, ...] = ()) -> None:
    """Raise `OutputFolderError` if results must not be written into a folder, to fail before the reading.

    Args:
        out: the folder.
        force: whether existing results may be replaced.
        inputs: the input files; their folder may be ``out``, but a feature store may not.
    """
    folder = Path(out).absolute()
    if is_there(folder) and not is_folder(folder):
        raise OutputFolderError(f"{folder} is a file: name a folder for the results")
    if any(is_folder(path) and Path(path).resolve() == folder.resolve() for path in inputs):
        raise OutputFolderError(f"{folder} is one of the inputs: name another folder for the results")
    if is_there(folder / RESULTS) and not force:
        raise OutputFolderError(f"{folder / RESULTS} exists: name another --out, or replace it with --force")
    check_writable(folder)


def write_report(
    analysis: FilesAnalysis, out: str | Path, *, figures: bool = True, force: bool = False, command: str | None = None
) -> list[Path]:
    """Write ``figures/*.png`` and ``*.svg``, ``report.html``, ``spectra.safetensors``, ``results.json``.

    The files are written in this order; each appears under its name when it is complete. The page is one file that
    loads nothing from elsewhere.

    Args:
        analysis: the result of `analyze_files`.
        out: the folder; it is created if it does not exist.
        figures: whether to draw; without figures matplotlib is not needed.
        force: whether to replace an earlier report.
        command: the command that the page names as its source.

    Returns:
        The paths.

    Raises:
        OutputFolderError: the folder has results already, or is a file.
        MissingExtraError: matplotlib (for figures) is not installed.
    """
    folder = Path(out).absolute()
    check_folder(folder, force=force)
    if figures:
        check_drawable()
    drawn = draw(analysis) if figures else []
    files: dict[str, bytes] = {}
    for figure in drawn:
        files[f"figures/{figure.name}.png"] = figure.png
        files[f"figures/{figure.name}.svg"] = figure.svg
    files[PAGE] = render_page(analysis, drawn, command).encode()
    values = {file.name: np.ascontiguousarray(file.spectrum.singular_values) for file in analysis.files}
    files[SPECTRA] = save(values, metadata={"content": "singular values, descending"})
    text = json.dumps(analysis.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    files[RESULTS] = f"{text}\n".encode()
    (folder / RESULTS).unlink(missing_ok=True)  # outdated from here on
    for name in NAMES:
        for ending in ("png", "svg"):
            if f"figures/{name}.{ending}" not in files:
                (folder / "figures" / f"{name}.{ending}").unlink(missing_ok=True)
    for name, content in files.items():
        write_file(folder / name, content)
    return [folder / name for name in files]
