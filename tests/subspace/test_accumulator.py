"""Subspaces and CKA of rows that come in batches: those of all rows, however they were cut, joined, kept and sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import SpectrumAccumulator
from noisymodel.subspace import (
    SubspaceAccumulator,
    dominant_rotation,
    linear_cka,
    principal_angles,
)
from ranks import Ranks
from reference.subspace import gaussian


def related(rows: int, mean: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, 4) of the same samples by two models."""
    a, b = gaussian(rows, 4, seed), gaussian(rows, 4, seed + 1)
    return a + mean * np.array([1.0, -2.0, 0.5, 0.0]), b + a + mean * np.array([0.3, 1.0, 1.0, 2.0])


def accumulated(a: np.ndarray, b: np.ndarray, batch: int = 1000) -> SubspaceAccumulator:
    pairs = SubspaceAccumulator(a.shape[1], b.shape[1])
    for start in range(0, len(a), batch):
        pairs.update(a[start : start + batch], b[start : start + batch])
    return pairs


def agree(pairs: SubspaceAccumulator, a: np.ndarray, b: np.ndarray) -> None:
    """With the functions of whole matrices."""
    assert pairs.count == len(a)
    for debiased in (False, True):
        assert pairs.linear_cka(debiased=debiased) == pytest.approx(linear_cka(a, b, debiased=debiased), rel=1e-9)
    for k in (1, 2, 3):
        np.testing.assert_allclose(pairs.principal_angles(k=k), principal_angles(a, b, k=k), rtol=1e-7, atol=1e-9)


@given(
    rows=st.integers(4, 40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    merge=st.booleans(),
    mean=st.sampled_from([0.0, 10.0, 1e3]),
    seed=st.integers(0, 50),
)
@settings(deadline=None, max_examples=40)
def test_streaming_is_the_whole(rows: int, cuts: list[int], merge: bool, mean: float, seed: int) -> None:
    a, b = gaussian(rows, 3, seed, mean), gaussian(rows, 3, seed + 1)
    b[:, 0] += a[:, 0] - mean
    parts = [np.split(x, sorted(min(cut, rows) for cut in cuts)) for x in (a, b)]
    total = SubspaceAccumulator(3)
    for one, two in zip(*parts, strict=True):
        if merge:
            other = SubspaceAccumulator(3)
            other.update(one, two)
            assert total.merge(other) is total
        else:
            total.update(one, two)
    assert total.count == rows
    for debiased in (False, True):
        expected = linear_cka(a, b, debiased=debiased)
        assert total.linear_cka(debiased=debiased) == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)
    expected_angles = principal_angles(a, b, k=2)
    np.testing.assert_allclose(total.principal_angles(k=2), expected_angles, rtol=1e-4, atol=1e-5)
    assert total.dominant_rotation(k=1) == pytest.approx(dominant_rotation(a, b, k=1), rel=1e-5, abs=1e-6)


def test_sides_of_different_width_stream_too() -> None:
    a, b = gaussian(30, 3), gaussian(30, 7, seed=1)
    pairs = SubspaceAccumulator(3, 7)
    pairs.update(a[:11], b[:11])
    pairs.update(torch.from_numpy(a[11:]), torch.from_numpy(b[11:]))
    assert pairs.linear_cka() == pytest.approx(linear_cka(a, b))
    with pytest.raises(ValueError, match="angles need as many features on both sides, got 3 and 7"):
        pairs.principal_angles(k=1)


def test_a_bad_batch_leaves_the_state() -> None:
    pairs = SubspaceAccumulator(3)
    pairs.update(gaussian(6, 3), gaussian(6, 3, 1))
    before = pairs.linear_cka()
    bad = gaussian(4, 3)
    bad[2, 0] = np.inf
    with pytest.raises(ValueError, match="`b` must be finite: row 8 holds"):
        pairs.update(gaussian(4, 3), bad)
    with pytest.raises(ValueError, match="got 4 and 3 rows"):
        pairs.update(gaussian(4, 3), gaussian(3, 3))
    assert (pairs.count, pairs.linear_cka()) == (6, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SubspaceAccumulator(3).linear_cka(), "there are no rows yet: call `update` first"),
        (lambda: SubspaceAccumulator(3).update(gaussian(5, 4), gaussian(5, 3)), r"`a` must have shape \(\.\.\., 3\)"),
        (lambda: SubspaceAccumulator(3).merge(SubspaceAccumulator(3, 4)), r"`other` must be of \(3, 3\) features"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@given(st.integers(0, 50), st.randoms(use_true_random=False), st.sampled_from([0.0, 1e4]))
@settings(deadline=None, max_examples=20)
def test_any_tree_of_merges(seed: int, order, mean: float) -> None:
    a, b = related(60, mean, seed)
    cuts = sorted(order.randrange(61) for _ in range(4))
    pieces = [accumulated(one, two) for one, two in zip(np.split(a, cuts), np.split(b, cuts), strict=True)]
    while len(pieces) > 1:
        one = pieces.pop(order.randrange(len(pieces)))
        pieces[order.randrange(len(pieces))].merge(one)
    agree(pieces[0], a, b)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1e4, 1e6])
@pytest.mark.parametrize("batch", [7, 100])
def test_large_means_do_not_drown_the_directions(mean: float, batch: int) -> None:
    a, b = related(300, mean)
    agree(accumulated(a, b, batch), a, b)


def test_empty_is_the_identity_of_merging() -> None:
    a, b = related(20, 1.0)
    full = accumulated(a, b)
    for total in (SubspaceAccumulator(4).merge(full), accumulated(a, b).merge(SubspaceAccumulator(4))):
        assert (total.count, total.linear_cka(debiased=True)) == (20, full.linear_cka(debiased=True))


@pytest.mark.parametrize("rows", [0, 20])
def test_state_goes_through_a_file(rows: int, tmp_path: Path) -> None:
    a, b = gaussian(20, 3, mean=5.0), gaussian(20, 5, seed=1)
    half = SubspaceAccumulator(3, 5)
    half.update(a[:rows], b[:rows])
    half.save(tmp_path / "pairs.safetensors")
    loaded = SubspaceAccumulator.load(tmp_path / "pairs.safetensors")
    assert (loaded.settings(), loaded.count) == (half.settings(), rows)
    for total in (half, loaded):
        total.update(a, b)
    assert loaded.linear_cka(debiased=True) == half.linear_cka(debiased=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.safetensors"]


def test_a_state_is_a_copy() -> None:
    pairs = accumulated(*related(20, 1.0))
    before, state = pairs.linear_cka(), pairs.state_dict()
    other = SubspaceAccumulator(4)
    other.load_state_dict(state)
    for tensor in state.values():
        tensor.zero_()
    assert pairs.linear_cka() == other.linear_cka() == before


def test_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pairs = accumulated(*related(20, 1.0))
    state = pairs.state_dict()
    with pytest.raises(ValueError, match=r"of 4 and 3 features, with 'origin_b' of shape \(3,\), got \(4,\)"):
        SubspaceAccumulator(4, 3).load_state_dict(state)
    del state["st"]
    with pytest.raises(ValueError, match=r"got none of \['st'\]"):
        SubspaceAccumulator(4).load_state_dict(state)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ValueError, match="junk is damaged or no safetensors file"):
        SubspaceAccumulator.load(tmp_path / "junk")
    SpectrumAccumulator(4).save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other was not written by SubspaceAccumulator\.save"):
        SubspaceAccumulator.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        SubspaceAccumulator.load(tmp_path / "none")


# --- several processes

SHARES = [(30, 20), (0, 25), (25, 0), (0, 0), (3, 60)]


def reduced(rank: int) -> list[dict[str, list[float]]]:
    found = []
    for sizes in SHARES:
        a, b = related(sum(sizes), 1e4)
        own = accumulated(*(np.split(x, [sizes[0]])[rank] for x in (a, b)))
        total = own.reduce()
        assert own.count == sizes[rank]
        found.append({name: value.flatten().tolist() for name, value in total.state_dict().items()})
    return found


def test_reduce_is_the_same_on_every_rank_and_that_of_one_process(on_ranks: Ranks) -> None:
    found = on_ranks(reduced)
    assert found[0] == found[1], "ranks differ"
    for sizes, state in zip(SHARES, found[0], strict=True):
        total = SubspaceAccumulator(4)
        shapes = {name: value.shape for name, value in total.state_dict().items()}
        total.load_state_dict(
            {name: torch.tensor(state[name], dtype=torch.float64).view(shapes[name]) for name in shapes}
        )
        assert total.count == sum(sizes)
        if sum(sizes):
            agree(total, *related(sum(sizes), 1e4))


def test_reduce_without_processes_is_a_copy() -> None:
    own = accumulated(*related(20, 1.0))
    total = own.reduce()
    assert total is not own
    assert (total.count, total.linear_cka()) == (20, own.linear_cka())
