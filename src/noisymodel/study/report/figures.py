"""The figures of a study, with their texts and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..analysis.bootstrap import FEWEST_SEEDS
from . import accuracy_figures as accuracy
from . import feature_figures as features
from .groups import numbered_families, shots_text
from .results import Results, changes_by_rate
from .sample_figures import draw_samples, sample_groups
from .tables import MEASURE_LABELS
from .texts import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FULL_GROUPS = 3
"""With more groups the page would become too large: of each only the main figures are drawn, and none for phones."""


class StudyFigure(NamedTuple):
    """A figure with its texts."""

    name: str
    title: str
    caption: str
    alternative: str
    """The alternative text for readers who cannot see the figure."""
    draw: Callable[[bool], Figure]
    """Draws it, wide or narrow (for a phone); `figure_style.encode` makes its files."""


_FIGURES: Mapping[str, tuple[Callable[[Results, bool], Figure], Callable[[Results], object]]] = {
    "accuracy": (accuracy.draw_accuracy, lambda _: True),
    "spectra": (features.draw_spectra, features.mean_spectra),
    "spectrum-accuracy": (features.draw_spectrum_against_accuracy, features.has_spectra),
    "differences": (accuracy.draw_differences, lambda results: results.noisy_rates and results.pairs),
    "shifts": (accuracy.draw_shifts, lambda results: changes_by_rate(results, results.reference_method, "ood")),
    "samples": (draw_samples, sample_groups),
    "tuned-spectrum": (features.draw_tuned_spectrum, features.reshaping_methods),
    "drift": (features.draw_drift, lambda results: results.noisy_rates and features.drift_metrics(results)),
    "correlations": (features.draw_correlations, lambda results: results.reference_correlations),
    "ablation": (accuracy.draw_ablation, lambda results: results.noisy_rates and results.ablations),
    "curves": (accuracy.draw_curves, accuracy.curve_methods),
}
"""Name -> the function that draws the figure, and what it draws (nothing: there is no figure), in the page's order."""


def study_figures(results: Results) -> list[StudyFigure]:
    """The figures that the study has numbers for, in the order of the page."""
    there = [(name, draw, what(results)) for name, (draw, what) in _FIGURES.items()]
    return [_figure(name, partial(draw, results), results, there=found) for name, draw, found in there if found]


def group_figures(groups: Sequence[Results]) -> list[StudyFigure]:
    """The figures over several groups; none for a single group."""
    if len(groups) < 2:
        return []
    figures: list[StudyFigure] = []
    if any(group.noisy_rates for group in groups):
        figures.append(_figure("groups", partial(accuracy.draw_groups, groups), groups[0], groups=groups))
    for number, family in numbered_families(groups).items():
        shots = [shots_text(group.view.shots) for group in family]
        figures.append(_figure("shots", partial(accuracy.draw_shots, family), family[0], number, shots=shots))
    return figures


def _figure(
    name: str, draw: Callable[[bool], Figure], results: Results, number: str = "", **known: object
) -> StudyFigure:
    """A figure with its texts, which know the results and what else is given."""
    bars = f"Bars are 95 % intervals over {results.seeds} seeds."
    texts = rendered(
        results,
        f"figures.{name}",
        bars=bars if results.seeds > 1 else "One seed, therefore no intervals.",
        measures=MEASURE_LABELS.values(),
        fewest_seeds=FEWEST_SEEDS,
        **known,
    )
    return StudyFigure(name + number, draw=draw, **texts)
