"""The noise of pre-training: exact, nested in the rate, from the seed, and what each kind is computed from."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from noisymodel import noise
from noisymodel.errors import ConfigError
from noisymodel.study.pretraining import NOISE_OF, PretrainingRequest
from noisymodel.study.pretraining.corruption import noisy_captions, noisy_labels, noisy_tokens
from study.pretraining.tiny_requests import CLASSES, VOCABULARY, pictures, request, texts

RATES = (0.0, 0.1, 0.3, 0.6)
COUNT = 120


def of_labels(kind: str, examples: Any = None, **changes: Any) -> PretrainingRequest:
    return request("supervised", "mlp", kind, RATES, examples=examples or pictures(COUNT), **changes)


@pytest.mark.parametrize("kind", NOISE_OF["supervised"])
@pytest.mark.parametrize("of", ["pictures", "texts"])
def test_labels_are_nested_and_as_wrong_as_asked_for(kind: str, of: str) -> None:
    examples = pictures(COUNT) if of == "pictures" else texts(COUNT)
    asked = of_labels(kind, examples)
    noisy = [noisy_labels(asked, rate) for rate in RATES]
    assert np.array_equal(noisy[0], examples.labels)
    for lower, higher in itertools.pairwise(noisy):
        flipped = lower != examples.labels
        assert np.array_equal(higher[flipped], lower[flipped])
        assert (higher != examples.labels).sum() > flipped.sum()
    shares = [float((labels != examples.labels).mean()) for labels in noisy]
    slack = 0.15 if kind == "instance_dependent" else 1e-9  # each sample flips by itself there
    assert shares == pytest.approx(RATES, abs=slack)
    again = noisy_labels(of_labels(kind, examples, seed=1), 0.3)
    assert np.array_equal(again, noisy[2])
    assert not np.array_equal(noisy_labels(of_labels(kind, examples, seed=2), 0.3), noisy[2])


def test_asymmetric_noise_goes_to_the_nearest_class() -> None:
    examples = pictures(COUNT)
    means = np.stack([examples.inputs[examples.labels == label].mean(0).ravel() for label in range(CLASSES)])
    apart = ((means[:, None] - means) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    noisy = noisy_labels(of_labels("asymmetric"), 0.3)
    flipped = noisy != examples.labels
    assert np.array_equal(noisy[flipped], apart.argmin(1)[examples.labels[flipped]])
    chosen = noisy_labels(of_labels("asymmetric", noise_options={"mapping": {"0": 2, "1": 0, "2": 1}}), 1.0)
    assert np.array_equal(chosen, np.array([2, 0, 1])[examples.labels])


def test_similar_classes_by_their_means() -> None:
    examples = pictures(COUNT)
    means = np.stack([examples.inputs[examples.labels == label].mean(0).ravel() for label in range(CLASSES)])
    means = means.astype(np.float64)
    expected = noise.similarity(examples.labels, 0.6, means - means.mean(0), temperature=0.5, seed=1).labels
    got = noisy_labels(of_labels("similarity", noise_options={"temperature": 0.5}), 0.6)
    assert (got == expected).mean() > 0.97, "means of float32 pictures differ by rounding"
    towards_two = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.9]]
    given = noisy_labels(of_labels("similarity", noise_options={"prototypes": towards_two, "temperature": 1e-3}), 1.0)
    assert set(given[examples.labels != 2].tolist()) == {2}


def test_confusion_of_a_classifier_by_means_or_of_ones_own() -> None:
    examples = pictures(COUNT)
    counts = [[5, 5, 0], [0, 5, 5], [5, 0, 5]]
    given = noisy_labels(of_labels("confusion", noise_options={"counts": counts}), 1.0)
    assert np.array_equal(given, (examples.labels + 1) % 3)


def test_instance_dependent_noise_looks_at_the_pictures() -> None:
    examples = pictures(COUNT)
    mirrored = examples._replace(inputs=np.ascontiguousarray(examples.inputs[:, :, ::-1]))
    one, other = (noisy_labels(of_labels("instance_dependent", part), 0.6) for part in (examples, mirrored))
    flipped = one != examples.labels
    assert np.array_equal(flipped, other != examples.labels)
    assert not np.array_equal(one, other)
    spread = noisy_labels(of_labels("instance_dependent", examples, noise_options={"std": 0.3}), 0.6)
    assert not np.array_equal(flipped, spread != examples.labels)


def test_large_and_lazy_pictures_are_looked_at_in_small() -> None:
    class Lazy:
        def __init__(self, images: np.ndarray) -> None:
            self.images, self.shape, self.largest = images, images.shape, 0

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, indices: np.ndarray) -> np.ndarray:
            self.largest = max(self.largest, len(indices))
            return self.images[indices]

    small = pictures(COUNT)
    large = np.kron(small.inputs[:, None], np.ones((1, 3, 64, 64), np.float32))
    lazy = Lazy(large)
    assert np.array_equal(
        noisy_labels(of_labels("posterior_dependent", small._replace(inputs=lazy)), 0.3),
        noisy_labels(of_labels("posterior_dependent", small._replace(inputs=large)), 0.3),
    )
    assert 0 < lazy.largest < COUNT


def test_captions_go_to_other_pictures() -> None:
    examples = pictures(COUNT)
    captions = examples.captions
    assert captions is not None
    wrong = {}
    for kind in NOISE_OF["contrastive"]:
        asked = request("contrastive", "mlp", kind, RATES, examples=examples)
        noisy = [noisy_captions(asked, rate) for rate in RATES]
        wrong[kind] = [(one != captions).any(1) for one in noisy]
        assert not wrong[kind][0].any()
        assert sorted(map(tuple, noisy[2])) == sorted(map(tuple, captions)) or kind == "caption_resample"
    for kind in ("caption_shuffle", "caption_swap", "caption_resample"):
        assert [int(part.sum()) for part in wrong[kind]] == [0, 12, 36, 72], "equal captions are not wrong ones"
    assert (wrong["caption_shuffle"][1] <= wrong["caption_shuffle"][2]).all()
    with pytest.raises(ConfigError, match="'caption_shuffle' cannot be made of these data: `rate` selects 1"):
        noisy_captions(request("contrastive", "mlp", examples=pictures(10)), 0.1)


def test_tokens_change_and_padding_does_not() -> None:
    examples = texts(60)
    tokens = np.asarray(examples.inputs)
    for kind in NOISE_OF["masked_token"]:
        asked = request("masked_token", "transformer", kind, RATES, examples=examples)
        noisy = [noisy_tokens(asked, rate) for rate in RATES]
        assert np.array_equal(noisy[0], tokens)
        if kind == "token_delete":
            assert [int((one != 0).sum()) for one in noisy] == [
                int((tokens != 0).sum()) - int(rate * (tokens != 0).sum() + 0.5) for rate in RATES
            ]
            continue
        assert all(np.array_equal(one == 0, tokens == 0) for one in noisy)
        for lower, higher in itertools.pairwise(noisy):
            assert np.array_equal(higher[lower != tokens], lower[lower != tokens])
    masked = noisy_tokens(request("masked_token", "transformer", "token_mask", examples=examples), 1.0)
    assert set(np.unique(masked)) == {0, VOCABULARY}


def test_options_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match=r"`pretraining\.noise_options`: expected one of 'include_true', 'selection'"):
        noisy_labels(of_labels("symmetric", noise_options={"temperature": 1}), 0.3)
    with pytest.raises(ConfigError, match="'similarity' cannot be made of these data: `temperature` must"):
        noisy_labels(of_labels("similarity", noise_options={"temperature": -1}), 0.3)
    with pytest.raises(ConfigError, match=r"`pretraining\.noise_options`"):
        noisy_captions(request("contrastive", noise_options={"mode": "swap"}), 0.3)
    per_class = noisy_labels(of_labels("symmetric", noise_options={"selection": "exact_per_class"}), 0.3)
    assert np.bincount(pictures(COUNT).labels[per_class != pictures(COUNT).labels]).tolist() == [12, 12, 12]
