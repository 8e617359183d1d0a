"""The finding of an analysis in one sentence."""

from __future__ import annotations

import math

from .result import Comparison, FilesAnalysis, FileSpectrum

_READING = "Label noise in pre-training flattens spectra; whether accuracy suffers, only labels of shifted data tell."


def finding(analysis: FilesAnalysis) -> str:
    """Say which files have a flatter spectrum than the baseline; for one file, how many directions its features use.

    A flatter spectrum has a higher singular-value entropy (SVE). With intervals, only differences whose interval
    excludes zero count.
    """
    baseline = analysis.files[0]
    if not all(math.isfinite(file.spectrum.entropy) for file in analysis.files):
        return "A file holds only zeros, so that the spectra cannot be compared."
    if not analysis.comparisons:
        if len(analysis.files) == 1:
            of = min(baseline.spectrum.num_samples, baseline.spectrum.num_features)
            return (
                f"The features of {baseline.name} use {baseline.spectrum.effective_rank:.3g} of {of:,} directions "
                "(effective rank)."
            )
        told = [(file.spectrum.entropy, file.name) for file in analysis.files]
        (low, lowest), (high, highest) = min(told), max(told)
        return f"SVE lies between {low:.3g} ({lowest}) and {high:.3g} ({highest}); no file is the baseline. {_READING}"
    kinds: dict[str, list[str]] = {"flatter": [], "more concentrated": [], "not distinguishable": []}
    for one in analysis.comparisons:
        kinds[_kind(analysis[one.name], baseline, one)].append(_named(analysis[one.name]))
    told = [f"{_listed(names)} {_verb(names)} {kind}" for kind, names in kinds.items() if names]
    return f"Compared with {_named(baseline)}, {'; '.join(told)}. {_READING}"


def _kind(file: FileSpectrum, baseline: FileSpectrum, comparison: Comparison) -> str:
    """Classify a file by its SVE; if the interval of the difference includes zero, it is undecided."""
    interval = comparison.intervals.get("entropy")
    if interval is not None and interval.low <= 0 <= interval.high:
        return "not distinguishable"
    difference = file.spectrum.entropy - baseline.spectrum.entropy
    if abs(difference) < 1e-9 * max(1.0, abs(baseline.spectrum.entropy)):
        return "not distinguishable"
    return "flatter" if difference > 0 else "more concentrated"


def _named(file: FileSpectrum) -> str:
    return f"{file.name} (effective rank {file.spectrum.effective_rank:.3g})"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
