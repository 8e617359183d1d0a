"""torchmetrics shells: the values of the accumulator, merged, synchronised over processes, moved and pickled."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from noisymodel import metrics
from noisymodel.errors import MissingExtraError
from noisymodel.spectrum import SpectrumAccumulator, analyze

NAMES = {
    "SingularValueEntropy": "entropy",
    "LargestSingularValueRatio": "largest_ratio",
    "EffectiveRank": "effective_rank",
}
EACH = pytest.mark.parametrize("name", NAMES)
SIZES = [(30, 20), (0, 25), (40, 0)]


def features(rows: int, size: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) + 2.0


def expected(name: str, rows: torch.Tensor, **options: object) -> float:
    return getattr(analyze(rows, **options), NAMES[name])  # type: ignore[arg-type]


@EACH
@pytest.mark.parametrize("center", ["none", "column"])
def test_batches_give_the_metric_of_all_rows(name: str, center: str, device: torch.device) -> None:
    rows = features(50)
    metric = getattr(metrics, name)(6, center=center).to(device)
    metric.update(rows[:20].to(device))
    metric.update(rows[20:].view(5, 6, 6).to(device))
    value = metric.compute()
    assert value.dtype == torch.float64
    assert value.device.type == device.type
    assert value.item() == pytest.approx(expected(name, rows, center=center), rel=1e-9)
    metric.reset()
    with pytest.warns(UserWarning, match="called before the ``update`` method"):
        empty = metric.compute()
    assert torch.isnan(empty)


@EACH
def test_every_setting_of_the_accumulator_is_exposed(name: str) -> None:
    own = inspect.signature(getattr(metrics, name).__init__).parameters
    theirs = inspect.signature(SpectrumAccumulator.__init__).parameters
    assert {key: own[key].default for key in theirs} == {key: value.default for key, value in theirs.items()}
    rows = features(50)
    metric = getattr(metrics, name)(6, normalize=True, center_rows=True, method="gram")
    metric.update(rows)
    assert metric.compute().item() == pytest.approx(expected(name, rows, preset="official"), rel=1e-6)


@EACH
def test_forward_merge_clone_and_pickle(name: str) -> None:
    rows = features(50)
    make = getattr(metrics, name)
    metric, other = make(6), make(6)
    assert metric(rows[:20]).item() == pytest.approx(expected(name, rows[:20]), rel=1e-9)
    other.update(rows[20:])
    metric.merge_state(other)
    whole = expected(name, rows)
    assert metric.compute().item() == pytest.approx(whole, rel=1e-9)
    for again in (metric.clone(), pickle.loads(pickle.dumps(metric))):  # noqa: S301 - our own bytes
        assert type(again) is make
        assert again.compute().item() == pytest.approx(whole, rel=1e-9)


def test_a_collection_shares_one_state() -> None:
    from torchmetrics import MetricCollection

    collection = MetricCollection([getattr(metrics, name)(6) for name in NAMES])
    collection.update(features(30))
    collection.update(features(20, seed=1))
    rows = torch.cat([features(30), features(20, seed=1)])
    values = collection.compute()
    assert {name: values[name].item() for name in NAMES} == pytest.approx(
        {name: expected(name, rows) for name in NAMES}, rel=1e-9
    )


@pytest.mark.parametrize("change", ["half", "float", "bfloat16", "double"])
def test_the_state_stays_float64_whatever_its_module_becomes(change: str) -> None:
    metric = metrics.SingularValueEntropy(6)
    holder = torch.nn.ModuleDict({"metric": metric, "layer": torch.nn.LayerNorm(2)})
    metric.update(features(20))
    getattr(holder, change)()
    getattr(metric, change)()
    metric.set_dtype(torch.float16)
    assert metric.packed.dtype == torch.float64
    metric.update(features(30, seed=1))
    rows = torch.cat([features(20), features(30, seed=1)])
    assert metric.compute().item() == pytest.approx(expected("SingularValueEntropy", rows), rel=1e-9)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="`center` must be one of 'none', 'column', got 'row'"):
        metrics.EffectiveRank(6, center="row")
    with pytest.raises(ValueError, match="`num_features` must be at least 1"):
        metrics.EffectiveRank(0)
    metric = metrics.EffectiveRank(6)
    metric.update(features(10))
    with pytest.raises(ValueError, match="`batch` must be finite: row 12 holds"):
        metric.update(torch.cat([features(2), torch.full((1, 6), torch.nan)]))
    assert metric.compute().item() == pytest.approx(expected("EffectiveRank", features(10)), rel=1e-9)
    with pytest.raises(AttributeError, match="has no attribute 'Rank'; it has EffectiveRank"):
        metrics.Rank  # noqa: B018 - the access is the test


def test_without_torchmetrics_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    metrics._base.cache_clear()
    metrics._made.cache_clear()
    try:
        with pytest.raises(MissingExtraError, match=r"pip install 'noisymodel\[metrics\]'"):
            metrics.SingularValueEntropy  # noqa: B018 - the access is the test
    finally:
        metrics._base.cache_clear()
        metrics._made.cache_clear()


def rank_main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    found = []
    for sizes in SIZES:
        own = features(sum(sizes)).split(list(sizes))[rank]
        for name in NAMES:
            metric = getattr(metrics, name)(6)
            if len(own):
                metric.update(own)
            found.append(metric.compute().item().hex())
            assert int(metric.packed[0]) == len(own), "the state is its own again after the value"
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def test_two_processes_give_the_value_of_all_rows(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-W", "ignore", __file__]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment) for rank in range(2)]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1], "the same on every rank, to the bit"
    whole = [expected(name, features(sum(sizes))) for sizes in SIZES for name in NAMES]
    assert [float.fromhex(value) for value in found[0]] == pytest.approx(whole, rel=1e-9)


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank_main(int(sys.argv[1]), Path(sys.argv[2]))
