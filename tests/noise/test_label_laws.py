"""Each injector's own law, against the formula written out and the golden values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from golden import GOLDEN
from noisymodel import noise
from noisymodel.noise import instance, posterior
from noisymodel.noise import selection as selection_module
from noisymodel.noise.mappings import mapping_targets
from reference.noise import (
    confusion_transition,
    empirical_transition,
    half_up,
    instance_probabilities,
    mapped_transition,
    posterior_flip,
    similarity_transition,
    truncated_normal_mean,
)

CIFAR10 = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
MNIST = {7: 1, 2: 7, 3: 8, 5: 6, 6: 5}


def test_matrices_are_the_naive_ones() -> None:
    assert np.allclose(noise.pair_transition(5, 0.45), mapped_transition({i: (i + 1) % 5 for i in range(5)}, 5, 0.45))
    assert np.allclose(noise.asymmetric_transition(10, 0.4, "cifar10"), mapped_transition(CIFAR10, 10, 0.4))
    assert np.allclose(noise.asymmetric_transition(10, 0.4, "mnist"), mapped_transition(MNIST, 10, 0.4))
    own = noise.asymmetric_transition(4, 0.3, {0: 2})
    assert np.allclose(own, mapped_transition({0: 2}, 4, 0.3))
    prototypes = np.random.default_rng(0).standard_normal((7, 3))
    for temperature in (0.1, 1.0, 50.0):
        found = noise.similarity_transition(prototypes, 0.3, temperature)
        assert np.allclose(found, similarity_transition(prototypes, 0.3, temperature))
    counts = np.random.default_rng(1).integers(1, 9, (4, 4))
    for rate in (None, 0.0, 0.3):
        assert np.allclose(noise.confusion_transition(counts, rate), confusion_transition(counts, rate))
        assert np.allclose(
            noise.confusion_transition(counts.T, rate, convention="column"), confusion_transition(counts, rate)
        )


def test_limits_of_the_temperature() -> None:
    prototypes = np.random.default_rng(0).standard_normal((5, 3))
    assert np.allclose(noise.similarity_transition(prototypes, 0.3, 1e9), noise.symmetric_transition(5, 0.3), atol=1e-6)
    sharp = noise.similarity_transition(prototypes, 0.3, 1e-4)
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    nearest = np.where(np.eye(5, dtype=bool), -2, unit @ unit.T).argmax(1)
    assert np.allclose(sharp[np.arange(5), nearest], 0.3)


def test_cifar100_by_superclass_and_by_block() -> None:
    known = GOLDEN["cifar100"]
    coarse = np.array(known["coarse_of_fine"])
    inside = mapping_targets("cifar100", 100)
    blocks = mapping_targets("cifar100-contiguous", 100)
    assert inside.tolist() == known["next_in_superclass_sorted_by_fine_id"]
    assert blocks.tolist() == known["next_contiguous_blocks_of_5"]
    assert (coarse[inside] == coarse).all()
    assert (coarse[blocks] == coarse).sum() == known["contiguous_edges_inside_true_superclass"] == 6
    noisy = noise.asymmetric(np.arange(100), 1.0, mapping="cifar100", seed=0)
    assert np.asarray(noisy.labels).tolist() == inside.tolist()


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ("cifar", "`mapping`"),
        ({0: 12}, "`mapping`.*12"),
        ({-1: 0}, "`mapping`"),
    ],
)
def test_bad_mappings(mapping: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        noise.asymmetric([0, 1, 2], 0.5, mapping=mapping, num_classes=10, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_classes"):
        noise.asymmetric([0, 1, 2], 0.5, mapping="cifar10", num_classes=7, seed=0)


# --- large sets


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.29, 0.9995, 1.0])
def test_large_sets_select_exactly_and_nested_too(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "LARGE", 100)
    labels = np.arange(20_001) % 7
    found = noise.symmetric(labels, rate, seed=3)
    assert int(np.asarray(found.flipped).sum()) == half_up(str(rate), 20_001)
    more = noise.symmetric(labels, 1.0, seed=3)
    flipped = np.asarray(found.flipped)
    assert np.array_equal(np.asarray(found.labels)[flipped], np.asarray(more.labels)[flipped])
    assert noise.verify(found.audit(), labels).realized_rate == found.realized_rate


def test_large_sets_select_every_sample_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "LARGE", 10)
    times = sum(np.asarray(noise.symmetric(np.arange(40) % 2, 0.25, seed=seed).flipped) for seed in range(2000))
    assert times.sum() == 20_000
    assert (np.abs(times - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_equal_numbers_are_counted_once() -> None:
    class Equal:
        def integers(self, *_: object, size: int, **__: object) -> np.ndarray:
            return np.array([5, 3, 3, 3, 9][:size], dtype=np.uint64)

    assert selection_module.smallest(5, 2, Equal()).tolist() == [False, True, True, False, False]  # type: ignore[arg-type]


# --- any matrix


MATRIX = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


@pytest.mark.parametrize("selection", ["exact", "exact_per_class"])
def test_largest_remainders(selection: str) -> None:
    clean = np.repeat([0, 1, 2], [7, 4, 9])
    found = noise.from_transition(clean, MATRIX, selection=selection, seed=0)
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (clean, np.asarray(found.labels)), 1)
    assert counts.sum(1).tolist() == [7, 4, 9]
    assert counts[1].tolist() == [0, 4, 0]
    for label, size in enumerate([7, 4, 9]):  # each count within one of its share
        assert (np.abs(counts[label] - size * MATRIX[label]) < 1).all()
    assert counts[2].tolist() in ([2, 2, 5], [3, 2, 4], [2, 3, 4])
    assert found.requested_rate == pytest.approx((7 * 0.3 + 9 * 0.5) / 20)


def test_conventions_must_fit() -> None:
    clean = np.arange(3).repeat(500)
    by_row = noise.from_transition(clean, MATRIX, seed=1)
    by_column = noise.from_transition(clean, MATRIX.T, convention="column", seed=1)
    assert np.array_equal(by_row.labels, by_column.labels)
    assert np.allclose(np.asarray(by_column.transition), MATRIX)
    with pytest.raises(ValueError, match=r'columns that sum to 1 and rows that do not: .*pass convention="column"'):
        noise.from_transition(clean, MATRIX.T, seed=1)
    with pytest.raises(ValueError, match=r'rows that sum to 1 and columns that do not: .*convention="row"'):
        noise.from_transition(clean, MATRIX, convention="column", seed=1)


@pytest.mark.parametrize(
    ("matrix", "error", "told"),
    [
        (np.ones((2, 3)), ValueError, "`matrix` must be square"),
        (np.array([[1.2, -0.2], [0, 1]]), ValueError, "`matrix`.*-0.2"),
        (np.array([[np.nan, 1], [0, 1]]), ValueError, "`matrix`.*nan"),
        (np.array([[0.5, 0.4], [0.1, 0.8]]), ValueError, "sum to 1, got 0.9"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "`matrix` must be real numbers"),
    ],
)
def test_bad_matrices(matrix: np.ndarray, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        noise.from_transition([0, 1], matrix, seed=0)


def test_sparse_matrices_of_many_classes() -> None:
    count = 21_841
    matrix = sparse.csr_array(noise.pair_transition(count, 0.25, as_sparse=True))
    clean = np.random.default_rng(0).integers(count, size=50_000)
    found = noise.from_transition(clean, matrix, selection="bernoulli", seed=0)
    assert sparse.issparse(found.transition)
    moved = np.asarray(found.labels) != clean
    assert np.array_equal(np.asarray(found.labels)[moved], (clean[moved] + 1) % count)
    assert abs(moved.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 50_000)
    dense = sparse.csr_array(MATRIX)
    three = np.arange(3).repeat(100)
    assert np.array_equal(
        noise.from_transition(three, dense, seed=3).labels, noise.from_transition(three, MATRIX, seed=3).labels
    )


def test_many_classes_have_compact_matrices() -> None:
    count = 5000
    clean = np.arange(20_000) % count
    found = noise.symmetric(clean, 0.3, num_classes=count, seed=0)
    assert isinstance(found.transition, noise.SymmetricTransition)
    assert found.transition.row(7)[7] == pytest.approx(0.7)
    prototypes = np.random.default_rng(0).standard_normal((count, 4))
    alike = noise.similarity(clean, 0.3, prototypes, seed=0)
    assert isinstance(alike.transition, noise.SimilarityTransition)
    assert alike.transition.row(7).sum() == pytest.approx(1.0)
    assert alike.realized_rate == 0.3
    law = noise.LabelNoise("similarity", 0.3, num_classes=count, seed=0, prototypes=prototypes)
    assert 0 <= law.at("key", 3) < count


def test_confusions_without_mistakes() -> None:
    counts = np.array([[5, 0], [1, 4]])
    with pytest.raises(ValueError, match=r'no mistakes of class 0: `empty` can be "uniform" or "keep"'):
        noise.from_confusion([0, 1], counts, 0.5, seed=0)
    kept = noise.from_confusion([0] * 10 + [1] * 10, counts, 0.5, empty="keep", selection="exact_per_class", seed=0)
    assert np.asarray(kept.labels)[:10].tolist() == [0] * 10
    spread = noise.from_confusion([0] * 10, counts, 1.0, empty="uniform", seed=0)
    assert np.asarray(spread.labels).tolist() == [1] * 10
    with pytest.raises(ValueError, match="`counts`"):
        noise.from_confusion([0, 1], -counts, seed=0)


@pytest.mark.parametrize("prototypes", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones(3)])
def test_bad_prototypes(prototypes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="`prototypes`"):
        noise.similarity([0, 1], 0.5, prototypes, seed=0)
    with pytest.raises(ValueError, match="`temperature`"):
        noise.similarity([0, 1], 0.5, np.eye(2), temperature=0.0, seed=0)


def test_prototypes_are_class_means() -> None:
    features = np.random.default_rng(0).standard_normal((20_000, 3))
    labels = np.arange(20_000) % 4
    found = noise.class_prototypes(features, labels)
    assert np.allclose(found, [features[labels == label].mean(0) for label in range(4)])
    with pytest.raises(ValueError, match="got none of class 4"):
        noise.class_prototypes(features, labels, num_classes=5)


# --- noise that depends on the sample


def test_part_dependent_probabilities_are_those_of_the_paper() -> None:
    random = np.random.default_rng(0)
    rows, projections = random.standard_normal((6, 3)), random.standard_normal((4, 3, 4))
    for row, label, flip in zip(rows, [0, 1, 2, 3, 0, 1], random.random(6), strict=True):
        wanted = instance_probabilities(row, projections, label, flip)
        assert wanted[label] == pytest.approx(1 - flip)
        assert wanted.sum() == pytest.approx(1)
        weights = instance.softmax_weights(row[None], projections[label].copy(), label)[0]
        found = flip * weights / weights.sum()
        found[label] += 1 - flip
        assert np.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.5, 0.9])
def test_the_mean_flip_probability(rate: float) -> None:
    wanted = truncated_normal_mean(rate, 0.1)
    assert noise.expected_instance_rate(rate) == pytest.approx(wanted, abs=1e-6)
    quantiles = instance.flip_probabilities(rate, 0.1, (np.arange(200_000) + 0.5) / 200_000)
    assert quantiles.mean() == pytest.approx(wanted, abs=1e-5)
    assert quantiles.min() >= 0
    assert quantiles.max() <= 1


def test_whether_a_label_flips_does_not_depend_on_the_features_but_where_to_does() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(40_000) % 4
    features = random.standard_normal((40_000, 3))
    one = noise.instance_dependent(labels, features, 0.3, seed=0)
    two = noise.instance_dependent(labels, 10 * features[::-1].copy(), 0.3, seed=0)
    assert np.array_equal(one.flipped, two.flipped)
    assert not np.array_equal(one.labels, two.labels)
    expected = noise.expected_instance_rate(0.3)
    assert abs(one.realized_rate - expected) < 5 * np.sqrt(expected * (1 - expected) / 40_000)
    assert one.transition is None


def test_targets_follow_the_softmax_of_their_class() -> None:
    labels = np.zeros(60_000, dtype=int)
    row = np.array([0.3, -0.8])
    found = noise.instance_dependent(labels, np.tile(row, (60_000, 1)), 0.5, num_classes=3, std=0.0, seed=4)
    step = noise.injection.begin(labels, 3, subset=None, classes=None, seed=4)
    projection = instance.class_projection(step, 2, 0)
    wanted = instance_probabilities(row, projection[None].repeat(3, 0), 0, 0.5)
    shares = np.bincount(np.asarray(found.labels), minlength=3) / 60_000
    assert (np.abs(shares - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / 60_000)).all()


@pytest.mark.parametrize("chunk_size", [1, 300, 10_000])
def test_chunks_change_nothing(chunk_size: int) -> None:
    labels = np.arange(1500) % 5
    features = np.random.default_rng(0).standard_normal((1500, 7)).astype(np.float32)
    wanted = noise.instance_dependent(labels, features, 0.4, standardize=True, seed=0)
    found = noise.instance_dependent(labels, features, 0.4, standardize=True, chunk_size=chunk_size, seed=0)
    assert np.array_equal(found.labels, wanted.labels)
    as_double = noise.instance_dependent(labels, torch.from_numpy(features).double(), 0.4, standardize=True, seed=0)
    assert np.array_equal(np.asarray(as_double.labels), wanted.labels)


def test_standardized_and_shared() -> None:
    labels = np.arange(2000) % 5
    features = np.random.default_rng(0).standard_normal((2000, 7))
    ready = (features - features.mean(0)) / features.std(0)
    wanted = noise.instance_dependent(labels, ready, 0.4, seed=0)
    found = noise.instance_dependent(labels, 100 * features + 7, 0.4, standardize=True, seed=0)
    assert (np.asarray(found.labels) != np.asarray(wanted.labels)).sum() <= 2  # rounding at a border
    same = np.tile(features[:1], (2000, 1))
    shared = noise.instance_dependent(labels, 30 * same, 1.0, std=0.0, shared=True, seed=0)
    own = noise.instance_dependent(labels, 30 * same, 1.0, std=0.0, seed=0)
    assert len({tuple(sorted(set(np.asarray(shared.labels)[labels == label]))) for label in range(5)}) <= 2
    assert len({tuple(sorted(set(np.asarray(own.labels)[labels == label]))) for label in range(5)}) > 2


@pytest.mark.parametrize(
    ("features", "options", "told"),
    [
        (np.full((4, 2), np.nan), {}, "`features`.*row 0"),
        (np.ones((3, 2)), {}, "`features`.*4"),
        (np.ones(4), {}, "`features`"),
        (np.ones((4, 2)), {"std": -1.0}, "`std`"),
        (np.ones((4, 2)), {"chunk_size": 0}, "`chunk_size`"),
    ],
)
def test_bad_features(features: np.ndarray, options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        noise.instance_dependent([0, 1, 0, 1], features, 0.3, seed=0, **options)


@pytest.mark.parametrize("kind", ["I", "II", "III"])
def test_posterior_noise_follows_the_margin(kind: str) -> None:
    margins = np.linspace(0, 1, 11)
    found = posterior.flip_chances(margins, kind)
    assert np.allclose(found, [posterior_flip(margin, kind) for margin in margins])
    rows = np.tile([0.6, 0.3, 0.1], (40_000, 1))
    noisy = noise.posterior_dependent(np.zeros(40_000, dtype=int), rows, None, kind=kind, selection="bernoulli", seed=0)
    chance = posterior_flip(0.3, kind)
    assert noisy.requested_rate == pytest.approx(chance)
    assert abs(noisy.realized_rate - chance) < 5 * np.sqrt(chance * (1 - chance) / 40_000)
    assert set(np.asarray(noisy.labels)) == {0, 1}


def test_unsure_samples_flip_more_and_to_the_other_class() -> None:
    sure, unsure = [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]
    rows = np.array([sure, unsure] * 5000)
    labels = np.array([0, 1] * 5000)  # the second row's label is not the classifier's first
    noisy = noise.posterior_dependent(labels, rows, 0.3, seed=0)
    flipped = np.asarray(noisy.flipped)
    assert flipped.sum() == 3000
    ratio = flipped[1::2].mean() / flipped[::2].mean()
    assert ratio == pytest.approx(posterior_flip(0.05, "I") / posterior_flip(0.85, "I"), rel=0.15)
    assert set(np.asarray(noisy.labels)[1::2][flipped[1::2]]) == {0}
    assert set(np.asarray(noisy.labels)[::2][flipped[::2]]) <= {1, 2}


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        (np.array([[0.5, 0.4], [0.5, 0.5]]), {}, "summing to 1.*row 0; softmax makes them"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), {}, "`posterior` must be probabilities"),
        (np.array([[1.0], [1.0]]), {}, "at least 2 classes"),
        (np.full((2, 2), 0.5), {"kind": "IV"}, "`kind`"),
        (np.array([[1.0, 0.0], [0.0, 1.0]]), {"rate": 0.5, "kind": "II"}, "more than the 0 of 2 samples that can flip"),
        (np.full((2, 2), 0.5), {"rate": None}, 'need `selection="bernoulli"`'),
    ],
)
def test_bad_posteriors(rows: np.ndarray, options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        noise.posterior_dependent([0, 0], rows, **({"rate": 0.5} | options), seed=0)


# --- open set


def test_open_and_closed_parts() -> None:
    labels = np.arange(1000) % 10
    found = noise.open_set(labels, 0.4, 500, open_share=0.25, seed=0)
    replaced = np.asarray(found.replaced)
    assert replaced.sum() == 100
    assert np.array_equal(np.asarray(found.labels)[replaced], labels[replaced])
    assert (np.asarray(found.labels) != labels).sum() == 300
    outlier = np.asarray(found.outlier)
    assert (outlier[~replaced] == -1).all()
    assert len(set(outlier[replaced])) == 100
    assert outlier[replaced].min() >= 0
    assert outlier.max() < 500
    assert found.realized_rate == 0.4
    inclusive = noise.open_set(labels, 1.0, 500, open_share=0.0, include_true=True, seed=0)
    assert 850 < np.asarray(inclusive.flipped).sum() < 950
    per_class = noise.open_set(labels, 0.4, 500, selection="exact_per_class", seed=0)
    assert np.bincount(labels[np.asarray(per_class.replaced)]).tolist() == [40] * 10


def test_outliers_may_run_out() -> None:
    with pytest.raises(ValueError, match="at least the 5 samples to replace, got 3; replace=True"):
        noise.open_set(np.zeros(10, dtype=int), 0.5, 3, num_classes=2, seed=0)
    found = noise.open_set(np.zeros(10, dtype=int), 0.5, 3, num_classes=2, replace=True, seed=0)
    assert np.asarray(found.outlier).max() < 3
    with pytest.raises(ValueError, match="`open_share`"):
        noise.open_set([0, 1], 0.5, 3, open_share=1.5, seed=0)
    with pytest.raises(ValueError, match="`num_outliers`"):
        noise.open_set([0, 1], 0.5, 0, seed=0)


# --- targets that are no class ids


@pytest.mark.parametrize("selection", ["exact", "exact_per_class", "bernoulli"])
def test_positives_go_missing_and_negatives_appear(selection: str) -> None:
    targets = (np.random.default_rng(0).random((2000, 8)) < 0.2).astype(np.float32)
    found = noise.multi_label(targets, missing=0.3, spurious=0.05, selection=selection, seed=0)
    labels = np.asarray(found.labels)
    assert labels.dtype == np.float32
    assert set(np.unique(labels)) == {0.0, 1.0}
    lost, added = ((targets == 1) & (labels == 0)).sum(), ((targets == 0) & (labels == 1)).sum()
    ones = int(targets.sum())
    if selection == "exact":
        assert (lost, added) == (int(0.3 * ones + 0.5), int(0.05 * (targets.size - ones) + 0.5))
    assert abs(lost - 0.3 * ones) < 5 * np.sqrt(ones * 0.21) + 4
    assert found.realized_rate == (lost + added) / targets.size
    assert np.allclose(np.asarray(found.transition), [[0.95, 0.05], [0.3, 0.7]])
    more = noise.multi_label(targets, missing=0.6, spurious=0.05, selection=selection, seed=0)
    assert np.asarray(more.flipped)[np.asarray(found.flipped)].all()
    part = noise.multi_label(targets, missing=0.5, subset=[1, 3], classes=[2], seed=0)
    assert set(zip(*np.nonzero(np.asarray(part.flipped)), strict=True)) <= {(1, 2), (3, 2)}


def test_bad_multi_label_targets() -> None:
    with pytest.raises(ValueError, match=r"`targets` must be 0 and 1, got 2 in row 0, column 1"):
        noise.multi_label(np.array([[0, 2]]), missing=0.5, seed=0)
    with pytest.raises(ValueError, match=r"shape \(N, K\)"):
        noise.multi_label(np.array([0, 1]), missing=0.5, seed=0)
    with pytest.raises(ValueError, match="`missing`"):
        noise.multi_label(np.eye(2), missing=1.5, seed=0)


def test_soft_labels_swap_their_masses() -> None:
    random = np.random.default_rng(0)
    soft = random.dirichlet(np.ones(4), size=500)
    law = noise.LabelNoise("symmetric", 0.4, num_classes=4, seed=0)
    found = noise.soft_label(soft, law)
    hard = law.apply(soft.argmax(1))
    labels = np.asarray(found.labels)
    assert np.array_equal(labels.argmax(1), np.asarray(hard.labels))
    assert np.allclose(np.sort(labels, 1), np.sort(soft, 1))
    assert np.array_equal(np.asarray(found.flipped), np.asarray(hard.flipped))
    untouched = ~np.asarray(found.flipped)
    assert np.array_equal(labels[untouched], soft[untouched])
    with pytest.raises(ValueError, match="`targets`"):
        noise.soft_label(2 * soft, law)


def test_softened_targets_are_the_expectation() -> None:
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=5)
    assert np.allclose(noise.soften(soft, MATRIX), soft @ MATRIX)
    assert np.allclose(noise.soften([0, 2], MATRIX), MATRIX[[0, 2]])
    assert np.allclose(noise.soften([0, 2], MATRIX.T, convention="column"), MATRIX[[0, 2]])


# --- audits


def test_audits_need_the_arrays_that_they_have_only_a_checksum_of() -> None:
    labels = np.arange(50) % 5
    features = np.random.default_rng(0).standard_normal((50, 3))
    audit = noise.instance_dependent(labels, features, 0.4, seed=0).audit()
    with pytest.raises(ValueError, match="`features` must be given: the audit has only its checksum"):
        noise.verify(audit, labels)
    with pytest.raises(ValueError, match="`audit` does not hold with this `features`"):
        noise.verify(audit, labels, features=features + 1)
    masked = noise.symmetric(labels, 0.4, subset=labels > 1, seed=0).audit()
    with pytest.raises(ValueError, match="`subset` must be given"):
        noise.verify(masked, labels)
    assert noise.verify(masked, labels, subset=labels > 1).realized_rate == masked["realized_rate"]
    everywhere = noise.symmetric(labels, 0.4, seed=0).audit()
    with pytest.raises(ValueError, match="`subset` must be None: the audit is of noise on all samples"):
        noise.verify(everywhere, labels, subset=labels > 1)
    both = noise.pair_flip(noise.symmetric(labels, 0.4, subset=labels > 1, seed=0), 0.2, seed=0)
    assert np.array_equal(noise.verify(both.audit(), labels, subset=labels > 1).labels, both.labels)
    with pytest.raises(ValueError, match="`audit` is of method 'magic'; this version knows symmetric"):
        noise.verify({**audit, "method": "magic"}, labels)
    chain = noise.pair_flip(noise.symmetric(labels, 0.4, seed=0), 0.2, seed=0)
    again = noise.verify(chain.audit(), labels)
    assert np.array_equal(again.labels, chain.labels)
    with pytest.raises(ValueError, match="`audit` does not hold"):
        noise.verify({**chain.audit(), "after": {**chain.audit()["after"], "num_flipped": 1}}, labels)


def test_confusion_of_real_annotators() -> None:
    """CIFAR-10N's way: the matrix of a classifier's mistakes, from a small real data set."""
    from sklearn.datasets import load_digits
    from sklearn.naive_bayes import GaussianNB

    pictures, labels = load_digits(return_X_y=True)
    predicted = GaussianNB().fit(pictures[:900], labels[:900]).predict(pictures)
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    many = np.tile(labels, 30)
    found = noise.from_confusion(many, counts, selection="bernoulli", seed=0)
    wanted = counts / counts.sum(1, keepdims=True)
    sizes = np.bincount(many)[:, None]
    shares = empirical_transition(many, np.asarray(found.labels), 10)
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / sizes) + 1e-9).all()


def test_the_audit_of_soft_labels_can_be_verified() -> None:
    import json

    targets = np.random.default_rng(0).dirichlet(np.ones(4), size=200)
    law = noise.LabelNoise("symmetric", 0.4, num_classes=4, seed=1)
    for one, subset in ((law, None), (law, np.arange(200) < 100), (law.then(law), None)):
        found = noise.soft_label(targets, one, subset=subset)
        audit = json.loads(json.dumps(found.audit()))
        again = noise.verify(audit, targets, subset=subset)
        np.testing.assert_array_equal(again.labels, found.labels)
        other = targets.copy()
        other[0] = np.sort(other[0])[::-1]
        other[0, 1:3] = other[0, 2:0:-1]
        with pytest.raises(ValueError, match=r"`audit` is of other (soft )?labels"):
            noise.verify(audit, other, subset=subset)
        with pytest.raises(ValueError, match="`labels` must be the clean soft labels"):
            noise.verify(audit, targets.argmax(axis=1), subset=subset)
