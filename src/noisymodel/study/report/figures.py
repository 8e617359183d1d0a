"""The figures of a study: which there are, what they show in words, and their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..record import FEATURES
from .accuracy_figures import draw_accuracy, draw_differences, draw_shifts
from .figure_style import encode
from .results import Results
from .sample_figures import draw_samples, sample_groups
from .spectrum_figures import (
    METRICS,
    draw_spectra,
    draw_spectrum_against_accuracy,
    draw_tuned_spectrum,
    mean_spectra,
    reshaping_methods,
)
from .wording import capitalized, listed, rate_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StudyFigure:
    """A figure with its words; `draw` makes it, wide or narrow (for a phone)."""

    name: str
    title: str
    caption: str
    alternative: str
    """What it shows, for those who do not see it."""
    function: Callable[[Results, bool], Figure]
    results: Results

    def draw(self, narrow: bool = False) -> Figure:
        """The figure; call it inside `look` for the study's style."""
        return self.function(self.results, narrow)

    def encode(self, *formats: str, narrow: bool = False) -> list[bytes]:
        """The bytes of its file in each format, ``"png"`` or ``"svg"``."""
        return encode(self.draw, formats, narrow=narrow)


def study_figures(results: Results) -> list[StudyFigure]:
    """The figures that the study has numbers for, in the order of the page."""
    made = [make(results) for make in (_accuracy, _spectra, _against, _differences, _shifts, _samples, _tuned)]
    return [figure for figure in made if figure is not None]


def _bars(results: Results) -> str:
    if results.seeds < 2:
        return "One seed, therefore no intervals."
    return f"Bars are 95 % intervals over {results.seeds} seeds."


def _accuracy(results: Results) -> StudyFigure:
    labels = listed(note.label for note in results.methods)
    return StudyFigure(
        "accuracy",
        "Accuracy against label noise in pre-training",
        f"In-domain and under shift (mean of {len(results.shifts)} reported shifts), a line for each method; "
        f"controls are dashed. {_bars(results)} Points of one rate are set side by side to be told apart.",
        f"Line charts of accuracy against noise rates {_rates(results)}, in-domain and under shift, for {labels}. "
        "The numbers are in the accuracy tables.",
        draw_accuracy,
        results,
    )


def _spectra(results: Results) -> StudyFigure | None:
    if not mean_spectra(results):
        return None
    return StudyFigure(
        "spectra",
        "Singular values of the frozen features",
        "Each spectrum is divided by its largest singular value, then averaged over seeds (and shifts); logarithmic "
        "scale. A flatter curve means more directions in use, hence a higher singular-value entropy (SVE).",
        f"Line charts of normalised singular values by index, one line for each noise rate {_rates(results)}.",
        draw_spectra,
        results,
    )


def _against(results: Results) -> StudyFigure | None:
    if not any(results.find(FEATURES, rate, metric=metric) for rate in results.rates for metric in METRICS):
        return None
    method = results.label(results.reference_method)
    return StudyFigure(
        "spectrum-accuracy",
        "SVE and LSVR against accuracy",
        f"Each point is one pre-trained network (one seed at one noise rate); accuracy of {method}. "
        "Points of different rates that part along an axis show association, not cause.",
        f"Four scatter plots: SVE and LSVR of the frozen features against accuracy of {method}, in-domain and under "
        "shift, points coloured by noise rate.",
        draw_spectrum_against_accuracy,
        results,
    )


def _differences(results: Results) -> StudyFigure | None:
    if not results.pairs or not results.noisy_rates:
        return None
    return StudyFigure(
        "differences",
        f"{results.compared} baselines",
        "Paired differences, averaged over the noisy rates for each seed first. "
        + (
            "Filled: the 95 % interval excludes zero. Hollow: not significant." if results.seeds > 1 else _bars(results)
        ),
        "Forest plot of paired differences of accuracy between each method and each of its baselines, in-domain "
        "and under shift. The numbers are in the table of differences.",
        draw_differences,
        results,
    )


def _shifts(results: Results) -> StudyFigure | None:
    changes = [results.change(results.reference_method, rate, split="ood") for rate in results.noisy_rates]
    if not any(changes):
        return None
    method = results.label(results.reference_method)
    return StudyFigure(
        "shifts",
        "Which shifts suffer",
        f"{capitalized(method)}: change of accuracy against clean pre-training under each reported shift, in points. "
        f"{'In brackets: not significant.' if results.seeds > 1 else _bars(results)}",
        f"Heat map of the change of accuracy of {method} by shift ({listed(results.shifts)}) and noise rate. "
        "The numbers are in the table of shifts.",
        draw_shifts,
        results,
    )


def _samples(results: Results) -> StudyFigure | None:
    groups = sample_groups(results)
    if not groups:
        return None
    return StudyFigure(
        "samples",
        "Samples and shifts",
        "The same objects, clean and under each shift. Shifts that chose hyper-parameters are never reported on.",
        "Strips of small grey pictures: " + "; ".join(f"{heading}: {', '.join(names)}" for heading, names in groups),
        draw_samples,
        results,
    )


def _tuned(results: Results) -> StudyFigure | None:
    methods = reshaping_methods(results)
    if not methods:
        return None
    return StudyFigure(
        "tuned-spectrum",
        "SVE and LSVR before and after tuning",
        f"Of the in-domain test features: frozen, and as reshaped by each method. {_bars(results)}",
        "Two line charts of SVE and LSVR against noise rate, before tuning and after "
        f"{listed(results.label(method) for method in methods)}.",
        draw_tuned_spectrum,
        results,
    )


def _rates(results: Results) -> str:
    return listed(rate_text(rate) for rate in results.rates)
