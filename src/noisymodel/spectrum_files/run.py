"""The analysis of files: their spectra, and their differences from a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from .._checks import check_choice, check_flag, check_integer, check_path, check_seed, check_sequence
from ..spectrum import MetricInterval, jackknife_intervals
from ..spectrum.accumulator import METHODS, Method
from ..spectrum.analysis import Center, check_operations
from ..subspace import SubspaceAccumulator
from .comparing import compared
from .measures import DEFAULT, measures
from .naming import baseline_of, sources_of
from .passes import read
from .planning import Opened, Plan, noted
from .result import Comparison, FilesAnalysis, FileSpectrum

HALF = ("float16", "bfloat16")


def analyze_files(
    files: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    keys: str | Sequence[str] = (),
    center: Center = "none",
    normalize: bool = False,
    preset: Literal["official"] | None = None,
    method: Method = "tsqr",
    metrics: Sequence[str] = DEFAULT,
    baseline: str | Path | None = None,
    top_k: int | None = None,
    intervals: int = 0,
    first_row: int = 0,
    last_row: int | None = None,
    dtype: str | None = None,
    num_features: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> FilesAnalysis:
    """Compute the spectra of features in files, and compare them with a baseline; files may be larger than memory.

    Rows are read in blocks and added to a `SpectrumAccumulator`. Memory holds one block, and O(D²) numbers for each
    spectrum in progress (``intervals`` times as many with intervals, and twice for the baseline). Each file is read
    once, the baseline once for each compared file.

    Args:
        files: paths for `open_file`, or a dictionary name -> path. By default a file's name comes from its path.
        keys: the arrays of ``.npz``, safetensors and Parquet files; with several keys each file has several columns.
        center: as in `analyze`.
        normalize: as in `analyze`.
        preset: as in `analyze`.
        method: as in `SpectrumAccumulator`.
        metrics: properties and methods of `Spectrum`, ``"eigenvalue_entropy"``, ``"nesum"`` (only with centred
            columns); the aliases ``"sve"`` and ``"lsvr"`` are allowed.
        baseline: one of the files, by its name or path, or another path. The others are compared with it by the
            differences of the metrics, by the principal angles between their top-k right-singular subspaces (if they
            have the same number of features), and by linear CKA (if they have the same number of rows, which must be
            the same samples in the same order). Subspaces are those of the centred rows; CKA always centres the
            columns.
        top_k: k of the subspaces; None: 5, or the rank if it is smaller.
        intervals: number of blocks of a jackknife, for example 20; 0: no intervals. Rows are assigned to the blocks at
            random, the same samples to the same blocks in all files.
        first_row: the first row to analyse in each file, from 0.
        last_row: the row before which to stop; None, or beyond the end: all rows.
        dtype: the dtype of files without a header (``.bin``).
        num_features: D of files without a header.
        seed: the seed of the assignment to blocks.
        progress: whether to show progress on stderr, after the first second.

    Returns:
        :class:`FilesAnalysis`; warnings are in its ``notes``.

    Raises:
        InputFileError: a file is missing, damaged, empty, not floating point of shape (N, D), or holds NaN or infinity;
            the message names the file and the row.
        ValueError, TypeError: invalid arguments.
        MissingExtraError: a file is a Parquet file, and pyarrow is not installed.

    >>> import tempfile, numpy as np
    >>> from noisymodel.spectrum_files import analyze_files
    >>> folder, features = tempfile.mkdtemp(), np.random.default_rng(0).normal(size=(200, 8))
    >>> np.savez(f"{folder}/features.npz", clean=features, noisy=features @ np.diag(np.linspace(1, 2, 8)))
    >>> found = analyze_files(f"{folder}/features.npz", keys=["clean", "noisy"], baseline="clean")
    >>> found["clean"].spectrum.num_samples, round(found.comparisons[0].differences["entropy"], 3)
    (200, -0.03)
    """
    for name, given_list in (("metrics", metrics), ("keys", keys), ("files", files)):
        _check_names(given_list, name)
    if baseline is not None:
        check_path(baseline, "baseline")
    given: dict[str, Any] = {"center": center, "normalize": normalize, "preset": preset, "method": method}
    center, normalize = check_operations(center, normalize, preset)
    num_parts = check_integer(intervals, "intervals", minimum=0)
    if num_parts == 1:
        raise ValueError("`intervals` must be 0, or a number of blocks of at least 2, got 1")
    plan = Plan(
        settings={"method": method, "center_rows": center == "row", "normalize": normalize},
        center="column" if center == "column" else "none",
        measures=measures([metrics] if isinstance(metrics, str) else metrics, centered=center == "column"),
        top_k=None if top_k is None else check_integer(top_k, "top_k", minimum=1),
        num_parts=max(1, num_parts),
        first=check_integer(first_row, "first_row", minimum=0),
        last=None if last_row is None else check_integer(last_row, "last_row", minimum=1),
        seed=check_seed(seed),
        progress=check_flag(progress, "progress"),
    )
    check_choice(method, "method", METHODS)
    sources = sources_of(files, [keys] if isinstance(keys, str) else keys)
    against = baseline_of(sources, baseline)
    if against is not None:
        sources = [against, *(source for source in sources if source != against)]
    notes: list[str] = []
    opened = [Opened.of(source, plan, dtype, num_features) for source in sources]
    found, comparisons = _analyze(opened, plan, against is not None, notes)
    given |= {"metrics": list(plan.measures), "baseline": against.name if against else None, "top_k": top_k}
    given |= {"intervals": intervals, "first_row": first_row, "last_row": last_row, "seed": seed}
    return FilesAnalysis(tuple(found), tuple(comparisons), given, tuple(notes))


def _analyze(
    opened: Sequence[Opened], plan: Plan, against: bool, notes: list[str]
) -> tuple[list[FileSpectrum], list[Comparison]]:
    """The spectra of all files, and the comparisons with the first of them if it is the baseline."""
    found: dict[str, FileSpectrum] = {}
    comparisons: list[Comparison] = []
    base = opened[0] if against and len(opened) > 1 else None
    for one in opened:
        if one is base:
            continue  # it is read with each of the others
        products = _read(one, base, plan)
        for each in (base, one):
            if each is not None and each.name not in found:
                found[each.name] = _measured(each, plan, notes)
        if base is not None:
            comparisons.append(compared(one, base, products, plan, found, notes))
        one.free()
    if against and base is None:
        notes.append(f"{opened[0].name} is the baseline and the only file: there is nothing to compare")
    return list(found.values()), comparisons


def _read(one: Opened, base: Opened | None, plan: Plan) -> SubspaceAccumulator | None:
    """Read a file, in parallel with the baseline if they have the same rows; read the baseline if necessary."""
    if base is not None and base.count == one.count and one.count > 1:
        products = SubspaceAccumulator(one.file.num_features, base.file.num_features)
        read([one, base], plan, products)
        return products
    for each in (one, base):
        if each is not None and each.parts is not None:
            read([each], plan)
    return None


def _measured(one: Opened, plan: Plan, notes: list[str]) -> FileSpectrum:
    """The spectrum and the metrics of a file that has been read."""
    assert one.total is not None  # noqa: S101 - for the type checker: it was read
    with noted(notes):
        spectrum = one.total.spectrum(center=plan.center)
    spectrum = replace(spectrum, singular_values=np.asarray(spectrum.singular_values))
    name, file = one.name, one.file
    if file.dtype in HALF:
        notes.append(
            f"{name} is stored in {file.dtype}: the rounding of its features is part of the spectrum, most of its "
            "small values, and of numerical rank and condition number"
        )
    held: dict[str, MetricInterval] = {}
    if plan.num_parts > 1 and len(one.blocks) > 1:
        with noted([]):  # ignores the same warnings, repeated for each block
            held = jackknife_intervals(one.blocks, plan.measures, center=plan.center)
    elif plan.num_parts > 1:
        notes.append(f"{name} has one row: there are no intervals")
    return FileSpectrum(
        name=name,
        path=str(one.source.path),
        key=file.key,
        dtype=file.dtype,
        rows=one.span,
        spectrum=spectrum,
        metrics={title: measure(spectrum) for title, measure in plan.measures.items()},
        intervals=held,
    )


def _check_names(names: object, argument: str) -> None:
    """Check that ``names`` is a name or path, a list of them, or a mapping to paths."""
    if isinstance(names, str | Path):
        return
    listed: Any = names
    if isinstance(names, Mapping):
        listed = list(cast("Mapping[object, object]", names).values())
    check_sequence(listed, argument, "names or paths")
    odd = [one for one in listed if not isinstance(one, str | Path)]
    if odd or hasattr(listed, "dtype"):
        raise TypeError(
            f"`{argument}` must be a list of names or paths, got {type(odd[0] if odd else listed).__name__}"
        )
