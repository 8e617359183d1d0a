"""Spectra of rows that come in batches: the same as of all rows at once, however they were cut, joined and sent."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import GramPrecisionWarning, Spectrum, SpectrumAccumulator, analyze
from noisymodel.spectrum import accumulator as module
from noisymodel.spectrum.accumulator import METHODS
from ranks import Ranks
from reference.spectrum import matrix_with

METRICS = ("entropy", "largest_ratio", "effective_rank", "stable_rank", "participation_ratio")
CENTERS = pytest.mark.parametrize("center", ["none", "column"])
EACH_METHOD = pytest.mark.parametrize("method", METHODS)


def gaussian(rows: int, features: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, features)) + shift * random.standard_normal(features)


def hard(kind: str, rows: int = 400, features: int = 24) -> np.ndarray:
    if kind == "gaussian":
        return gaussian(rows, features)
    if kind == "large mean":
        return gaussian(rows, features, shift=1e4)
    if kind == "rank 3":
        return matrix_with(np.array([1.0, 0.5, 0.1]), rows, features, seed=1)
    if kind == "collapsed":
        return matrix_with(np.geomspace(1.0, 1e-9, features), rows, features, seed=2)
    if kind == "one direction":
        return matrix_with(np.r_[1.0, np.full(features - 1, 1e-7)], rows, features, seed=3)
    assert kind == "wide"
    return gaussian(features // 2, features, shift=3.0)


KINDS = ["gaussian", "large mean", "rank 3", "collapsed", "one direction", "wide"]


def accumulated(features: np.ndarray, cuts: list[int], **options: object) -> SpectrumAccumulator:
    total = SpectrumAccumulator(features.shape[1], **options)  # type: ignore[arg-type]
    for part in np.split(features, cuts):
        total.update(part)
    return total


def agree(one: Spectrum, other: Spectrum, tolerance: float = 1e-9) -> None:
    assert (one.num_samples, one.num_features, one.centered) == (other.num_samples, other.num_features, other.centered)
    assert len(one.singular_values) == len(other.singular_values)
    for name in METRICS:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=tolerance, abs=1e-12), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 9, 200], list(range(10, 400, 10))])
@CENTERS
def test_batches_give_the_spectrum_of_all_rows(kind: str, cuts: list[int], center: str) -> None:
    features = hard(kind)
    agree(accumulated(features, cuts).spectrum(center=center), analyze(features, center=center))


@pytest.mark.parametrize("kind", KINDS)
@CENTERS
def test_blocks_are_joined_without_loss(kind: str, center: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small blocks every path is taken: Cholesky and QR, triangles and means of unequal blocks."""
    monkeypatch.setattr(SpectrumAccumulator, "_block_rows", 50)
    features = hard(kind)
    agree(accumulated(features, [3, 111, 222]).spectrum(center=center), analyze(features, center=center))


@pytest.mark.parametrize("kind", ["gaussian", "large mean", "wide"])
@CENTERS
def test_gram_is_as_good_on_mild_features(kind: str, center: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpectrumAccumulator, "_block_rows", 50)
    features = hard(kind)
    agree(
        accumulated(features, [3, 200], method="gram").spectrum(center=center), analyze(features, center=center), 1e-7
    )


@pytest.mark.parametrize("kind", ["one direction", "collapsed", "rank 3"])
def test_gram_says_when_a_spectrum_is_beyond_it(kind: str) -> None:
    features = hard(kind) if kind != "one direction" else hard(kind, features=200)
    gram, exact = accumulated(features, [], method="gram"), analyze(features)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectrum = gram.spectrum()
    error = abs(spectrum.entropy / exact.entropy - 1)
    warned = [str(warning.message) for warning in caught if warning.category is GramPrecisionWarning]
    assert warned or error < 1e-6
    if kind == "rank 3":
        assert 'use method="tsqr"' in warned[0]


def test_a_mild_gram_does_not_warn() -> None:
    accumulated(hard("gaussian"), [], method="gram").spectrum(center="column")  # warnings are errors here


@given(
    rows=st.integers(1, 60),
    features=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=50)
def test_any_partition_order_and_tree_of_merges(rows, features, cuts, order, seed) -> None:
    data = gaussian(rows, features, seed, shift=10.0)
    parts = np.split(data, sorted(min(cut, rows) for cut in cuts))
    order.shuffle(parts)
    pieces = [accumulated(part, []) for part in parts]
    while len(pieces) > 1:
        one = pieces.pop(order.randrange(len(pieces)))
        other = pieces.pop(order.randrange(len(pieces)))
        pieces.append(one + other if order.random() < 0.5 else one.merge(other))
    agree(pieces[0].spectrum(), analyze(data))
    if rows > features + 1 and features > 1:
        agree(pieces[0].spectrum(center="column"), analyze(data, center="column"))


@EACH_METHOD
def test_empty_is_the_identity_of_merging(method: str) -> None:
    full, empty = accumulated(gaussian(50, 6), [20], method=method), SpectrumAccumulator(6, method=method)
    expected = full.spectrum().singular_values
    for total in (full + empty, empty + full):
        np.testing.assert_array_equal(total.spectrum().singular_values, expected)
        assert total.count == 50
    assert empty.count == 0


def test_merge_is_in_place_and_leaves_the_other() -> None:
    one, other = accumulated(gaussian(50, 6), []), accumulated(gaussian(30, 6, seed=1), [])
    assert one.merge(other) is one
    assert (one.count, other.count) == (80, 30)
    third = one + other
    assert (one.count, other.count, third.count) == (80, 30, 110)


def test_an_accumulator_merged_with_itself_counts_its_rows_twice() -> None:
    one = accumulated(gaussian(50, 6), [])
    agree((one + one).spectrum(), analyze(np.concatenate([gaussian(50, 6)] * 2)))


@pytest.mark.parametrize(
    "options", [{"normalize": True}, {"center_rows": True}, {"normalize": True, "center_rows": True}]
)
def test_row_operations_stream(options: dict[str, bool]) -> None:
    features = gaussian(100, 10, shift=2.0)
    expected = analyze(
        features, normalize=options.get("normalize", False), center="row" if "center_rows" in options else "none"
    )
    agree(accumulated(features, [33], **options).spectrum(), expected)
    if len(options) == 2:
        agree(accumulated(features, [33], **options).spectrum(), analyze(features, preset="official"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_are_upcast_and_remembered(dtype: torch.dtype) -> None:
    features = torch.from_numpy(gaussian(64, 8)).to(dtype)
    total = SpectrumAccumulator(8)
    total.update(features.reshape(4, 16, 8))
    spectrum = total.spectrum()
    assert isinstance(spectrum.singular_values, torch.Tensor)
    assert spectrum.singular_values.dtype == torch.float64
    assert spectrum.epsilon == torch.finfo(dtype).eps
    agree(spectrum, analyze(features))


def test_numpy_gives_numpy_and_inputs_are_left_alone(device: torch.device) -> None:
    features = gaussian(40, 8)
    before = features.copy()
    total = accumulated(features, [11])
    assert isinstance(total.spectrum().singular_values, np.ndarray)
    np.testing.assert_array_equal(features, before)
    there = SpectrumAccumulator(8)
    there.update(torch.from_numpy(features).to(device))
    assert there.spectrum().singular_values.device.type == device.type


def test_a_batch_may_change_after_its_update() -> None:
    features = gaussian(40, 8)
    total = SpectrumAccumulator(8)
    batch = features.copy()
    total.update(batch)
    batch[:] = 0
    agree(total.spectrum(), analyze(features))


@EACH_METHOD
@CENTERS
def test_memory_does_not_grow_with_the_rows(method: str, center: str) -> None:
    total = SpectrumAccumulator(4, method=method)
    largest = 0
    for seed in range(300):
        total.update(gaussian(37, 4, seed))
        taken = total._taken
        parts = [total._block, taken.moments.factor, *(taken.scatter or ()), *(taken.relative or ())]
        largest = max(largest, sum(part.numel() for part in parts if isinstance(part, torch.Tensor)))
    assert total.count == 300 * 37
    assert largest <= 4 * total._block_rows + 4 * 16
    assert total.spectrum(center=center).num_samples == 300 * 37


@EACH_METHOD
def test_bad_rows_are_named_and_leave_the_state(method: str) -> None:
    total = accumulated(gaussian(50, 6), [], method=method)
    before = total.spectrum().singular_values
    bad = gaussian(10, 6)
    bad[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"`batch` must be finite: row 54 holds NaN or inf \(1 of 10 rows do\)"):
        total.update(bad)
    assert total.count == 50
    np.testing.assert_array_equal(total.spectrum().singular_values, before)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((3, 5)), r"`batch` must have shape \(\.\.\., 6\), got \(3, 5\)"),
        (np.float64(3.0), "`batch` must be a torch tensor or a numpy array, got float64"),
        ([[1.0] * 6], "`batch` must be a torch tensor or a numpy array, got list"),
        (np.zeros((3, 6), dtype=np.int64), "`batch` must be floating point, got int64"),
        (torch.zeros(3, 6, dtype=torch.bool), "`batch` must be floating point, got torch.bool"),
    ],
)
def test_bad_batches(batch: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        SpectrumAccumulator(6).update(batch)  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="`num_features` must be at least 1, got 0"):
        SpectrumAccumulator(0)
    with pytest.raises(ValueError, match="`method` must be one of 'tsqr', 'gram', got 'svd'"):
        SpectrumAccumulator(3, method="svd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`center_rows` needs at least 2 features"):
        SpectrumAccumulator(1, center_rows=True)
    with pytest.raises(ValueError, match="a spectrum needs rows, got none"):
        SpectrumAccumulator(3).spectrum()
    with pytest.raises(ValueError, match="`center` must be one of 'none', 'column', got 'row'"):
        accumulated(gaussian(3, 3), []).spectrum(center="row")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`center` = 'column' needs at least 2 samples, got 1"):
        accumulated(gaussian(1, 3), []).spectrum(center="column")
    with pytest.raises(TypeError, match="`other` must be a SpectrumAccumulator, got int"):
        SpectrumAccumulator(3).merge(3)
    with pytest.raises(ValueError, match=r"`other` must have the settings .*'method': 'tsqr'.*'method': 'gram'"):
        SpectrumAccumulator(3).merge(SpectrumAccumulator(3, method="gram"))


def test_one_row_and_constant_rows() -> None:
    one = accumulated(gaussian(1, 5), []).spectrum()
    assert len(one.singular_values) == 1
    assert one.entropy == pytest.approx(0.0, abs=1e-12)
    constant = accumulated(np.full((50, 5), 0.1) * np.arange(1, 6), [3, 20]).spectrum(center="column")
    assert not constant.singular_values.any()
    assert np.isnan(constant.entropy)


@EACH_METHOD
def test_state_goes_through_a_file(method: str, tmp_path: Path) -> None:
    features = gaussian(80, 6, shift=5.0)
    half = accumulated(features[:50], [9], method=method, normalize=True, center_rows=True)
    half.save(tmp_path / "state.safetensors")
    loaded = SpectrumAccumulator.load(tmp_path / "state.safetensors")
    assert loaded.settings() == half.settings()
    assert loaded.count == 50
    np.testing.assert_array_equal(loaded.spectrum().singular_values, half.spectrum().singular_values)
    for total in (half, loaded):
        total.update(features[50:])
    agree(loaded.spectrum(), half.spectrum())
    assert loaded.spectrum().epsilon == half.spectrum().epsilon
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = accumulated(gaussian(10, 4), []).state_dict()
    with pytest.raises(ValueError, match="`state` must be of 5 features, got a mean of shape \\(4,\\)"):
        SpectrumAccumulator(5).load_state_dict(state)
    del state["factor"]
    with pytest.raises(ValueError, match=r"got none of \['factor'\]"):
        SpectrumAccumulator(4).load_state_dict(state)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ValueError, match="junk is damaged or no safetensors file"):
        SpectrumAccumulator.load(tmp_path / "junk")
    from safetensors.torch import save_file

    save_file({"count": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match=r"foreign was not written by SpectrumAccumulator\.save"):
        SpectrumAccumulator.load(tmp_path / "foreign")
    with pytest.raises(FileNotFoundError):
        SpectrumAccumulator.load(tmp_path / "none")


@pytest.fixture
def decomposed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The heights of the matrices that QR decompositions are made of."""
    rows: list[int] = []
    qr = torch.linalg.qr
    monkeypatch.setattr(module.torch.linalg, "qr", lambda matrix, **k: rows.append(len(matrix)) or qr(matrix, **k))
    monkeypatch.setattr(SpectrumAccumulator, "_block_rows", 96)
    return rows


def test_each_way_of_taking_in_a_block_is_used_where_it_may_be(decomposed: list[int]) -> None:
    taken = accumulated(hard("gaussian", rows=960), [])._taken
    assert taken.scatter is not None
    assert (taken.scatter.num_rows, decomposed) == (960, []), "Gram matrices alone"
    taken = accumulated(hard("collapsed", rows=960), [])._taken
    assert taken.relative is not None
    assert (taken.moments.num_rows, taken.relative.num_rows) == (48, 912)
    assert decomposed == [48], "the first rows give the coordinates of all others"


def changing(kind: str, rows: int = 3000, features: int = 24) -> np.ndarray:
    """Rows whose law changes on the way."""
    found = gaussian(rows, features) * np.geomspace(1, 1e-7, features)
    if kind == "waking":  # features that are zero at first, one after the other
        for feature in range(features):
            found[: 100 * feature, feature] = 0
    elif kind == "turned":
        found[rows // 2 :] = 1e-3 * found[rows // 2 :, ::-1]
    elif kind == "growing":
        found *= np.geomspace(1e-6, 1e3, rows)[:, None]
    elif kind == "shrinking":
        found *= np.geomspace(1e3, 1e-6, rows)[:, None]
    else:
        assert kind == "drifting"
        found += np.linspace(0, 1e3, rows)[:, None]
    return found


@pytest.mark.parametrize("kind", ["waking", "turned", "growing", "shrinking", "drifting"])
@CENTERS
def test_rows_unlike_the_first_ones_are_as_accurate(kind: str, center: str, decomposed: list[int]) -> None:
    features = changing(kind)
    agree(accumulated(features, [100, 1111]).spectrum(center=center), analyze(features, center=center))


def test_coordinates_are_renewed_before_their_rounding_counts(
    decomposed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from noisymodel.spectrum import scatter

    monkeypatch.setattr(scatter, "_WEIGHT", 600.0)  # tr(G) of 48·2·600/24 rows at first, and more each time
    features = hard("collapsed", rows=9600)
    total = accumulated(features, [])
    assert total._taken.moments.num_rows > 48
    assert max(decomposed) <= 49, "by joining triangles, not by decomposing rows"
    agree(total.spectrum(), analyze(features))


# --- several processes

SIZES = {2: [(30, 20), (0, 25), (3, 60)], 4: [(10, 0, 30, 7), (1, 2, 3, 0)]}


def shares(world: int) -> list[tuple[np.ndarray, list[int]]]:
    return [
        (gaussian(sum(sizes), 6, seed=sum(sizes), shift=4.0), list(itertools.accumulate(sizes))[:-1])
        for sizes in SIZES[world]
    ]


def reduced(rank: int, world: int) -> list[dict[str, Any]]:
    found = []
    for method in METHODS:
        for features, cuts in shares(world):
            own = SpectrumAccumulator(6, method=method)
            own.update(np.split(features, cuts)[rank])
            total = own.reduce()
            values = total.spectrum(center="column").singular_values
            found.append({"count": total.count, "own": own.count, "values": [float(v).hex() for v in values]})
    return found


@pytest.mark.parametrize("world", SIZES)
def test_reduce_is_the_same_on_every_rank_and_that_of_one_process(world: int, on_ranks: Ranks) -> None:
    found = on_ranks(reduced, world, world=world)
    expected = [analyze(features, center="column") for _ in METHODS for features, _ in shares(world)]
    for index, spectrum in enumerate(expected):
        assert len({tuple(rank[index]["values"]) for rank in found}) == 1, "ranks differ"
        assert {rank[index]["count"] for rank in found} == {spectrum.num_samples}
        values = [float.fromhex(value) for value in found[0][index]["values"]]
        np.testing.assert_allclose(values, spectrum.singular_values, rtol=1e-7, atol=1e-7)


@EACH_METHOD
def test_reduce_without_processes_is_a_copy(method: str) -> None:
    own = accumulated(gaussian(20, 4), [], method=method)
    total = own.reduce()
    assert total is not own
    np.testing.assert_array_equal(total.spectrum().singular_values, own.spectrum().singular_values)
