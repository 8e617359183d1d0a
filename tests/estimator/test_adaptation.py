"""Transductive answers beside the classifier's own."""

from __future__ import annotations

import numpy as np

from noisymodel import NMTuneClassifier


def test_rules_find_shifted_clusters_and_leave_the_classifier_alone() -> None:
    random, labels = np.random.default_rng(0), np.arange(300) % 3
    centres = 3 * np.eye(8)[:3]
    features = centres[labels] + random.standard_normal((300, 8))
    shifted = centres[labels] + 1.5 * np.eye(8)[5] - 1.2 * np.eye(8)[0] + 0.7 * random.standard_normal((300, 8))
    classifier = NMTuneClassifier(method="linear", random_state=0).fit(features, labels)
    before = classifier.predict_proba(shifted)
    found = classifier.adapt(shifted)
    np.testing.assert_array_equal(found.unadapted, before)
    np.testing.assert_array_equal(classifier.predict_proba(shifted), before)
    right = {name: (own == labels).mean() for name, own in found.labels().items()}
    assert set(right) == {"unadapted", "t3a", "clusters"}
    assert right["t3a"] >= right["unadapted"]
    assert right["clusters"] >= right["unadapted"]
    for probabilities in (found.t3a, found.clusters):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(found.changed()) == {"t3a", "clusters"}
