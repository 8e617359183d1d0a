"""Scree, energy, before and after: what is drawn where, labels and units, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noisymodel.plot import before_after, cumulative_energy, scree
from noisymodel.spectrum import Spectrum

pytest.importorskip("matplotlib")

EDGE = "Marchenko–Pastur edge"


def spectrum(*values: float, num_samples: int = 25) -> Spectrum:
    return Spectrum(np.array(values), num_samples, len(values))


def lines(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> x and y of each named line."""
    found = {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in axes.get_lines()}
    return {name: data for name, data in found.items() if not name.startswith("_")}


def horizontals(axes) -> list[float]:
    return [float(line.get_ydata()[0]) for line in axes.get_lines() if list(line.get_xdata()) == [0, 1]]


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


# --- scree


@pytest.mark.parametrize(("relative", "unit"), [(True, 4.0), (False, 5.0)])
def test_values_against_index_with_the_edge(relative: bool, unit: float) -> None:
    held = {"clean": spectrum(4.0, 2.0, 1.0), 0.1: spectrum(4.0, 4.0, 0.0)}
    axes = scree(held, relative=relative)
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["clean"][0], [1, 2, 3])
    np.testing.assert_allclose(drawn["clean"][1], np.array([4.0, 2.0, 1.0]) / unit)
    np.testing.assert_allclose(drawn["10 % noise"][1], np.array([4.0, 4.0, math.nan]) / unit)
    expected = [value.marchenko_pastur_edge() / unit for value in held.values()]
    assert horizontals(axes) == pytest.approx(expected, rel=1e-12)
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("log", "log", "index i")
    assert axes.get_ylabel() == ("singular value σᵢ / σ₁" if relative else "σᵢ / √N (units of the features)")
    assert legend(axes) == ["clean", "10 % noise", EDGE]


def test_the_edge_has_its_spectrums_colour_and_marker() -> None:
    axes = scree({"a": spectrum(4.0, 2.0), "b": spectrum(3.0, 2.0)})
    named = [line for line in axes.get_lines() if line.get_label() in "ab"]
    drawn = [line for line in axes.get_lines() if list(line.get_xdata()) == [0, 1]]
    assert [(line.get_color(), line.get_marker()) for line in drawn] == [
        (line.get_color(), line.get_marker()) for line in named
    ]
    assert all(line.get_markevery() == [1] for line in drawn)


def test_edge_of_known_noise_or_none() -> None:
    one = spectrum(4.0, 2.0, 1.0, num_samples=16)
    assert horizontals(scree(one, noise_variance=0.25)) == pytest.approx([0.5 * (4 + math.sqrt(3)) / 4])
    without = scree(one, edge=False)
    assert horizontals(without) == []
    assert without.get_legend() is None
    assert horizontals(scree(spectrum(1.0, 0.0, 0.0))) == []  # the median is zero: no noise to see


def test_given_axes_are_used_and_torch_values_too() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    one = Spectrum(torch.tensor([2.0, 1.0], dtype=torch.float64), 9, 2)
    assert scree(one, ax=axes) is axes
    assert cumulative_energy(one, ax=axes) is axes


def test_a_zero_spectrum_draws_nothing() -> None:
    axes = scree(spectrum(0.0, 0.0))
    assert np.isnan(axes.get_lines()[0].get_ydata()).all()
    share = cumulative_energy(spectrum(0.0, 0.0)).get_lines()[0].get_ydata()
    assert np.isnan(share).all()


def test_index_is_labelled_with_whole_numbers() -> None:
    axes = scree(spectrum(*np.geomspace(1, 0.01, 100), num_samples=100))
    axes.figure.canvas.draw()
    assert {"1", "2", "5", "10", "20", "50", "100"} <= {text.get_text() for text in axes.get_xticklabels()}


def test_what_is_zero_to_rounding_is_left_out() -> None:
    (drawn,) = (line.get_ydata() for line in scree(spectrum(4.0, 1e-9, 1e-16), edge=False).get_lines())
    np.testing.assert_array_equal(np.isfinite(drawn), [True, True, False])


# --- energy


def test_shares_add_up_and_the_level_is_counted() -> None:
    axes = cumulative_energy({"a": spectrum(3.0, 2.0, 1.0), 0.2: spectrum(1.0, 1.0, 1.0)}, level=0.65)
    drawn = lines(axes)
    assert list(drawn)[:2] == ["a: 65 % in 2 of 3", "20 % noise: 65 % in 2 of 3"]
    np.testing.assert_allclose(drawn["a: 65 % in 2 of 3"][1], [900 / 14, 1300 / 14, 100], rtol=1e-12)
    assert horizontals(axes) == [65.0]
    assert axes.get_ylabel() == "share of Σσ² in the first k (%)"
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "number of directions k")
    assert legend(cumulative_energy(spectrum(1.0, 1.0), level=0.5)) == ["50 % in 1 of 2"]
    assert legend(cumulative_energy(spectrum(3.0, *np.ones(6)), level=0.8)) == ["80 % in 4 of 7"]  # 12/15 by rounding
    assert legend(cumulative_energy(spectrum(*np.ones(7)), level=1.0)) == ["100 % in 7 of 7"]


@pytest.mark.parametrize("level", [0, 1.1])
def test_level_is_checked(level: float) -> None:
    with pytest.raises(ValueError, match=r"`level` must be in \(0, 1\], got"):
        cumulative_energy(spectrum(1.0), level=level)


# --- before and after


def test_two_panels_on_the_same_axes() -> None:
    one, two = spectrum(4.0, 2.0, 1.0), spectrum(1.0, 1.0, 1.0)
    figure = before_after({"clean": one, 0.1: two}, two, titles=("frozen", "tuned"), edge=True)
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["frozen", "tuned"]
    text = f"clean: SVE {one.entropy:.2f}, LSVR {one.largest_ratio:.2f}"
    assert legend(left) == [text, "10 % noise: SVE 1.10, LSVR 1.10", EDGE]
    assert legend(right) == ["SVE 1.10, LSVR 1.10", EDGE]
    assert left.get_ylim() == right.get_ylim()
    assert (left.get_ylabel(), right.get_ylabel()) == ("singular value σᵢ / σ₁", "")
    np.testing.assert_allclose(lines(left)[text][1], [1.0, 0.5, 0.25])
    plain = before_after(one, two, relative=False)
    assert plain.axes[0].get_ylabel() == "σᵢ / √N (units of the features)"
    assert horizontals(plain.axes[0]) == []
    assert [axes.get_title(loc="left") for axes in plain.axes] == ["Before NMTune", "After NMTune"]


# --- bad input


@pytest.mark.parametrize("draw", [scree, cumulative_energy, lambda spectra: before_after(spectra, spectrum(1.0))])
def test_bad_spectra_are_named(draw) -> None:
    with pytest.raises(TypeError, match="` must be a Spectrum or a mapping of them, got list"):
        draw([spectrum(1.0)])
    with pytest.raises(TypeError, match="` must hold values of type Spectrum, got ndarray at 'a'"):
        draw({"a": np.ones(3)})
    with pytest.raises(ValueError, match="` must hold at least one Spectrum, got none"):
        draw({})
    with pytest.raises(TypeError, match="`after` must be a Spectrum"):
        before_after(spectrum(1.0), 3)
