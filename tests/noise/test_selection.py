"""Grouping by class, and which samples are selected: against the definitions written out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel import noise
from noisymodel.noise.selection import by_class


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.sampled_from([np.uint8, np.int16, np.int64]))
def test_samples_by_class_are_those_of_each_class_in_order(labels: list[int], dtype: type) -> None:
    places, bounds = by_class(np.array(labels, dtype=dtype), 7)
    assert len(bounds) == 8
    found = [places[first:stop].tolist() for first, stop in pairwise(bounds)]
    assert found == [[place for place, label in enumerate(labels) if label == k] for k in range(7)]


def test_exact_per_class_at_many_classes() -> None:
    """70,000 classes do not fit two bytes; each has one or two samples."""
    count = 70_000
    labels = np.random.default_rng(0).permutation(np.concatenate([np.arange(count), np.arange(0, count, 2)]))
    noisy = noise.symmetric(labels, 0.5, num_classes=count, selection="exact_per_class", seed=0)
    per_class = np.bincount(labels[np.asarray(noisy.flipped)], minlength=count)
    assert (per_class == 1).all()  # half of one rounds up, half of two is one


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_every_cat_is_flipped_once(rate: float) -> None:
    """In-place code flips cats to dogs and some back: at 0.4, 24 % of the cats stay flipped (ELR, issue 16)."""
    labels = np.arange(50_000) % 10
    noisy = noise.asymmetric(labels, rate, mapping="cifar10", selection="exact_per_class", seed=0)
    found = np.asarray(noisy.labels)
    for clean, target in {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}.items():
        assert (found[labels == clean] == target).sum() == round(rate * 5000)
    assert noisy.realized_rate == rate / 2
    assert noisy.audit()["expected_rate"] == pytest.approx(rate / 2)
