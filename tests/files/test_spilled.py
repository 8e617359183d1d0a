"""Large rows in temporary files: the same numbers, and memory that does not grow with them."""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import NMTuneClassifier
from noisymodel.features import FeatureStore
from noisymodel.files import spilled
from noisymodel.files.spilled import SpilledRows, chosen, joined, mapped, pieces, taken


@pytest.fixture
def everything_spilled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilled, "LARGE", 0)


def rows(count: int, width: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)


def test_rows_come_back_in_pieces_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spilled, "PIECE", 4)
    given, found = rows(10), SpilledRows(3, np.dtype(np.float32))
    found.append(given[:7])
    found.append(given[7:].astype(np.float64))
    assert (len(found), found.shape, found.dtype) == (10, (10, 3), torch.float32)
    parts = list(found.pieces())
    assert [len(part) for part in parts] == [4, 4, 2]
    whole = found.whole()
    del found
    np.testing.assert_array_equal(torch.cat(parts).numpy(), given)
    np.testing.assert_array_equal(whole, given)
    assert not list(tmp_path.iterdir()), "the file has no name that could be left behind"


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SpilledRows(3, np.dtype(np.float32))

    class Full:
        def write(self, _: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(found, "_file", Full())
    with pytest.raises(OSError, match=f"No space left on device in {tempfile.gettempdir()}.*TMPDIR") as caught:
        found.append(rows(2))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("large", [0, 1 << 27])
def test_every_operation_is_that_of_arrays(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(spilled, "LARGE", large)
    monkeypatch.setattr(spilled, "PIECE", 4)
    given, index = rows(10), np.array([3, 3, 0, 9, 1])
    np.testing.assert_array_equal(taken(given, index), given[index])
    assert taken(given.astype(np.float16), index, np.float32).dtype == np.float32
    np.testing.assert_array_equal(joined([given[:2], given[2:]], (10, 3), np.dtype(np.float64)), given)
    doubled = mapped(lambda part: torch.cat([part, part], dim=1), torch.from_numpy(given), 6)
    assert isinstance(doubled, SpilledRows) == (large == 0)
    expected = np.concatenate([given, given], axis=1)
    np.testing.assert_array_equal(torch.cat(list(pieces(doubled))).numpy(), expected)
    mask = torch.from_numpy(given[:, 0] > 0)
    np.testing.assert_array_equal(torch.cat(list(pieces(chosen(doubled, mask)))).numpy(), expected[given[:, 0] > 0])


@pytest.mark.parametrize("method", ["nmtune", "mlp"])
def test_a_classifier_of_spilled_rows_is_the_same(
    method: str, monkeypatch: pytest.MonkeyPatch, everything_spilled: None
) -> None:
    monkeypatch.setattr("noisymodel.estimator.members.LANDMARKS", 30)
    labels = np.arange(420) % 2
    features = rows(420, 5) + 2 * np.eye(5, dtype=np.float32)[labels]
    settings = {"method": method, "epochs": 6, "minimum_steps": 1, "hidden_features": 8, "random_state": 0}
    few = np.arange(0, 420, 7)
    found = NMTuneClassifier(**settings).fit(features, labels).predict_proba(features[few])
    monkeypatch.setattr(spilled, "LARGE", 1 << 27)
    plain = NMTuneClassifier(**settings).fit(features, labels).predict_proba(features[few])
    np.testing.assert_allclose(found, plain, atol=2e-3)


def test_half_precision_is_fitted_as_float32() -> None:
    labels = np.arange(60) % 2
    half = (rows(60) + labels[:, None]).astype(np.float16)
    found, same = (NMTuneClassifier(method="linear", random_state=0).fit(x, labels) for x in (half, half.astype("f4")))
    np.testing.assert_array_equal(found.predict_proba(half), same.predict_proba(half.astype("f4")))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_store_of_several_shards_is_an_array(tmp_path: Path, everything_spilled: None, dtype: str) -> None:
    given = rows(10)
    with FeatureStore.create(tmp_path / "store", num_features=3, dtype=dtype, shard_rows=4) as made:
        made.append(torch.from_numpy(given))
    found = np.asarray(FeatureStore.open(tmp_path / "store").features)
    expected = torch.from_numpy(given).to(getattr(torch, dtype)).float().numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mapped memory on Linux only")
def test_memory_does_not_grow_with_the_features(tmp_path: Path) -> None:
    features = rows(100_000, 128)
    np.save(tmp_path / "features.npy", features)  # 51 MB
    np.save(tmp_path / "labels.npy", np.asarray(features[:, 0] > 0).astype(int))
    code = """
import re, resource, sys
import numpy as np
from noisymodel.estimator.comparison import compare
from noisymodel.files import spilled

spilled.LARGE = 1 << 20
few = np.random.default_rng(0).normal(size=(60, 128))
compare(few, np.arange(60) % 2, method="linear", baselines=())  # all that is imported late
used = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (32 << 20), resource.RLIM_INFINITY))
features, labels = (np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in ("features", "labels"))
print(compare(features, labels, method="linear", baselines=()).accuracies[0].accuracy)
"""
    found = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert float(found.stdout) > 0.95
