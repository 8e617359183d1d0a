from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.features import FeatureStore
from noisymodel.training.batches import LabelledRows, count_batches, labelled_rows, shuffled

CPU = torch.device("cpu")
SHAPE = {"num_features": 3, "num_classes": 4, "device": CPU, "dtype": torch.float32}


def counted(count):
    """Rows that say which they are."""
    return LabelledRows(torch.arange(3.0 * count).view(count, 3), torch.arange(count), CPU, torch.float32)


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 20), smallest=st.integers(1, 7), seed=st.integers(0, 2**62))
def test_an_epoch_is_a_permutation_in_batches(count, batch_size, smallest, seed):
    rows = counted(count)
    smallest = min(smallest, batch_size, count)
    batches = shuffled(len(rows), batch_size, smallest, torch.Generator().manual_seed(seed))
    again = shuffled(len(rows), batch_size, smallest, torch.Generator().manual_seed(seed))
    assert len(batches) == count_batches(len(rows), batch_size, smallest)
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert all((batch.diff() > 0).all() for batch in batches)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert smallest <= len(batches[-1]) < batch_size + smallest
    assert all(torch.equal(one, other) for one, other in zip(batches, again, strict=True))


@pytest.mark.parametrize(
    ("count", "batch_size", "smallest", "sizes"),
    [
        (128, 64, 2, [64, 64]),
        (129, 64, 2, [64, 65]),
        (130, 64, 2, [64, 64, 2]),
        (131, 64, 5, [64, 67]),
        (65, 64, 2, [65]),
        (1, 64, 2, [1]),
        (3, 1, 1, [1, 1, 1]),
    ],
)
def test_a_small_last_batch_joins_the_one_before(count, batch_size, smallest, sizes):
    rows = counted(count)
    assert [len(batch) for batch in shuffled(len(rows), batch_size, smallest, torch.Generator())] == sizes
    assert count_batches(len(rows), batch_size, smallest) == len(sizes)


def test_every_order_is_likely():
    """Each row is about as often in the first batch as any other."""
    rows, generator = counted(6), torch.Generator().manual_seed(0)
    first = torch.cat([shuffled(len(rows), 3, 2, generator)[0] for _ in range(600)])
    assert torch.bincount(first).sub(300).abs().max() < 60  # 300 ± 12


def test_rows_and_targets_stay_together():
    rows = counted(10)
    features, targets = rows.take(torch.tensor([2, 5]))
    assert torch.equal(features[:, 0], 3.0 * targets)
    assert torch.equal(targets, torch.tensor([2, 5]))
    assert torch.equal(torch.cat([targets for _, targets, _ in rows.in_order(4)]), torch.arange(10))


def test_batches_have_the_wanted_type_and_device(device):
    array = np.ones((5, 3), dtype=np.float16)
    for features in (array, torch.from_numpy(array), array.astype(">f8")):
        rows = labelled_rows(features, [0, 1, 2, 3, 0], **{**SHAPE, "device": device})
        batch, targets = rows.take(torch.tensor([0, 4], device=rows.targets.device))
        assert (batch.dtype, batch.device.type, targets.device.type) == (torch.float32, device.type, device.type)


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_memory_map_stays_on_disk(mode, tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (10, 3))[:] = 1
    memmap = np.load(tmp_path / "a.npy", mmap_mode=mode)
    rows = labelled_rows(memmap, np.zeros(10, int), **SHAPE)
    assert rows.features.data_ptr() == memmap.ctypes.data
    assert rows.threaded


def test_only_files_that_the_library_knows_are_read_by_a_thread(tmp_path, make_source):
    features = torch.zeros(4, 3)
    with FeatureStore.create(tmp_path / "store", num_features=3) as store:
        store.append(features)
    store = FeatureStore.open(tmp_path / "store")
    kinds = [store, store.features, features, features.numpy(), make_source(features)]
    threaded = [labelled_rows(kind, np.zeros(4, int), **SHAPE).threaded for kind in kinds]
    assert threaded == [True, True, False, False, False]


def test_batches_come_with_their_weights():
    rows = replace(counted(10), weights=torch.arange(10.0))
    for threaded in (False, True):
        batches = list(replace(rows, threaded=threaded).batches([torch.tensor([1, 4]), torch.tensor([7])]))
        assert [batch.weights.tolist() for batch in batches] == [[1.0, 4.0], [7.0]]
        assert [batch.targets.tolist() for batch in batches] == [[1, 4], [7]]
        assert [batch.features[:, 0].tolist() for batch in batches] == [[3.0, 12.0], [21.0]]


def test_an_array_is_not_copied():
    array = np.zeros((4, 3), dtype=np.float32)
    rows = labelled_rows(array, np.zeros(4, int), **SHAPE)
    array[:] = 7
    assert (rows.take(torch.arange(4))[0] == 7).all()


def test_checksum_depends_on_rows_and_targets():
    features, targets = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 4
    checksum = labelled_rows(features, targets, **SHAPE).checksum()
    assert labelled_rows(features.numpy(), targets.numpy(), **SHAPE).checksum() == checksum
    changed = features.clone()
    changed[199] += 1
    others = [(changed, targets), (features, targets.flip(0)), (features[:-4], targets[:-4])]
    assert all(labelled_rows(*other, **SHAPE).checksum() != checksum for other in others)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (torch.zeros(4, 2), ValueError, r"`features` must have 3 features in the last dimension, got shape \(1, 2\)"),
        (torch.zeros(4, 5, 3), ValueError, r"`features` must have shape \(N, 3\), got rows of shape \(5, 3\)"),
        (torch.zeros(0, 3), ValueError, "`features` must have rows, got none"),
        (np.zeros((0, 3)), ValueError, "`features` must have rows, got none"),
        (torch.zeros(4, 3, dtype=torch.int64), TypeError, r"floating point, got torch\.int64; \.float\(\) converts"),
        (np.zeros((4, 3), dtype=int), TypeError, r"floating point, got int64; \.astype\(np\.float32\) converts"),
        (iter([1.0]), TypeError, r"an object with len\(\) and integer-array indexing, got list_iterator"),
        ([[0.0, 0.0, 0.0]], TypeError, r"an object with len\(\) and integer-array indexing, got list"),
        (np.zeros((5, 3)), ValueError, "`targets` must have one entry per row, 5, got 4"),
    ],
)
def test_features_that_do_not_fit(features, error, message):
    with pytest.raises(error, match=message):
        labelled_rows(features, [0, 1, 2, 3], **SHAPE)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([0, 1, 2, 4], ValueError, r"class ids in \[0, 4\), got ids from 0 to 4; give the head more classes"),
        ([0, 1, 2, -1], ValueError, r"class ids in \[0, 4\), got ids from -1 to 2"),
        ([0.0, 1.0, 2.0, 3.0], ValueError, r"class probabilities .* shape \(N, 4\), got \(4,\); class ids must be"),
        (np.zeros((4, 3)), ValueError, r"shape \(N, 4\), got \(4, 3\)"),
        (np.zeros((4, 1), dtype=int), ValueError, r"of shape \(N,\), got torch\.int64 of shape \(4, 1\)"),
        (torch.zeros(4, dtype=torch.bool), ValueError, r"integer class ids of shape \(N,\), got torch\.bool"),
        (["cat", "dog", "cat", "dog"], TypeError, r"got <U3; np\.unique\(labels, return_inverse=True\) gives ids"),
        (np.array([True, False, True, True]), TypeError, "integer class ids or class probabilities, got bool"),
        ([], ValueError, r"class probabilities|one entry per row"),
    ],
)
def test_targets_that_do_not_fit(targets, error, message):
    with pytest.raises(error, match=message):
        labelled_rows(torch.zeros(4, 3), targets, **SHAPE)
