"""Part-dependent noise: the draw against a cumulative sum written out, and what the audit knows of the features."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel import noise
from noisymodel.noise.instance import draw

LABELS = np.arange(600) % 4
FEATURES = np.random.default_rng(0).standard_normal((600, 5)).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
)
def test_draws_are_the_first_class_above_the_point(weights: list[int], points: list[float]) -> None:
    sums = list(accumulate(weights))
    # integers add up without rounding; a product that rounds up to the last sum belongs to the last class
    wanted = [bisect_right(sums, min(point * sums[-1], np.nextafter(sums[-1], 0.0))) for point in points]
    found = draw(np.tile(np.array(weights, dtype=np.float64), (len(points), 1)), np.array(points))
    assert found.tolist() == wanted


@pytest.mark.parametrize("classes", [2, 3, 10, 17, 1000])
def test_draws_are_never_impossible(classes: int) -> None:
    random = np.random.default_rng(classes)
    weights = np.where(random.random((2000, classes)) < 0.7, 0.0, np.exp(20 * random.standard_normal((2000, classes))))
    weights[np.arange(2000), random.integers(classes, size=2000)] = 1e-300
    points = np.where(random.random(2000) < 0.5, random.random(2000), np.nextafter(1.0, 0.0))
    found = draw(weights, points)
    assert (weights[np.arange(2000), found] > 0).all()


def test_any_row_that_is_not_finite_is_named() -> None:
    for row in range(0, 600, 101):
        for bad in (np.nan, np.inf):
            features = FEATURES.copy()
            features[row, 2] = bad
            for given_features in (features, torch.from_numpy(features)):
                with pytest.raises(ValueError, match=rf"`features` must be finite, got {bad} in row {row}$"):
                    noise.instance_dependent(LABELS, given_features, 0.1, seed=0)


@pytest.mark.parametrize("standardize", [False, True])
def test_the_checksum_is_of_what_the_labels_depend_on(standardize: bool) -> None:
    found = noise.instance_dependent(LABELS, FEATURES, 0.3, standardize=standardize, seed=0)
    known = found.audit()["inputs"]["features"]
    flipped = np.asarray(found.flipped)

    def checksum(features: object, **options: int) -> str:
        again = noise.instance_dependent(LABELS, features, 0.3, standardize=standardize, seed=0, **options)  # type: ignore[arg-type]
        return again.audit()["inputs"]["features"]["checksum"]

    assert known["shape"] == [600, 5]
    assert checksum(FEATURES.astype(np.float64), chunk_size=1) == known["checksum"]
    assert checksum(torch.from_numpy(FEATURES)) == known["checksum"]
    used, unused = FEATURES.copy(), FEATURES.copy()
    used[np.argmax(flipped), 0] += 1e-3
    unused[np.argmin(flipped), 0] += 1e-3
    assert checksum(used) != known["checksum"]
    assert (checksum(unused) == known["checksum"]) is not standardize  # every row is in the means


def test_pixels_are_features_too() -> None:
    counts = np.random.default_rng(0).integers(0, 256, (600, 5)).astype(np.uint8)
    as_float = noise.instance_dependent(LABELS, counts / 1.0, 0.3, seed=0)
    assert np.array_equal(noise.instance_dependent(LABELS, counts, 0.3, seed=0).labels, as_float.labels)
