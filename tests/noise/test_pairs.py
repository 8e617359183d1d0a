"""Noisy pairs: exact counts, no caption back to its image, feasibility, the laws of each mode, the audit, bad input."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from golden import GOLDEN
from noisymodel.noise import NoisyPairs, derangement, shuffle_pairs, verify_pairs
from noisymodel.noise.pairs import PAIR_MODES, PairMode
from reference.noise import half_up
from reference.pairs import deranged, feasible, feasible_swaps, right

MODES = pytest.mark.parametrize("mode", PAIR_MODES)
FIVE_EACH = np.random.default_rng(0).permutation(np.repeat(np.arange(200), 5))
SEEDS = st.integers(0, 2**63 - 1)
IDS = st.lists(st.integers(0, 3), min_size=2, max_size=7)


def selected(noisy: NoisyPairs) -> np.ndarray:
    return np.flatnonzero(noisy.permutation != np.arange(len(noisy.permutation)))


def test_the_choices_are_those_of_the_annotation() -> None:
    assert get_args(PairMode) == PAIR_MODES


# --- counts


CASES = [case for case in GOLDEN["count_rounding"] if case["half_up"] != 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['rate']} of {case['samples']}")
def test_exact_counts_round_half_up(case: dict) -> None:
    wanted = half_up(case["rate"], case["samples"])
    for mode in ("derangement", "resample"):
        noisy = shuffle_pairs(case["samples"], float(case["rate"]), mode=mode, seed=0)
        assert noisy.mismatched.sum() == wanted
    assert shuffle_pairs(case["samples"], float(case["rate"]), mode="swap", seed=0).mismatched.sum() == wanted // 2 * 2


@MODES
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 300), SEEDS)
def test_what_is_said_is_what_was_done(mode: str, thousandths: int, pairs: int, seed: int) -> None:
    rate = thousandths / 1000
    size = half_up(str(rate), pairs)
    assume(size != 1)
    noisy = shuffle_pairs(pairs, rate, mode=mode, seed=seed)
    moved = noisy.permutation != np.arange(pairs)
    np.testing.assert_array_equal(noisy.mismatched, moved)
    assert noisy.realized_rate == noisy.mismatched.mean()
    assert noisy.requested_rate == rate
    assert noisy.seed == seed
    assert moved.sum() <= size
    if mode != "resample":
        np.testing.assert_array_equal(np.sort(noisy.permutation), np.arange(pairs))
    if mode == "swap":
        np.testing.assert_array_equal(noisy.permutation[noisy.permutation], np.arange(pairs))
        assert moved.sum() == size // 2 * 2
    if mode in {"derangement", "resample"}:
        assert moved.sum() == size


@MODES
def test_rate_zero_is_the_identity(mode: str) -> None:
    noisy = shuffle_pairs([5, 5, 5], 0.0, mode=mode, seed=0)
    np.testing.assert_array_equal(noisy.permutation, [0, 1, 2])
    assert not noisy.mismatched.any()
    assert noisy.realized_rate == 0.0


@pytest.mark.parametrize("rate", [np.float32(0.29), Fraction(29, 100)])
def test_the_decimal_text_of_other_numbers_counts_too(rate: float) -> None:
    assert shuffle_pairs(100, rate, seed=0).mismatched.sum() == 29


# --- images with several captions


@MODES
@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_no_caption_returns_to_its_image(mode: str, rate: float) -> None:
    noisy = shuffle_pairs(FIVE_EACH, rate, mode=mode, seed=3)
    np.testing.assert_array_equal(noisy.mismatched, FIVE_EACH[noisy.permutation] != FIVE_EACH)
    if mode != "permutation":
        assert noisy.mismatched.sum() == len(selected(noisy)) == rate * 1000


@settings(deadline=None, max_examples=50)
@given(IDS, st.integers(0, 10), SEEDS)
@example([0, 0, 1, 1], 8, 0)  # three of two and two: none
@example([0, 0, 0, 1, 2, 3], 10, 0)  # just feasible
def test_feasible_if_and_only_if_some_choice_is(images: list[int], tenths: int, seed: int) -> None:
    size = half_up(f"{tenths / 10}", len(images))
    for mode, wanted in (("derangement", feasible(size, images)), ("swap", feasible_swaps(size // 2 * 2, images))):
        try:
            noisy = shuffle_pairs(images, tenths / 10, mode=mode, seed=seed)
        except ValueError:
            assert not wanted
        else:
            assert wanted
            assert noisy.mismatched.sum() == (size if mode == "derangement" else size // 2 * 2)
            assert all(images[i] != images[j] for i, j in enumerate(noisy.permutation) if noisy.mismatched[i])


@pytest.mark.parametrize("mode", ["derangement", "swap"])
@pytest.mark.parametrize("others", [1, 300], ids=["two images", "many images"])
@pytest.mark.parametrize("pairs", [100, 5000], ids=["few", "many"])
def test_an_image_with_half_of_all_captions(mode: str, others: int, pairs: int) -> None:
    images = np.r_[np.zeros(pairs // 2, np.int64), 1 + np.arange(pairs // 2) % others]
    noisy = shuffle_pairs(images, 1.0, mode=mode, seed=0)
    assert noisy.mismatched.all()
    assert (images[noisy.permutation] != images).all()


def test_pairs_of_a_crowded_image_give_way() -> None:
    images = np.r_[np.zeros(70, np.int64), np.arange(1, 31)]
    noisy = shuffle_pairs(images, 0.6, seed=0)
    assert noisy.mismatched.sum() == 60
    assert (images[noisy.mismatched] == 0).sum() == 30


# --- identical captions


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=6), SEEDS)
@example([(0, 0), (0, 1), (1, 0), (1, 2), (2, 2), (2, 1)], 0)
def test_captions_of_one_key_are_clean(pairs: list[tuple[int, int]], seed: int) -> None:
    images, keys = (list(column) for column in zip(*pairs, strict=True))
    every = tuple(range(len(pairs)))
    for mode in PAIR_MODES:
        try:
            noisy = shuffle_pairs(images, 1.0, mode=mode, caption_keys=keys, seed=seed)
        except ValueError:
            assert mode in {"swap", "resample"} or not deranged(every, images, keys)
            continue
        wanted = [not right(i, j, images, keys) for i, j in enumerate(noisy.permutation)]
        np.testing.assert_array_equal(noisy.mismatched, wanted)
        assert mode == "permutation" or sum(wanted) == (len(pairs) // 2 * 2 if mode == "swap" else len(pairs))


@pytest.mark.parametrize("mode", PAIR_MODES)
@pytest.mark.parametrize("own", [True, False], ids=["an image each", "two captions each"])
@pytest.mark.parametrize("share", [0.1, 0.45, 0.5])
def test_many_alike_captions(mode: str, own: bool, share: float) -> None:
    keys = np.where(np.arange(4000) < 4000 * share, 0, np.arange(4000))
    images = np.arange(4000) // (1 if own else 2)
    noisy = shuffle_pairs(4000 if own else images, 1.0, mode=mode, caption_keys=keys, seed=0)
    assert not (noisy.mismatched & (keys[noisy.permutation] == keys)).any()
    assert not (noisy.mismatched & (images[noisy.permutation] == images)).any()
    assert noisy.mismatched.all() == (mode != "permutation")


def test_a_caption_of_the_image_is_right_whatever_pair_it_comes_from() -> None:
    images, keys = ["x", "x", "y", "z"], ["a dog", "brown dog", "brown dog", "a cat"]
    for seed in range(20):
        noisy = shuffle_pairs(images, 1.0, mode="permutation", caption_keys=keys, seed=seed)
        assert not noisy.mismatched[0] or keys[noisy.permutation[0]] == "a cat"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=6), SEEDS)
@example([(0, 0), (1, 1), (0, 1), (2, 2), (3, 3)], 0)
def test_repair_finds_an_order_if_there_is_one(pairs: list[tuple[int, int]], seed: int) -> None:
    images, keys = (list(column) for column in zip(*pairs, strict=True))
    orders = deranged(tuple(range(len(pairs))), images, keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derangement, "_FEW", 0)  # no order is drawn again
        try:
            noisy = shuffle_pairs(images, 1.0, caption_keys=keys, seed=seed)
        except ValueError:
            found = None
        else:
            found = tuple(noisy.permutation.tolist())
    assert found in orders if orders else found is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=4), SEEDS)
@example([(0, 0), (0, 1), (1, 0), (1, 2)], 0)
def test_four_captions_are_swapped_if_they_can_be(pairs: list[tuple[int, int]], seed: int) -> None:
    images, keys = (list(column) for column in zip(*pairs, strict=True))

    def wrong(one: int, other: int) -> bool:
        return not right(one, other, images, keys) and not right(other, one, images, keys)

    for again in range(5):
        possible = [
            (a, b, c, d) for a, b, c, d in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)) if wrong(a, b) and wrong(c, d)
        ]
        try:
            shuffle_pairs(images, 1.0, mode="swap", caption_keys=keys, seed=(seed + again) % 2**63)
        except ValueError:
            assert not possible
        else:
            assert possible


def test_the_only_pairing_is_found_from_any_other() -> None:
    # caption 0 is right for image 1 too, so that of the first four pairs only 0 with 3 and 1 with 2 are all wrong
    matches = derangement.Matches(np.array([0, 0, 1, 2, 1]), np.array([0, 1, 2, 3, 0]))
    for seed in range(20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(derangement, "_PROGRESS", 0.0)  # by search alone
            halves = derangement.pair_off(matches, np.arange(4), np.random.default_rng(seed))
        assert {frozenset(pair) for pair in zip(*map(np.ndarray.tolist, halves), strict=True)} == {
            frozenset({0, 3}),
            frozenset({1, 2}),
        }


def test_an_order_that_no_exchange_of_two_finds_is_matched() -> None:
    images, keys = np.repeat([0, 1, 2], 200), np.tile([0, 1], 300)
    keys[400:] = 2
    keys[200:400] = np.tile([3, 4], 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derangement, "_FEW", 0)
        patch.setattr(derangement, "_exchange_by_search", lambda *_: False)
        patch.setattr(derangement, "_PROGRESS", 0.0)
        noisy = shuffle_pairs(images, 1.0, caption_keys=keys, seed=0)
    assert noisy.mismatched.all()
    assert (images[noisy.permutation] != images).all()
    np.testing.assert_array_equal(np.sort(noisy.permutation), np.arange(600))


# --- the law of each mode


def test_small_derangements_are_uniform() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(4500):
        order = tuple(shuffle_pairs(4, 1.0, seed=seed).permutation.tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 9
    assert all(abs(count - 500) < 5 * np.sqrt(500) for count in counts.values())


def test_large_derangements_are_as_uniform_ones() -> None:
    images = np.repeat(np.arange(600), 5)
    cycles = []
    for seed in range(40):
        noisy = shuffle_pairs(images, 1.0, seed=seed)
        assert (images[noisy.permutation] != images).all()
        cycles.append(int((noisy.permutation[noisy.permutation] == np.arange(3000)).sum()))
    assert np.mean(cycles) == pytest.approx(1.0, abs=5 * np.sqrt(2 / 40))  # in 2-cycles: E = 1, Var = 2


def test_the_choice_is_uniform() -> None:
    chosen = sum(shuffle_pairs(20, 0.4, seed=seed).mismatched.astype(int) for seed in range(500))
    assert (np.abs(chosen - 200) < 5 * np.sqrt(500 * 0.24)).all()


def test_some_captions_of_a_plain_permutation_come_back() -> None:
    expected = 1 + 4 * 2999 / 9999  # of 5 captions each: 1, and 4 siblings, each selected with (m - 1)/(n - 1)
    images = np.arange(10_000) // 5
    back = [3000 - shuffle_pairs(images, 0.3, mode="permutation", seed=seed).mismatched.sum() for seed in range(200)]
    assert np.mean(back) == pytest.approx(expected, abs=5 * np.sqrt(expected / 200))
    single = [3000 - shuffle_pairs(10_000, 0.3, mode="permutation", seed=seed).mismatched.sum() for seed in range(200)]
    assert np.mean(single) == pytest.approx(1.0, abs=5 * np.sqrt(1 / 200))


def test_swaps_are_uniform() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(1500):
        order = tuple(shuffle_pairs(4, 1.0, mode="swap", seed=seed).permutation.tolist())
        counts[order] = counts.get(order, 0) + 1
    assert sorted(counts) == [(1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]
    assert all(abs(count - 500) < 5 * np.sqrt(500) for count in counts.values())


@pytest.mark.parametrize("images", [None, [0, 1, 1, 1, 1, 1]], ids=["an image each", "few are wrong"])
def test_resampled_captions_are_uniform_among_all_that_are_wrong(images: list[int] | None) -> None:
    counts = np.zeros((6, 6))
    for seed in range(600):
        noisy = shuffle_pairs(images or 6, 1.0, mode="resample", seed=seed)
        counts[np.arange(6), noisy.permutation] += 1
    ids = np.array(images or range(6))
    allowed = ids[:, None] != ids
    expected = 600 * allowed / allowed.sum(1, keepdims=True)
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()
    partial = [shuffle_pairs(100, 0.1, mode="resample", seed=seed) for seed in range(100)]
    drawn = np.concatenate([noisy.permutation[noisy.mismatched] for noisy in partial])
    assert len(drawn) == 1000
    assert drawn.mean() == pytest.approx(49.5, abs=5 * 29 / np.sqrt(1000)), "from all pairs"


# --- determinism


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(2, 200))
def test_higher_rates_add_to_what_lower_rates_selected_and_modes_agree(seed: int, pairs: int) -> None:
    rates = [rate for rate in (0.0, 0.1, 0.25, 0.6, 1.0) if half_up(str(rate), pairs) != 1]
    runs = [shuffle_pairs(pairs, rate, seed=seed) for rate in rates]
    for lower, higher in pairwise(runs):
        assert (higher.mismatched | ~lower.mismatched).all()
    for rate, run in zip(rates, runs, strict=True):
        np.testing.assert_array_equal(run.mismatched, shuffle_pairs(pairs, rate, mode="resample", seed=seed).mismatched)


@MODES
def test_the_names_of_images_do_not_matter(mode: str) -> None:
    names = [f"image {value}" for value in FIVE_EACH]
    kinds = [
        FIVE_EACH.astype(np.int32), FIVE_EACH.astype(np.uint8), FIVE_EACH + 7, FIVE_EACH * 10**12 - 3, names,
        np.array(names), np.array(names, dtype=object), FIVE_EACH.tolist(),
        [(0, value) for value in FIVE_EACH.tolist()], torch.from_numpy(FIVE_EACH),
    ]  # fmt: skip
    first = shuffle_pairs(FIVE_EACH, 0.4, mode=mode, seed=9)
    for kind in kinds:
        again = shuffle_pairs(kind, 0.4, mode=mode, seed=9)
        np.testing.assert_array_equal(again.permutation, first.permutation)
    keyed = shuffle_pairs(1000, 0.4, mode=mode, caption_keys=names, seed=9)
    np.testing.assert_array_equal(keyed.permutation, first.permutation)


def test_torch_gives_torch(device: torch.device) -> None:
    images = torch.arange(100, device=device) // 2
    noisy = shuffle_pairs(images, 0.5, seed=0)
    assert isinstance(noisy.permutation, torch.Tensor)
    assert noisy.permutation.dtype == torch.int64
    assert noisy.mismatched.dtype == torch.bool
    assert noisy.permutation.device == noisy.mismatched.device == images.device
    assert shuffle_pairs(100, 0.5, seed=0).permutation.dtype == np.int64


def test_seeds_and_modes_draw_different_orders() -> None:
    orders = [
        shuffle_pairs(50, 1.0, mode=mode, seed=seed).permutation.tolist() for mode in PAIR_MODES for seed in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 8


def test_image_ids_are_not_changed_and_the_result_is_frozen() -> None:
    images = FIVE_EACH.copy()
    noisy = shuffle_pairs(images, 0.5, caption_keys=images, seed=0)
    np.testing.assert_array_equal(images, FIVE_EACH)
    with pytest.raises(FrozenInstanceError):
        noisy.seed = 1


# --- the audit


@MODES
@pytest.mark.parametrize("rate", [0.3, Fraction(1, 3)])
def test_an_audit_through_json_verifies(mode: str, rate: float) -> None:
    names = [f"image {value}" for value in FIVE_EACH]
    for ids, keys in ((1000, None), (FIVE_EACH, np.arange(1000) // 2), (names, None)):
        noisy = shuffle_pairs(ids, rate, mode=mode, caption_keys=keys, seed=5)
        audit = json.loads(json.dumps(noisy.audit()))
        again = verify_pairs(audit, ids, caption_keys=keys)
        np.testing.assert_array_equal(again.permutation, noisy.permutation)
        assert audit["num_mismatched"] == noisy.mismatched.sum()
        assert audit["num_selected"] in {299, 300, 332, 333}
        assert audit["num_pairs"] == 1000
        assert audit["seed"] == 5


def test_an_audit_is_a_copy() -> None:
    noisy = shuffle_pairs(10, 0.4, seed=0)
    noisy.audit()["parameters"]["rate"] = 1
    assert noisy.audit()["parameters"]["rate"] == 0.4


def test_an_audit_that_does_not_hold() -> None:
    audit = shuffle_pairs(FIVE_EACH, 0.4, caption_keys=np.arange(1000), seed=0).audit()
    with pytest.raises(ValueError, match="its inputs is"):
        verify_pairs(audit, FIVE_EACH[::-1], caption_keys=np.arange(1000))
    with pytest.raises(ValueError, match="its inputs is"):
        verify_pairs(audit, FIVE_EACH, caption_keys=np.arange(1000) + 1)
    with pytest.raises(ValueError, match="its num_mismatched is 401, drawn again 400"):
        verify_pairs({**audit, "num_mismatched": 401}, FIVE_EACH, caption_keys=np.arange(1000))
    with pytest.raises(ValueError, match="`audit` must be of `shuffle_pairs`, got 'symmetric'"):
        verify_pairs({"method": "symmetric"}, 10)
    strings = shuffle_pairs(["a", "bc", "d"], 1.0, seed=0).audit()
    with pytest.raises(ValueError, match="its inputs is"):
        verify_pairs(strings, ["ab", "c", "d"])


# --- bad input


@pytest.mark.parametrize("mode", ["derangement", "swap"])
def test_one_image_with_too_many_captions(mode: str) -> None:
    with pytest.raises(ValueError, match=r"at most 4 may be of one image, but image x has 7, so that only 7 can be"):
        shuffle_pairs(["x"] * 7 + ["a", "b", "c"], 0.8, mode=mode, seed=0)
    with pytest.raises(ValueError, match=r"at most 5 may be of one caption key, but caption key 9 has 6"):
        shuffle_pairs(10, 1.0, mode=mode, caption_keys=[9] * 6 + [1, 2, 3, 4], seed=0)


def test_one_pair_alone() -> None:
    with pytest.raises(ValueError, match="`rate` selects 1 of 10 pairs, and one caption alone"):
        shuffle_pairs(10, 0.1, seed=0)
    assert shuffle_pairs(10, 0.1, mode="resample", seed=0).mismatched.sum() == 1
    assert shuffle_pairs(10, 0.1, mode="swap", seed=0).mismatched.sum() == 0


def test_resampling_where_no_caption_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"all 3 captions are right for the image of pair \d: it can get no other"):
        shuffle_pairs([4, 4, 4], 1.0, mode="resample", seed=0)
    with pytest.raises(ValueError, match="all 1 captions are right"):
        shuffle_pairs(1, 1.0, mode="resample", seed=0)


def test_keys_that_allow_no_order() -> None:
    images, keys = np.arange(4000) // 2, np.where(np.arange(4000) % 2 == 0, -1, np.arange(4000))
    with pytest.raises(ValueError, match=r"2000 of them are like caption \d+, for which 0 of the images selected"):
        shuffle_pairs(images, 1.0, caption_keys=keys, seed=0)
    with pytest.raises(ValueError, match="have no order that is wrong for every image"):
        shuffle_pairs(images, 1.0, mode="swap", caption_keys=keys, seed=0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (0, ValueError, "`num_pairs_or_image_ids` must be at least 1, got 0"),
        (2.5, TypeError, "`num_pairs_or_image_ids` must be an integer, got 2.5"),
        ([], ValueError, "`num_pairs_or_image_ids` must be one-dimensional with at least one id"),
        (np.zeros((2, 2), int), ValueError, r"one-dimensional with at least one id, got shape \(2, 2\)"),
        (np.zeros(3), TypeError, "`num_pairs_or_image_ids` must be integers or strings, got float64"),
        ("abc", TypeError, "must be a sequence of ids, got 'abc'"),
        ({1, 2}, TypeError, "must be a sequence of ids, got "),
        ([[1], [2]], TypeError, "`num_pairs_or_image_ids` must be hashable, got a sequence of list"),
    ],
)
def test_bad_image_ids(given: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        shuffle_pairs(given, 0.5, seed=0)


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match="`caption_keys` must be one for each of the 10 pairs, got 3"):
        shuffle_pairs(10, 0.5, caption_keys=[1, 2, 3], seed=0)
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\], got 1.5"):
        shuffle_pairs(10, 1.5, seed=0)
    with pytest.raises(ValueError, match="`mode` must be one of 'derangement', 'permutation', 'swap', 'resample'"):
        shuffle_pairs(10, 0.5, mode="shuffle", seed=0)
    with pytest.raises(ValueError, match=r"`seed` must be in \[0, 2\*\*63\), got -1"):
        shuffle_pairs(10, 0.5, seed=-1)
