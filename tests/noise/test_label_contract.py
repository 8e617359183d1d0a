"""What holds for every injector of label noise: one table, the same laws."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel import noise
from reference.noise import empirical_transition, half_up

K, N = 6, 900
CLEAN = np.random.default_rng(0).permutation(np.repeat(np.arange(K), N // K))
FEATURES = np.random.default_rng(1).standard_normal((N, 5))
PROTOTYPES = np.random.default_rng(2).standard_normal((K, 4))
COUNTS = np.random.default_rng(3).integers(1, 40, (K, K)) + 100 * np.eye(K, dtype=int)
LOGITS = np.random.default_rng(4).standard_normal((N, K))
POSTERIOR = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
MAPPING = {0: 1, 2: 3, 3: 2}
MATRIX = np.random.default_rng(5).dirichlet(np.ones(K), size=K)

Injector = Callable[..., noise.NoisyLabels]


def by_matrix(labels: Any, rate: float, **options: Any) -> noise.NoisyLabels:
    return noise.from_transition(labels, (1 - rate) * np.eye(K) + rate * MATRIX, **options)


def by_posterior(labels: Any, rate: float, **options: Any) -> noise.NoisyLabels:
    return noise.posterior_dependent(labels, POSTERIOR[: len(labels)], rate, **options)


def by_instance(labels: Any, rate: float, **options: Any) -> noise.NoisyLabels:
    return noise.instance_dependent(labels, FEATURES[: len(labels)], rate, **options)


def with_rate(function: Callable[..., Any], *arrays: Any, **fixed: Any) -> Injector:
    return lambda labels, rate, **options: function(labels, *arrays, rate=rate, **fixed, **options)


INJECTORS: dict[str, Injector] = {
    "symmetric": noise.symmetric,
    "pair_flip": noise.pair_flip,
    "asymmetric": partial(noise.asymmetric, mapping=MAPPING),
    "from_transition": by_matrix,
    "from_confusion": with_rate(noise.from_confusion, counts=COUNTS),
    "similarity": with_rate(noise.similarity, prototypes=PROTOTYPES),
    "instance_dependent": by_instance,
    "posterior_dependent": by_posterior,
    "open_set": partial(noise.open_set, num_outliers=2 * N, open_share=0.3),
}
EXACT = [name for name in INJECTORS if name not in {"instance_dependent", "from_transition"}]
BY_MATRIX = ["symmetric", "pair_flip", "asymmetric", "from_transition", "from_confusion", "similarity"]
ALL = pytest.mark.parametrize("name", INJECTORS)


def labels_of(found: noise.NoisyLabels) -> np.ndarray:
    return np.asarray(found.labels)


@ALL
def test_rate_zero_is_the_identity(name: str) -> None:
    found = INJECTORS[name](CLEAN, 0.0, num_classes=K, seed=1)
    assert np.array_equal(labels_of(found), CLEAN)
    assert not np.asarray(found.flipped).any()
    assert found.realized_rate == 0


@ALL
def test_the_mask_and_the_rates_are_against_the_clean_labels(name: str) -> None:
    before = CLEAN.copy()
    found = INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=1)
    assert np.array_equal(before, CLEAN)
    wrong = labels_of(found) != CLEAN
    if isinstance(found, noise.OpenSetLabels):
        wrong |= np.asarray(found.replaced)
    assert np.array_equal(np.asarray(found.flipped), wrong)
    assert found.realized_rate == wrong.mean()
    assert labels_of(found).min() >= 0
    assert labels_of(found).max() < K
    audit = found.audit()
    assert audit == json.loads(json.dumps(audit))
    assert audit["num_flipped"] == int(wrong.sum())
    assert audit["noisy_class_counts"] == np.bincount(labels_of(found), minlength=K).tolist()
    assert audit["flipped_per_class"] == np.bincount(CLEAN[wrong], minlength=K).tolist()


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None, max_examples=12)
@given(thousandths=st.integers(0, 1000), size=st.integers(10, N))
def test_exact_counts_are_half_up(name: str, thousandths: int, size: int) -> None:
    rate = thousandths / 1000
    found = INJECTORS[name](CLEAN[:size], rate, num_classes=K, seed=thousandths)
    selected = half_up(f"{rate}", size)
    wrong = int(np.asarray(found.flipped).sum())
    if name == "asymmetric":  # of those selected, the mapped ones
        assert wrong <= selected
    else:
        assert wrong == selected


@pytest.mark.parametrize("name", [name for name in EXACT if name not in {"open_set"}])
def test_exact_counts_of_each_class(name: str) -> None:
    found = INJECTORS[name](CLEAN[:700], 0.3, num_classes=K, selection="exact_per_class", seed=1)
    sizes = np.bincount(CLEAN[:700], minlength=K)
    wanted = [half_up("0.3", int(size)) for size in sizes]
    if name == "asymmetric":
        wanted = [count if label in MAPPING else 0 for label, count in enumerate(wanted)]
    assert np.bincount(CLEAN[:700][np.asarray(found.flipped)], minlength=K).tolist() == wanted


@pytest.mark.parametrize("selection", ["exact", "exact_per_class", "bernoulli"])
@pytest.mark.parametrize("name", BY_MATRIX)
def test_labels_follow_the_matrix(name: str, selection: str) -> None:
    many = np.tile(CLEAN, 60)
    found = INJECTORS[name](many, 0.4, num_classes=K, selection=selection, seed=2)
    wanted = np.asarray(found.transition)
    assert np.allclose(wanted.sum(1), 1)
    shares = empirical_transition(many, labels_of(found), K)
    each = N // K * 60
    bound = 5 * np.sqrt(wanted * (1 - wanted) / each) + 1 / each
    assert (np.abs(shares - wanted) <= bound).all()
    assert not shares[wanted == 0].any()


@pytest.mark.parametrize("name", [name for name in INJECTORS if name not in {"from_transition", "open_set"}])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**63 - 1), low=st.floats(0.01, 0.5), high=st.floats(0.5, 1.0))
def test_nested_in_the_rate(name: str, seed: int, low: float, high: float) -> None:
    less = INJECTORS[name](CLEAN, low, num_classes=K, seed=seed)
    more = INJECTORS[name](CLEAN, high, num_classes=K, seed=seed)
    flipped = np.asarray(less.flipped)
    assert np.asarray(more.flipped)[flipped].all()
    assert np.array_equal(labels_of(less)[flipped], labels_of(more)[flipped])


@ALL
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64])
def test_the_values_decide_and_not_the_kind(name: str, dtype: type, device: torch.device) -> None:
    wanted = INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=7)
    found = INJECTORS[name](CLEAN.astype(dtype), 0.4, num_classes=K, seed=7)
    assert found.labels.dtype == dtype
    assert np.array_equal(found.labels, labels_of(wanted))
    tensor = torch.from_numpy(CLEAN).to(device)
    on_device = INJECTORS[name](tensor, 0.4, num_classes=K, seed=7)
    assert isinstance(on_device.labels, torch.Tensor)
    assert on_device.labels.device.type == device.type
    assert np.array_equal(on_device.labels.cpu().numpy(), labels_of(wanted))
    assert on_device.audit()["noisy_checksum"] == wanted.audit()["noisy_checksum"]


@ALL
def test_the_seed_decides(name: str) -> None:
    first, again, other = (labels_of(INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=seed)) for seed in (3, 3, 4))
    flips = [np.asarray(INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=seed).flipped) for seed in (3, 4)]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other) or not np.array_equal(*flips)


@ALL
def test_noise_on_a_part_of_the_samples(name: str) -> None:
    inside = np.arange(N) % 3 == 0
    found = INJECTORS[name](CLEAN, 0.5, num_classes=K, subset=inside, seed=1)
    wrong = np.asarray(found.flipped)
    assert not wrong[~inside].any()
    assert wrong[inside].any()
    assert found.subset_rate == pytest.approx(wrong[inside].mean())
    by_index = INJECTORS[name](CLEAN, 0.5, num_classes=K, subset=np.flatnonzero(inside), seed=1)
    assert np.array_equal(labels_of(by_index), labels_of(found))


@ALL
def test_noise_on_some_classes(name: str) -> None:
    found = INJECTORS[name](CLEAN, 0.5, num_classes=K, classes=[0, 2], seed=1)
    wrong = np.asarray(found.flipped)
    assert set(CLEAN[wrong]) <= {0, 2}
    assert wrong.any()
    if found.transition is not None:
        for label in (1, 3, 4, 5):
            assert np.array_equal(np.asarray(found.transition)[label], np.eye(K)[label])


@pytest.mark.parametrize("name", BY_MATRIX)
def test_noise_on_noise_multiplies_the_matrices(name: str) -> None:
    many = np.tile(CLEAN, 40)
    first = noise.symmetric(many, 0.3, num_classes=K, seed=1)
    both = INJECTORS[name](first, 0.4, num_classes=K, seed=1)
    alone = INJECTORS[name](many, 0.4, num_classes=K, seed=1)
    wanted = np.asarray(first.transition) @ np.asarray(alone.transition)
    assert np.allclose(np.asarray(both.transition), wanted)
    shares = empirical_transition(many, labels_of(both), K)
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / (N // K * 40)) + 1e-3).all()
    assert np.array_equal(np.asarray(both.flipped), labels_of(both) != many)
    assert both.audit()["after"] == first.audit()


@pytest.mark.parametrize("name", ["symmetric", "from_confusion", "similarity"])
def test_relabelling_the_classes_relabels_the_law(name: str) -> None:
    """Class names carry no meaning: the matrix of relabelled inputs is the relabelled matrix."""
    order = np.random.default_rng(8).permutation(K)
    plain = INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=1)
    if name == "symmetric":
        renamed = noise.symmetric(order[CLEAN], 0.4, num_classes=K, seed=1)
    elif name == "similarity":
        moved = np.empty_like(PROTOTYPES)
        moved[order] = PROTOTYPES
        renamed = noise.similarity(order[CLEAN], 0.4, moved, seed=1)
    else:
        counts = np.empty_like(COUNTS)
        counts[np.ix_(order, order)] = COUNTS
        renamed = noise.from_confusion(order[CLEAN], counts, 0.4, seed=1)
    assert np.allclose(np.asarray(renamed.transition)[np.ix_(order, order)], np.asarray(plain.transition))
    assert np.array_equal(np.asarray(renamed.flipped), np.asarray(plain.flipped))


@ALL
def test_audits_can_be_done_again(name: str) -> None:
    found = INJECTORS[name](CLEAN, 0.4, num_classes=K, seed=5)
    audit = json.loads(json.dumps(found.audit()))
    arrays = {"instance_dependent": {"features": FEATURES}, "posterior_dependent": {"posterior": POSTERIOR}}
    again = noise.verify(audit, CLEAN, **arrays.get(name, {}))
    assert np.array_equal(labels_of(again), labels_of(found))
    for key, value in (("num_flipped", 1), ("seed", 6), ("noisy_checksum", "0"), ("realized_rate", 0.1)):
        with pytest.raises(ValueError, match="`audit` does not hold"):
            noise.verify({**audit, key: value}, CLEAN, **arrays.get(name, {}))
    with pytest.raises(ValueError, match="`audit` is of other labels"):
        noise.verify(audit, np.roll(CLEAN, 1), **arrays.get(name, {}))


@ALL
@pytest.mark.parametrize(
    ("labels", "error", "told"),
    [
        (np.array([], dtype=int), ValueError, "`labels`.*at least one"),
        (np.zeros((2, 2), dtype=int), ValueError, "`labels`.*one-dimensional"),
        (np.array([0, -1]), ValueError, "`labels`.*-1"),
        (np.array([0, K]), ValueError, f"`labels`.*{K}"),
        (np.array([0.0, 1.0]), TypeError, "`labels`.*float64"),
    ],
)
def test_bad_labels(name: str, labels: np.ndarray, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        INJECTORS[name](labels, 0.4, num_classes=K, seed=0)


@pytest.mark.parametrize("name", [name for name in INJECTORS if name != "from_transition"])
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_rates(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match="`rate`"):
        INJECTORS[name](CLEAN, rate, num_classes=K, seed=0)


@ALL
def test_bad_seeds_subsets_and_selections(name: str) -> None:
    inject = INJECTORS[name]
    with pytest.raises(ValueError, match="`seed`"):
        inject(CLEAN, 0.4, num_classes=K, seed=-1)
    with pytest.raises(ValueError, match="`subset`"):
        inject(CLEAN, 0.4, num_classes=K, subset=np.zeros(N, dtype=bool), seed=0)
    with pytest.raises(ValueError, match="`subset`"):
        inject(CLEAN, 0.4, num_classes=K, subset=np.ones(3, dtype=bool), seed=0)
    with pytest.raises(ValueError, match="`classes`"):
        inject(CLEAN, 0.4, num_classes=K, classes=[K], seed=0)
    if name != "instance_dependent":
        with pytest.raises(ValueError, match="`selection`"):
            inject(CLEAN, 0.4, num_classes=K, selection="some", seed=0)


# --- specifications

SPECIFIED: dict[str, dict[str, Any]] = {
    "symmetric": {"include_true": True},
    "pair_flip": {},
    "asymmetric": {"mapping": MAPPING},
    "from_transition": {"matrix": 0.5 * np.eye(K) + 0.5 * MATRIX},
    "from_confusion": {"counts": COUNTS},
    "similarity": {"prototypes": PROTOTYPES, "temperature": 0.5},
}
KEYS = [f"sample-{index:05d}" for index in range(N * 20)]


def specified(name: str, **more: Any) -> noise.LabelNoise:
    rate = None if name == "from_transition" else 0.3
    return noise.LabelNoise(name, rate, num_classes=K, seed=11, **SPECIFIED[name], **more)


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_specification_applies_its_injector(name: str) -> None:
    options = {key: value for key, value in SPECIFIED[name].items() if key not in {"matrix", "counts", "prototypes"}}
    arrays = [value for key, value in SPECIFIED[name].items() if key in {"matrix", "counts", "prototypes"}]
    inject = getattr(noise, name)
    rate = {} if name == "from_transition" else {"rate": 0.3}
    names = {"matrix": "matrix", "counts": "counts", "prototypes": "prototypes"}
    given_ = {key: value for key, value in SPECIFIED[name].items() if key in names}
    assert len(arrays) == len(given_)
    wanted = inject(CLEAN, **rate, **given_, **options, num_classes=K, seed=11)
    found = specified(name).apply(CLEAN)
    assert np.array_equal(labels_of(found), labels_of(wanted))
    assert np.allclose(np.asarray(specified(name).transition), np.asarray(wanted.transition))


@pytest.mark.parametrize("name", SPECIFIED)
def test_by_key_is_a_pure_function_with_the_law_of_the_matrix(name: str) -> None:
    law = specified(name)
    many = np.tile(CLEAN, 20)
    together = np.asarray(law.at_many(KEYS, many))
    for place in range(0, len(KEYS), 997):
        assert law.at(KEYS[place], int(many[place])) == together[place]
    order = np.random.default_rng(0).permutation(len(KEYS))[:500]
    assert np.array_equal(np.asarray(law.at_many([KEYS[i] for i in order], many[order])), together[order])
    wanted = np.asarray(law.transition)
    shares = empirical_transition(many, together, K)
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / (N // K * 20)) + 1e-9).all()
    assert not shares[wanted == 0].any()


@pytest.mark.parametrize("name", SPECIFIED)
def test_a_specification_is_a_value(name: str) -> None:
    law = specified(name)
    again = pickle.loads(pickle.dumps(law))  # noqa: S301 # our own
    assert again == law
    assert hash(again) == hash(law)
    assert noise.LabelNoise.from_dict(json.loads(json.dumps(law.to_dict()))) == law
    assert [again.at(key, 2) for key in KEYS[:200]] == [law.at(key, 2) for key in KEYS[:200]]
    assert noise.LabelNoise("symmetric", 0.3, num_classes=K, seed=1) != law
    with pytest.raises(AttributeError):
        law.seed = 3  # type: ignore[misc]


def test_keys_of_all_kinds() -> None:
    law = noise.LabelNoise("symmetric", 1.0, num_classes=1000, seed=0)
    assert law.at("a", 1) == law.at(b"a", 1)
    assert law.at(1, 1) == law.at(np.int64(1), 1)
    assert law.at(1, 1) != law.at("1", 1)
    with pytest.raises(TypeError, match="`key`"):
        law.at(1.5, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`label` must be in"):
        law.at("a", 1000)
    with pytest.raises(ValueError, match="`keys` must be as many as the 2 labels, got 1"):
        law.at_many(["a"], [1, 2])


def test_by_key_nested_and_other_seeds_are_independent() -> None:
    low, high = (noise.LabelNoise("symmetric", rate, num_classes=K, seed=0) for rate in (0.1, 0.6))
    other = noise.LabelNoise("symmetric", 0.6, num_classes=K, seed=1)
    zeros = np.zeros(len(KEYS), dtype=int)
    less, more, third = (np.asarray(law.at_many(KEYS, zeros)) for law in (low, high, other))
    assert np.array_equal(less[less != 0], more[less != 0])
    both = ((more != 0) & (third != 0)).mean()
    assert abs(both - 0.36) < 5 * np.sqrt(0.36 * 0.64 / len(KEYS))


def test_chains() -> None:
    weak = noise.LabelNoise("symmetric", 0.2, num_classes=K, seed=0)
    strong = noise.LabelNoise("pair_flip", 0.5, num_classes=K, seed=0)
    chain = weak.then(strong)
    assert chain == noise.compose(weak, strong)
    wanted = np.asarray(weak.transition) @ np.asarray(strong.transition)
    assert np.allclose(np.asarray(chain.transition), wanted)
    many = np.tile(CLEAN, 20)
    shares = empirical_transition(many, np.asarray(chain.at_many(KEYS, many)), K)
    assert (np.abs(shares - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / (N // K * 20)) + 1e-9).all()
    assert chain.at(KEYS[5], 3) == int(np.asarray(chain.at_many([KEYS[5]], [3]))[0])
    assert np.array_equal(labels_of(chain.apply(CLEAN)), labels_of(strong.apply(weak.apply(CLEAN))))
    assert noise.NoiseChain.from_dict(json.loads(json.dumps(chain.to_dict()))) == chain
    with pytest.raises(ValueError, match="`steps` must agree on `num_classes`"):
        weak.then(noise.LabelNoise("symmetric", 0.2, num_classes=K + 1, seed=0))
    with pytest.raises(ValueError, match="at least one noise"):
        noise.compose()
    with pytest.raises(TypeError, match="`steps` must be LabelNoise"):
        noise.compose(0.3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "told"),
    [
        (("nonsense", 0.2), {}, ValueError, "`kind`"),
        (("symmetric",), {}, TypeError, "`rate` must be given for 'symmetric'"),
        (("symmetric", 0.2), {"mapping": {}}, TypeError, "`mapping` is no option of 'symmetric' noise; it has classes"),
        (("symmetric", 1.2), {}, ValueError, "`rate`"),
        (("asymmetric", 0.2), {}, TypeError, "`mapping` must be given"),
        (("from_transition", 0.2), {"matrix": np.eye(K)}, TypeError, "`rate` must be None"),
        (("from_transition",), {"matrix": np.eye(K + 1)}, ValueError, "`matrix` must have a row for each"),
        (("symmetric", 0.2), {"selection": "some"}, ValueError, "`selection`"),
    ],
)
def test_bad_specifications(arguments: tuple, options: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        noise.LabelNoise(*arguments, num_classes=K, seed=0, **options)


def test_classes_of_a_specification() -> None:
    law = specified("symmetric", classes=[1])
    noisy = np.asarray(law.at_many(KEYS[:N], CLEAN))
    assert set(CLEAN[noisy != CLEAN]) == {1}
    assert np.array_equal(np.asarray(law.transition)[0], np.eye(K)[0])
