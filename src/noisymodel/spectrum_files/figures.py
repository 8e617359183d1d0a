"""The figures of an analysis, drawn by `noisymodel.plot`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import import_extra
from ..plot import angle_map, cumulative_energy, metric_against_rate, metrics_of_models, scree
from .measures import TITLES
from .naming import noise_rates
from .result import FilesAnalysis

NAMES = ("scree", "energy", "entropy", "largest-ratio", "angles")
_DOTS_PER_INCH = 200


class DrawnFigure(NamedTuple):
    """A figure as PNG and SVG, with its title and texts for the page."""

    name: str
    title: str
    caption: str
    alternative: str
    png: bytes
    svg: bytes


def check_drawable() -> None:
    """Raise `MissingExtraError` unless figures can be drawn, to fail before hours of reading."""
    import_extra("matplotlib", extra="plot", purpose="the figures of an analysis")


def draw(analysis: FilesAnalysis) -> list[DrawnFigure]:
    """Draw all figures for which the analysis has data."""
    files = {file.name: file for file in analysis.files}
    rates = noise_rates(list(files))
    spectra = {file.name: file.spectrum for file in analysis.files}
    labelled = spectra if rates is None else dict(zip(rates, spectra.values(), strict=True))
    names = ", ".join(files)
    drawn = [
        _drawn(
            "scree", "Singular values",
            "Relative singular values against their index, both logarithmic. Dotted: the Marchenko–Pastur edge of each "
            "spectrum, above which a value is larger than those of white noise of the same shape. A power law is a "
            "straight line.",
            f"Singular values over the largest against their index, on logarithmic axes, of {names}.",
            lambda: scree(labelled).figure,
        ),
        _drawn(
            "energy", "Cumulative energy",
            "The share of Σσ² in the first k directions (of the variance, where columns are centred).",
            f"Cumulative share of the squared singular values against the number of directions, of {names}.",
            lambda: cumulative_energy(labelled).figure,
        ),
    ]  # fmt: skip
    drawn += [_metric(analysis, metric, rates) for metric in ("entropy", "largest_ratio") if _worth(analysis, metric)]
    angles = {one.name: one.angles for one in analysis.comparisons if one.angles}
    if angles:
        most = max(map(len, angles.values()))
        padded = [[*found, *[float("nan")] * (most - len(found))] for found in angles.values()]
        drawn.append(_drawn(
            "angles", "Principal angles against the baseline",
            f"Between the subspaces of the largest singular values of each file and of "
            f"{analysis.comparisons[0].baseline}, ascending; the last is the rotation of the subspace. 0: the same "
            "direction, 90: an orthogonal one.",
            f"Heat map of principal angles in degrees of {', '.join(angles)}.",
            lambda: angle_map(
                padded, rows=_labels(list(angles)), row_title=f"against {analysis.comparisons[0].baseline}"
            ).figure,
        ))  # fmt: skip
    return drawn


def _labels(names: list[str]) -> list[str] | list[float]:
    return noise_rates(names) or names


def _worth(analysis: FilesAnalysis, metric: str) -> bool:
    return len(analysis.files) > 1 and metric in analysis.files[0].metrics


def _metric(analysis: FilesAnalysis, metric: str, rates: list[float] | None) -> DrawnFigure:
    """Draw a metric of all files, against the noise rate if their names are rates."""
    points = {file.name: file.intervals.get(metric, file.metrics[metric]) for file in analysis.files}
    title, caption = TITLES[metric], "Bars, where there are any: 95 % intervals over rows."
    name = metric.replace("_", "-")
    if rates is None:
        alternative = f"{title} of {', '.join(points)}."
        return _drawn(name, title, caption, alternative, lambda: metrics_of_models({metric: points}))
    curve = dict(zip(rates, points.values(), strict=True))
    return _drawn(
        name,
        f"{title} against the noise rate",
        f"The names of the files are noise rates. {caption}",
        f"{title} against the noise rate in pre-training.",
        lambda: metric_against_rate(curve, label=title).figure,
    )


def _drawn(name: str, title: str, caption: str, alternative: str, make: Callable[[], Any]) -> DrawnFigure:
    """Draw a figure once and write it in both formats; equal analyses give equal bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "noisymodel"}):
        figure = make()
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        figure.set_layout_engine("none")  # the layout is done
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return DrawnFigure(name, title, caption, alternative, png.getvalue(), svg.getvalue())
