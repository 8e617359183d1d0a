"""The figures of an analysis, through `noisymodel.plot`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import MissingExtraError
from ..plot import angle_map, cumulative_energy, metric_against_rate, metrics_of_models, scree
from .measures import TITLES
from .naming import noise_rates
from .result import FilesAnalysis

NAMES = ("scree", "energy", "metrics", "angles", "entropy-rates", "largest-ratio-rates")
_DOTS_PER_INCH = 200


class DrawnFigure(NamedTuple):
    """A figure as PNG and SVG, with what a page says of it."""

    name: str
    title: str
    caption: str
    alternative: str
    png: bytes
    svg: bytes


def check_drawable() -> None:
    """Raise `MissingExtraError` unless figures can be drawn: better before hours of reading than after."""
    try:
        import matplotlib  # noqa: F401 # pyright: ignore[reportUnusedImport] - that it can be imported is the point
    except ImportError:
        raise MissingExtraError("matplotlib", extra="plot", purpose="the figures of an analysis") from None


def draw(analysis: FilesAnalysis) -> list[DrawnFigure]:
    """All figures that there is something to show in."""
    files = {file.name: file for file in analysis.files}
    rates = noise_rates(list(files))
    spectra = {file.name: file.spectrum for file in analysis.files if file.metrics}
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
    shown = [name for name in ("entropy", "largest_ratio") if name in analysis.files[0].metrics]
    points = {
        metric: {file.name: file.intervals.get(metric, file.metrics[metric]) for file in analysis.files}
        for metric in shown
    }
    if rates is not None and len(rates) > 1:
        for metric in shown:
            curve = {float(name): point for name, point in points[metric].items()}
            drawn.append(_drawn(
                f"{metric.replace('_', '-')}-rates", f"{TITLES[metric]} against the noise rate",
                "The names of the files are noise rates. Bars, where there are any: 95 % intervals over rows.",
                f"{TITLES[metric]} against the noise rate in pre-training.",
                lambda metric=metric, curve=curve: metric_against_rate(curve, label=TITLES[metric]).figure,
            ))  # fmt: skip
    elif shown and len(files) > 1:
        drawn.append(_drawn(
            "metrics", "SVE and LSVR side by side", "Bars, where there are any: 95 % intervals over rows.",
            f"{' and '.join(TITLES[metric] for metric in shown)} of {names}.",
            lambda: metrics_of_models(points),
        ))  # fmt: skip
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
                padded, rows=list(angles), row_title=f"against {analysis.comparisons[0].baseline}"
            ).figure,
        ))  # fmt: skip
    return drawn


def _drawn(name: str, title: str, caption: str, alternative: str, make: Callable[[], Any]) -> DrawnFigure:
    """Draw a figure once and write it twice; equal analyses give equal bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "noisymodel"}):
        figure = make()
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return DrawnFigure(name, title, caption, alternative, png.getvalue(), svg.getvalue())
