"""The figures of a study, with their texts and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..analysis.bootstrap import FEWEST_SEEDS
from ..rows import FEATURES
from .accuracy_figures import draw_accuracy, draw_differences, draw_shifts
from .analysis_figures import curve_methods, draw_ablation, draw_correlations, draw_curves, draw_drift
from .analysis_tables import DRIFT_METRICS, MEASURE_LABELS
from .figure_style import encode
from .group_figures import draw_groups, draw_shots
from .groups import Named, by_shots, shots_text
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
    """A figure with its texts; `draw` draws it, wide or narrow (for a phone)."""

    name: str
    title: str
    caption: str
    alternative: str
    """The alternative text for readers who cannot see the figure."""
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
    makers = (_accuracy, _spectra, _against, _differences, _shifts, _samples, _tuned)
    further = (_drift, _correlations, _ablation, _curves)
    made = [make(results) for make in (*makers, *further)]
    return [figure for figure in made if figure is not None]


def group_figures(groups: Sequence[Named]) -> list[StudyFigure]:
    """The figures over several groups; none for a single group."""
    if len(groups) < 2:
        return []
    figures = [_groups(groups)] if any(group.results.noisy_rates for group in groups) else []
    families = by_shots(groups)
    for place, family in enumerate(families):
        figures.append(_shots(family, f"shots-{place + 1}" if len(families) > 1 else "shots"))
    return figures


def _bars(results: Results) -> str:
    if results.seeds < 2:
        return "One seed, therefore no intervals."
    return f"Bars are 95 % intervals over {results.seeds} seeds."


def _accuracy(results: Results) -> StudyFigure:
    labels = listed(note.label for note in results.methods)
    return StudyFigure(
        "accuracy",
        f"Accuracy against {results.noise} in pre-training",
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


# ---- the analysis ----------------------------------------------------------------------------------------------------


def _drift(results: Results) -> StudyFigure | None:
    rows = [results.find(FEATURES, results.rates[-1], metric=metric) for metric, *_ in DRIFT_METRICS]
    if not any(rows) or not results.noisy_rates:
        return None
    return StudyFigure(
        "drift",
        "How far noise turns the features",
        "The largest principal angle between the dominant subspaces of the frozen features (as many directions as the "
        "downstream task has classes, less one), and linear CKA, both of each network against the clean one of the "
        f"same seed on the same test set. {_bars(results)} Networks that differ in their seed alone would differ, too.",
        f"Line charts of subspace rotation and linear CKA against noise rates {_rates(results)}, in-domain and under "
        "shift. The numbers are in the table of drift.",
        draw_drift,
        results,
    )


def _correlations(results: Results) -> StudyFigure | None:
    method = results.reference_method
    if not any(found.method == method and found.kind == "pearson" for found in results.correlations):
        return None
    return StudyFigure(
        "correlations",
        "Do spectra go with accuracy?",
        f"Pearson's correlation of measures of the in-domain features with accuracy of {results.label(method)}. Across "
        "noise rates everything that noise moves correlates; among networks of the same noise rate it would have to be "
        f"the spectrum itself. {_bootstrap(results)}",
        f"Forest plot of correlations of {listed(MEASURE_LABELS.values())} with accuracy of {results.label(method)}, "
        "in-domain and under shift, with two adjustments. The numbers are in the tables of correlations.",
        draw_correlations,
        results,
    )


def _bootstrap(results: Results) -> str:
    if results.seeds < FEWEST_SEEDS:
        return f"Fewer than {FEWEST_SEEDS} seeds, therefore no intervals."
    few = " With so few seeds they are too narrow." if results.seeds < 6 else ""
    return f"Bars are 95 % intervals of a bootstrap over {results.seeds} seeds.{few}"


def _ablation(results: Results) -> StudyFigure | None:
    if not results.ablations or not results.noisy_rates:
        return None
    bases = listed(dict.fromkeys(results.label(note.base) for note in results.ablations))
    return StudyFigure(
        "ablation",
        f"What {bases} consists of" if len({note.base for note in results.ablations}) == 1 else "Variants of methods",
        "Each change by itself: the paired difference from the full method, averaged over the noisy rates for each "
        "seed first. Left of zero the change loses accuracy. "
        + ("Filled: the 95 % interval excludes zero." if results.seeds > 1 else _bars(results)),
        f"Forest plot of paired differences of {len(results.ablations)} variants from {bases}, in-domain and under "
        "shift. The numbers are in the table of the ablation.",
        draw_ablation,
        results,
    )


def _curves(results: Results) -> StudyFigure | None:
    methods = curve_methods(results)
    if not methods:
        return None
    left_out = len(results.methods) - len(methods)
    rest = f" The first {len(methods)} methods; all are in curves.csv." if left_out > 0 else ""
    return StudyFigure(
        "curves",
        "Learning curves of tuning",
        "Mean over seeds after each epoch: training loss with regularizers, which methods do not share, and accuracy. "
        f"For methods that interpolate, before the interpolation.{rest}",
        f"Line charts by epoch of training loss, in-domain accuracy and accuracy under shift of "
        f"{listed(results.label(name) for name in methods)}. The numbers are in curves.csv.",
        draw_curves,
        results,
    )


def _groups(groups: Sequence[Named]) -> StudyFigure:
    return StudyFigure(
        "groups",
        "What noise changes in each group",
        "The reference method's change against its own clean pre-training. Filled: the 95 % interval excludes zero.",
        f"Forest plot of the change of accuracy with noise in {len(groups)} groups, in-domain and under shift. The "
        "numbers are in the table of all groups.",
        lambda _results, narrow: draw_groups(groups, narrow),
        groups[0].results,
    )


def _shots(family: Sequence[Named], name: str) -> StudyFigure:
    view = family[0].results.view
    return StudyFigure(
        name,
        f"Accuracy by labels per class: {view.objective}, {view.architecture}, {view.noise_kind} noise",
        f"Mean over the noisy rates. {_bars(family[0].results)} Steps between the numbers of labels are drawn alike.",
        f"Line charts of accuracy against the number of labels per class ("
        f"{listed(shots_text(group.results.view.shots) for group in family)}), in-domain and under shift. The numbers "
        "are in the tables by labels.",
        lambda _results, narrow: draw_shots(family, narrow),
        family[0].results,
    )
