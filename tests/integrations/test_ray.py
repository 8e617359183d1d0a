"""Spectra of Ray datasets: those of one process, also where workers are killed; bad columns, bad rows."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import MissingExtraError
from noisymodel.integrations.ray import spectrum
from noisymodel.spectrum import SpectrumAccumulator, analyze

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning", "ignore:.*:pytest.PytestWarning"
)  # Ray's own
BLOCKS, ROWS, FEATURES = 8, 150, 6


def features() -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.standard_normal((BLOCKS * ROWS, FEATURES)) * np.geomspace(1, 1e-6, FEATURES) + 3.0).astype("f4")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The features as Parquet files, in the order of their names."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path_factory.mktemp("parquet")
    for place, rows in enumerate(np.split(features(), BLOCKS)):
        table = pa.table({"embedding": list(rows), "label": np.arange(ROWS)})
        parquet.write_table(table, folder / f"{place:03d}.parquet")
    return str(folder)


def folded(**options: bool) -> SpectrumAccumulator:
    """The same by one process: an accumulator of each block, merged in order."""
    total = SpectrumAccumulator(FEATURES, **options)
    for rows in np.split(features(), BLOCKS):
        part, sent = SpectrumAccumulator(FEATURES, **options), SpectrumAccumulator(FEATURES, **options)
        part.update(rows)
        sent.load_state_dict(part.state_dict())
        total.merge(sent)
    return total


class Slow:
    """A stage that says which process it runs in, and for every other block waits until enough of them were killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.1)
        waiting = time.monotonic() + 20 if int(1e4 * abs(batch["data"][0, 0])) % 2 else 0.0
        while time.monotonic() < waiting and not (self.folder / "enough").exists():
            time.sleep(0.05)
        return batch


def killed(folder: Path, times: int, done: threading.Event, found: list[int]) -> None:
    """End workers at random, one after the other."""
    choice = random.Random(0)
    while len(found) < times and not done.is_set():
        time.sleep(0.1 + 0.1 * choice.random())
        alive = [int(path.name) for path in folder.iterdir() if int(path.name) not in found]
        if alive:
            victim = choice.choice(alive)
            found.append(victim)
            os.kill(victim, signal.SIGKILL)
    (folder / "enough").touch()


def test_workers_killed_at_random_change_nothing(ray, tmp_path: Path) -> None:
    slow = {"batch_size": None, "batch_format": "numpy", "ray_remote_args_fn": lambda: {"max_retries": -1}}
    dataset = ray.data.from_numpy(np.split(features(), BLOCKS)).map_batches(Slow(tmp_path), **slow)
    done, victims = threading.Event(), []
    killer = threading.Thread(target=killed, args=(tmp_path, 2, done, victims))
    killer.start()
    try:
        total = spectrum(dataset, "data")
    finally:
        done.set()
        killer.join()
    assert len(victims) >= 2, "too few workers were killed for this to be a test"
    assert total.count == len(features())
    np.testing.assert_array_equal(total.spectrum().singular_values, folded().spectrum().singular_values)
    for center in ("none", "column"):
        found, expected = total.spectrum(center=center), analyze(features(), center=center)
        for name in ("entropy", "largest_ratio", "effective_rank"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)
        assert found.epsilon == expected.epsilon
    assert not dataset.context.execution_options.preserve_order, "as it was"


def test_any_source_and_every_setting(ray, files: str) -> None:
    table = ray.data.read_parquet(files)
    assert spectrum(table, "embedding").spectrum().entropy == pytest.approx(analyze(features()).entropy, rel=1e-9)
    dataset = ray.data.from_numpy(np.split(features(), BLOCKS))
    options = {"center_rows": True, "normalize": True}
    total = spectrum(dataset, "data", **options)
    assert total.settings() == folded(**options).settings()
    assert total.spectrum().entropy == pytest.approx(analyze(features(), preset="official").entropy, rel=1e-9)
    assert spectrum(dataset, "data", method="gram").method == "gram"


def test_bad_rows_and_columns_are_named(ray) -> None:
    rows = features()
    rows[700, 2] = np.nan
    dataset = ray.data.from_numpy(np.split(rows, BLOCKS))
    with pytest.raises(ValueError, match="`dataset` must be finite: row 700 holds NaN or inf in column 'data'"):
        spectrum(dataset, "data")
    with pytest.raises(ValueError, match=r"`column` must be one of \['data'\], got 'embedding'"):
        spectrum(dataset, "embedding")
    with pytest.raises(ValueError, match="a spectrum needs rows, got none: the dataset is empty"):
        spectrum(ray.data.from_items([]), "data")
    with pytest.raises(ValueError, match="one length, got 3 and, from row 4 on, 5"):
        spectrum(ray.data.from_numpy([np.ones((4, 3)), np.ones((2, 5))]), "data")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1, 2], TypeError, "`column` 'data' must be floating point, got int64"),
        ([1.0, 2.0], ValueError, "`column` 'data' must hold vectors, got numbers"),
        (np.array([np.ones(2), None], dtype=object), ValueError, "a vector in every row, got a missing one"),
        (
            np.array([np.ones(2), np.ones(3)], dtype=object),
            ValueError,
            r"one length, got shapes \['\(2,\)', '\(3,\)'\]",
        ),
    ],
)
def test_bad_values_are_named(values: object, error: type[Exception], message: str) -> None:
    from noisymodel.integrations.ray.spectra import _Partial

    part = _Partial("data", {})({"data": np.asarray(values)})
    assert part["kind"][0] == error.__name__
    with pytest.raises(error, match=message):
        raise error(part["error"][0])


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtraError, match=r"`ray\[data\]` is needed .* pip install 'noisymodel\[ray\]'"):
        spectrum(None, "data")  # type: ignore[arg-type]
