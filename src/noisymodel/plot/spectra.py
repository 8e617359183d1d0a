"""Pictures of singular values: how they fall, how much of the energy the first ones hold, and what tuning does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_flag, check_number, check_text
from ..spectrum import Spectrum
from .drawing import GREY, axes_or_new, index_axis, legend, line_style, named, new_figure, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Spectra: TypeAlias = Spectrum | Mapping[str, Spectrum] | Mapping[float, Spectrum]

EDGE = "Marchenko–Pastur edge"
DOTTED = (0, (1, 2))


def scree(
    spectra: Spectra,
    *,
    relative: bool = True,
    edge: bool = True,
    noise_variance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Singular values against their index, both logarithmic, with the Marchenko–Pastur edge of each spectrum.

    Values above the edge are larger than those of white noise of the same shape; a power law is a straight line. Values
    that are zero, to the rounding of float64 (those of rows without their mean, for instance), are left out.

    Args:
        spectra: one, or several by name; a number as a name is a noise rate.
        relative: σ_i/σ₁, without unit. Otherwise σ_i/√N, the root mean square along the i-th direction, in the units
            of the features, which compares spectra of different numbers of rows.
        edge: draw the edge, dotted, in the colour of its spectrum and with its marker at the right end; none where it
            is 0 (half the values are zero).
        noise_variance: of the noise, in squared units of the features; None estimates it from the median.
        ax: where to draw; None: on a new figure.

    Raises:
        TypeError, ValueError: anything else than spectra, and none.
        MissingExtraError: matplotlib is not installed.

    >>> import numpy as np, pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> from noisymodel.spectrum import analyze
    >>> features = np.random.default_rng(0).normal(size=(100, 10)) + 1.0
    >>> scree({"clean": analyze(features), "noisy": analyze(features[:50])}).get_ylabel()
    'singular value σᵢ / σ₁'
    """
    check_flag(relative, "relative")
    check_flag(edge, "edge")
    axes = axes_or_new(ax)
    drawn = False
    for place, (label, spectrum) in enumerate(named(spectra, Spectrum, "spectra").items()):
        values = _values(spectrum)
        unit = (values[0] or 1.0) if relative else np.sqrt(spectrum.num_samples)
        rounding = values[0] * len(values) * np.finfo(np.float64).eps
        _line(axes, place, np.where(values > rounding, values / unit, np.nan), label)
        height = spectrum.marchenko_pastur_edge(noise_variance) / unit if edge else 0.0
        if height > 0:
            (line,) = axes.plot([0, 1], [height, height], transform=axes.get_yaxis_transform(), **line_style(place))
            line.set(linestyle=DOTTED, linewidth=1.2, markevery=[1], clip_on=False)
            drawn = True
    index_axis(axes, "index i")
    axes.set_yscale("log")
    axes.set_ylabel("singular value σᵢ / σ₁" if relative else "σᵢ / √N (units of the features)")
    quiet(axes)
    if drawn:
        axes.plot([], [], color=GREY, linestyle=DOTTED, linewidth=1.2, label=EDGE)
    legend(axes)
    return axes


def cumulative_energy(spectra: Spectra, *, level: float = 0.9, ax: Axes | None = None) -> Axes:
    """The share of Σσ² in the k largest singular values against k, and how many hold ``level`` of it.

    For centred columns the energy is the variance. Uncentred, the first direction is often little more than the mean.

    Args:
        spectra: one, or several by name; a number as a name is a noise rate.
        level: in (0, 1]; a dotted line, and the smallest k that reaches it in each name.
        ax: where to draw; None: on a new figure.

    Raises:
        TypeError, ValueError: anything else than spectra, and none; a level out of range.
        MissingExtraError: matplotlib is not installed.

    >>> import numpy as np, pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> from noisymodel.spectrum import analyze
    >>> axes = cumulative_energy(analyze(np.diag([3.0, 2.0, 1.0])), level=0.9)
    >>> axes.get_legend().get_texts()[0].get_text()
    '90 % in 2 of 3'
    """
    check_number(level, "level", minimum=0.0, maximum=1.0, exclusive_minimum=True)
    axes = axes_or_new(ax)
    for place, (label, spectrum) in enumerate(named(spectra, Spectrum, "spectra").items()):
        values = _values(spectrum)
        energy = np.cumsum((values / (values[0] or 1.0)) ** 2)
        share = energy / energy[-1] if energy[-1] else np.full_like(energy, np.nan)
        enough = int(np.searchsorted(share, level * (1 - 1e-12))) + 1
        text = f"{100 * level:.4g} % in {enough} of {len(values)}"
        _line(axes, place, 100 * share, f"{label}: {text}" if label else text)
    axes.axhline(100 * level, color=GREY, linestyle=DOTTED, linewidth=1.2)
    index_axis(axes, "number of directions k")
    axes.set_ylabel("share of Σσ² in the first k (%)")
    axes.set_ylim(top=102)
    quiet(axes)
    legend(axes)
    return axes


def before_after(
    before: Spectra,
    after: Spectra,
    *,
    titles: tuple[str, str] = ("Before NMTune", "After NMTune"),
    relative: bool = True,
    edge: bool = False,
) -> Figure:
    """The spectra of features before tuning and after it, side by side on the same axes, with SVE and LSVR of each.

    Args:
        before: of the frozen features: one, or several by name; a number as a name is a noise rate.
        after: of the tuned features of the same samples.
        titles: over the two panels.
        relative: as in `scree`.
        edge: as in `scree`.

    Returns:
        A new figure with two axes.

    Raises:
        TypeError, ValueError: anything else than spectra, and none.
        MissingExtraError: matplotlib is not installed.

    >>> import numpy as np, pytest
    >>> _ = pytest.importorskip("matplotlib")
    >>> from noisymodel.spectrum import analyze
    >>> figure = before_after(analyze(np.diag([3.0, 2.0, 1.0])), analyze(np.eye(3)))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Before NMTune', 'After NMTune']
    """
    if not isinstance(titles, tuple | list) or len(titles) != 2:  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`titles` must be two texts, got {titles!r}")
    titles = check_text(titles[0], "titles"), check_text(titles[1], "titles")
    figure = new_figure(8.6, 3.8)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, spectra, title, name in zip(panels, (before, after), titles, ("before", "after"), strict=True):
        measured = {
            f"{label + ': ' if label else ''}SVE {spectrum.entropy:.2f}, LSVR {spectrum.largest_ratio:.2f}": spectrum
            for label, spectrum in named(spectra, Spectrum, name).items()
        }
        scree(measured, relative=relative, edge=edge, ax=axes)
        axes.set_title(title, loc="left", fontweight="bold")
    panels[1].set_ylabel("")
    return figure


def _values(spectrum: Spectrum) -> npt.NDArray[np.float64]:
    values = spectrum.singular_values
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else values


def _line(axes: Axes, place: int, heights: npt.NDArray[np.float64], label: str) -> None:
    """Heights against 1, 2, 3, …, with about ten marks evenly spaced on a logarithmic axis."""
    count = len(heights)
    marks = sorted({int(mark) for mark in np.geomspace(1, count, 10).round() - 1})
    axes.plot(np.arange(1, count + 1), heights, label=label, markevery=marks, **line_style(place))
