"""Noise in token sequences: counts, what each mode does, special tokens and padding, nesting, kinds, bad input."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.noise import corrupt_tokens
from noisymodel.noise.tokens import TOKEN_MODES, TOKEN_SELECTIONS
from reference.noise import half_up

PAD, START, END, MASK = 0, 1, 2, 3
VOCABULARY = 60
OPTIONS = {
    "vocabulary_size": VOCABULARY, "mask_token": MASK, "pad_token": PAD, "special_tokens": {START, END},
}  # fmt: skip
MODES = pytest.mark.parametrize("mode", TOKEN_MODES)
SELECTIONS = pytest.mark.parametrize("selection", TOKEN_SELECTIONS)
RATES = [0.0, 0.15, 0.4, 1.0]


def batch(rows: int = 200, width: int = 24, left: bool = False) -> np.ndarray:
    """Sequences of 2 to ``width`` tokens between START and END, padded."""
    generator = np.random.default_rng(5)
    tokens = np.full((rows, width), PAD)
    for row in tokens:
        length = int(generator.integers(2, width + 1))
        place = row[width - length :] if left else row[:length]
        place[:] = [START, *generator.integers(4, VOCABULARY, size=length - 2), END]
    return tokens


TOKENS = batch()
ELIGIBLE = TOKENS > MASK


def without(row: np.ndarray, deleted: np.ndarray, left: bool) -> list[int]:
    """A row without its deleted tokens, padded again."""
    kept = [int(token) for token, gone in zip(row, deleted, strict=True) if not gone and token != PAD]
    padding = [PAD] * (len(row) - len(kept))
    return padding + kept if left else kept + padding


@MODES
@pytest.mark.parametrize("rate", [0.0, 0.15, 0.29, 1.0, Fraction(1, 3)])
def test_exact_counts(mode: str, rate: float) -> None:
    noisy = corrupt_tokens(TOKENS, rate, mode=mode, **OPTIONS, seed=0)
    eligible = int(ELIGIBLE.sum())
    changed = int(noisy.changed.sum())
    assert noisy.num_eligible == eligible
    assert noisy.requested_rate == float(rate)
    assert noisy.realized_rate == changed / eligible
    assert noisy.seed == 0
    assert not (noisy.changed & ~ELIGIBLE).any()
    if mode == "swap":
        pairs = min(round(eligible * rate / 2), int((ELIGIBLE.sum(axis=1) // 2).sum()))
        assert 2 * pairs * 0.9 <= changed <= 2 * pairs  # the rest were equal tokens
    else:
        assert changed == (round(eligible / 3) if rate == Fraction(1, 3) else half_up(str(rate), eligible))


@MODES
def test_bernoulli_counts_vary(mode: str) -> None:
    counts = [
        corrupt_tokens(TOKENS, 0.3, mode=mode, selection="bernoulli", **OPTIONS, seed=seed).num_eligible
        * corrupt_tokens(TOKENS, 0.3, mode=mode, selection="bernoulli", **OPTIONS, seed=seed).realized_rate
        for seed in range(10)
    ]
    assert len(set(counts)) > 5
    total = ELIGIBLE.sum()
    slack = 5 * np.sqrt(0.21 * total * (2 if mode == "swap" else 1) / 10)
    equal = 0.05 * 0.3 * total if mode == "swap" else 0
    assert abs(np.mean(counts) - 0.3 * total) <= slack + equal


@MODES
@SELECTIONS
def test_special_tokens_and_padding_stay(mode: str, selection: str) -> None:
    noisy = corrupt_tokens(TOKENS, 0.6, mode=mode, selection=selection, **OPTIONS, seed=1)
    for before, after in zip(TOKENS.tolist(), noisy.tokens.tolist(), strict=True):
        for token in (START, END):
            assert before.count(token) == after.count(token)
        if mode != "delete":
            assert [place for place, token in enumerate(before) if token < 4] == [
                place for place, token in enumerate(after) if token < 4 and (mode != "mask" or token != MASK)
            ]
    np.testing.assert_array_equal(noisy.attention_mask, noisy.tokens != PAD)


def test_substitutes_are_uniform() -> None:
    tokens = np.full((1, 56_000), 10)
    drawn = corrupt_tokens(tokens, 1.0, **OPTIONS, seed=0).tokens
    counts = np.bincount(drawn[0], minlength=VOCABULARY)
    assert not counts[[PAD, START, END, MASK, 10]].any()
    others = np.delete(counts, [PAD, START, END, MASK, 10])
    assert (np.abs(others - 56_000 / 55) < 5 * np.sqrt(56_000 / 55)).all()
    drawn = corrupt_tokens(tokens, 1.0, **OPTIONS, include_true=True, seed=0)
    assert (drawn.tokens == 10).sum() == pytest.approx(1000, abs=5 * np.sqrt(1000))
    assert drawn.realized_rate == (drawn.tokens != 10).mean() < 1


def test_masking() -> None:
    noisy = corrupt_tokens(
        TOKENS, 0.4, mode="mask", mask_token=MASK, pad_token=PAD, special_tokens=[START, END], seed=0
    )
    assert (noisy.tokens[noisy.changed] == MASK).all()
    np.testing.assert_array_equal(noisy.tokens[~noisy.changed], TOKENS[~noisy.changed])
    already = corrupt_tokens([5, MASK, 6], 1.0, mode="mask", mask_token=MASK, seed=0)
    assert already.num_eligible == already.changed.sum() == 2


@pytest.mark.parametrize("left", [False, True], ids=["padded right", "padded left"])
def test_deleting_moves_the_rest_together(left: bool) -> None:
    tokens = batch(left=left)
    noisy = corrupt_tokens(tokens, 0.5, mode="delete", **OPTIONS, seed=0)
    for row, deleted, after in zip(tokens, noisy.changed, noisy.tokens.tolist(), strict=True):
        full = not (row == PAD).any()
        assert after == without(row, deleted, left and not full)
    assert noisy.tokens.shape == tokens.shape


def test_deleting_from_one_sequence() -> None:
    tokens = [START, 5, 6, 7, 8, END]
    shorter = corrupt_tokens(tokens, 0.5, mode="delete", special_tokens={START, END}, seed=0)
    assert shorter.tokens.tolist() == [token for token, gone in zip(tokens, shorter.changed, strict=True) if not gone]
    assert shorter.attention_mask.tolist() == [1] * 4
    padded = corrupt_tokens(tokens, 0.5, mode="delete", special_tokens={START, END}, pad_token=PAD, seed=0)
    assert padded.tokens.tolist() == [*shorter.tokens.tolist(), PAD, PAD]
    assert padded.attention_mask.tolist() == [1] * 4 + [0] * 2
    nothing = corrupt_tokens([5, 6], 1.0, mode="delete", seed=0)
    assert nothing.tokens.shape == (0,)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=30), st.integers(0, 10), st.integers(0, 2**63 - 1))
def test_swaps_keep_the_multiset_of_every_row(row: list[int], tenths: int, seed: int) -> None:
    tokens = np.array([row, row[::-1]])
    noisy = corrupt_tokens(tokens, tenths / 10, mode="swap", special_tokens={0}, seed=seed)
    for before, after in zip(tokens, noisy.tokens, strict=True):
        assert Counter(before.tolist()) == Counter(after.tolist())
    np.testing.assert_array_equal(noisy.changed, noisy.tokens != tokens)
    assert ((noisy.tokens == 0) == (tokens == 0)).all()


def test_swaps_are_disjoint_and_any_two_of_a_row_can_meet() -> None:
    met = set()
    for seed in range(60):
        noisy = corrupt_tokens([[10, 11, 12, 13], [20, 21, 22, 23]], 0.5, mode="swap", seed=seed).tokens
        assert (noisy // 10 == [[1], [2]]).all()
        moved = noisy[0] != [10, 11, 12, 13]
        met.add(tuple(np.flatnonzero(moved)))
    assert {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)} <= met


@MODES
@SELECTIONS
def test_higher_rates_add_to_lower_rates(mode: str, selection: str) -> None:
    runs = [corrupt_tokens(TOKENS, rate, mode=mode, selection=selection, **OPTIONS, seed=3) for rate in RATES]
    np.testing.assert_array_equal(runs[0].tokens, TOKENS)
    for lower, higher in pairwise(runs):
        assert (higher.changed | ~lower.changed).all()
        if mode != "delete":
            np.testing.assert_array_equal(higher.tokens[lower.changed], lower.tokens[lower.changed])


@MODES
def test_kinds_dtypes_and_devices(mode: str, device: torch.device) -> None:
    given, mask = TOKENS.copy(), TOKENS != PAD
    first = corrupt_tokens(given, 0.4, mode=mode, **OPTIONS, seed=2)
    np.testing.assert_array_equal(given, TOKENS)
    for dtype in (np.uint8, np.int16, np.int32):
        again = corrupt_tokens(TOKENS.astype(dtype), 0.4, mode=mode, **OPTIONS, seed=2)
        assert again.tokens.dtype == dtype
        np.testing.assert_array_equal(again.tokens, first.tokens)
    tensor = torch.from_numpy(TOKENS).to(device)
    attention = torch.from_numpy(mask).to(device, torch.int32)
    noisy = corrupt_tokens(tensor, 0.4, mode=mode, **OPTIONS, attention_mask=attention, seed=2)
    assert noisy.tokens.dtype == tensor.dtype
    assert noisy.attention_mask.dtype == torch.int32
    assert noisy.tokens.device == noisy.changed.device == noisy.attention_mask.device == tensor.device
    np.testing.assert_array_equal(noisy.tokens.cpu(), first.tokens)
    np.testing.assert_array_equal(noisy.attention_mask.cpu(), first.attention_mask)
    listed = corrupt_tokens(TOKENS.tolist(), 0.4, mode=mode, **OPTIONS, seed=2)
    np.testing.assert_array_equal(listed.tokens, first.tokens)
    other = corrupt_tokens(TOKENS, 0.4, mode=mode, **OPTIONS, seed=4)
    assert (other.tokens != first.tokens).any()


def test_the_attention_mask_rules_over_the_padding_token() -> None:
    tokens, mask = np.array([[9, 9, 9, 9]]), np.array([[1, 0, 1, 0]])
    noisy = corrupt_tokens(tokens, 1.0, mode="mask", mask_token=MASK, attention_mask=mask, seed=0)
    np.testing.assert_array_equal(noisy.tokens, [[MASK, 9, MASK, 9]])
    np.testing.assert_array_equal(noisy.attention_mask, mask)
    nothing = corrupt_tokens(tokens, 1.0, mode="mask", mask_token=MASK, attention_mask=mask * 0, seed=0)
    assert nothing.realized_rate == nothing.num_eligible == 0


def test_a_padding_token_below_the_vocabulary() -> None:
    noisy = corrupt_tokens([5, 6, -100], 1.0, vocabulary_size=10, pad_token=-100, seed=0)
    assert noisy.tokens[2] == -100
    assert noisy.changed.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("tokens", "options", "error", "message"),
    [
        ([1.5], {}, TypeError, "`tokens` must be integers, got float64"),
        ([], {}, ValueError, r"must have shape \(L,\) or \(B, L\) and not be empty, got \(0,\)"),
        (np.zeros((1, 1, 1), int), {}, ValueError, r"not be empty, got \(1, 1, 1\)"),
        ([1, 2], {"rate": 2}, ValueError, r"`rate` must be in \[0, 1\], got 2"),
        ([1, 2], {"mode": "insert"}, ValueError, "`mode` must be one of 'substitute', 'mask', 'delete', 'swap'"),
        ([1, 2], {"selection": "exact_per_class"}, ValueError, "`selection` must be one of 'exact', 'bernoulli'"),
        ([1, 2], {}, TypeError, "`vocabulary_size` must be given for mode='substitute'"),
        ([1, 2], {"mode": "mask"}, TypeError, "`mask_token` must be given for mode='mask'"),
        ([[1, 2]], {"mode": "delete"}, TypeError, "`pad_token` must be given for mode='delete' of a batch"),
        ([1, 9], {"vocabulary_size": 9}, ValueError, r"must be in \[0, vocabulary_size = 9\), got 1 to 9"),
        ([-1, 3], {"vocabulary_size": 9}, ValueError, r"vocabulary_size = 9\), got -1 to 3"),
        (np.array([1], np.uint8), {"vocabulary_size": 300}, ValueError, "are uint8, which cannot hold"),
        ([1], {"vocabulary_size": 2, "special_tokens": [0]}, ValueError, "tokens that are not special, got 1"),
        ([1], {"special_tokens": [-1]}, ValueError, "`special_tokens` must be at least 0, got -1"),
        ([1, 2], {"attention_mask": np.ones(3)}, ValueError, r"must have shape \(2,\), got \(3,\)"),
        ([1, 2], {"vocabulary_size": 9, "seed": -1}, ValueError, "`seed` must be in"),
    ],
)  # fmt: skip
def test_bad_input(tokens: object, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        corrupt_tokens(tokens, **{"rate": 0.5, "seed": 0, **options})
