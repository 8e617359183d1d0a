"""torchmetrics shells: the values of the accumulator, merged, synchronised over processes, moved and pickled."""

from __future__ import annotations

import inspect
import math
import pickle
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

pytest.importorskip("torchmetrics")

from noisymodel import metrics
from noisymodel.errors import MissingExtraError
from noisymodel.spectrum import SpectrumAccumulator, analyze
from ranks import Ranks

NAMES = {
    "SingularValueEntropy": "entropy",
    "LargestSingularValueRatio": "largest_ratio",
    "EffectiveRank": "effective_rank",
}
EACH = pytest.mark.parametrize("name", NAMES)
CASES = [((30, 20), False), ((0, 25), False), ((40, 0), False), ((40, 0), True), ((3, 60), True), ((0, 0), False)]


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
    metric.reset()
    assert metric.packed.dtype == torch.float64, "which a rank without rows sends to the others"


@pytest.mark.filterwarnings("ignore")  # of Lightning's own
@pytest.mark.parametrize("precision", ["32-true", "16-true", "bf16-true"])
def test_lightning_logs_the_metric_of_the_epoch(precision: str, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    rows = features(50)

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.metrics = torch.nn.ModuleDict({name: getattr(metrics, name)(6) for name in NAMES})

        def validation_step(self, batch: torch.Tensor, index: int) -> None:
            for name, metric in self.metrics.items():
                metric.update(batch)
                self.log(name, metric)

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(accelerator="cpu", precision=precision, default_root_dir=tmp_path, **options)
    loader = torch.utils.data.DataLoader(rows, batch_size=8, generator=torch.Generator())
    model = Model()
    for _ in range(2):  # the second time from an empty state
        trainer.validate(model, loader, verbose=False)
        kind = {"32-true": torch.float32, "16-true": torch.float16, "bf16-true": torch.bfloat16}[precision]
        for name, metric in model.metrics.items():
            value = trainer.callback_metrics[name]
            assert value.item() == pytest.approx(expected(name, rows.to(kind)), rel=1e-9)
            assert metric.packed.dtype == torch.float64


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


def test_without_torchmetrics_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, "noisymodel.metrics")
    with pytest.raises(MissingExtraError, match=r"pip install 'noisymodel\[metrics\]'"):
        import_module("noisymodel.metrics")


def values_on_rank(rank: int) -> list[str]:
    found = []
    for sizes, half in CASES:
        own = features(sum(sizes)).split(list(sizes))[rank]
        for name in NAMES:
            metric = getattr(metrics, name)(6)
            if half:  # a module in half precision, after an epoch
                metric.update(features(3))
                torch.nn.ModuleDict({"metric": metric}).half()
                metric.reset()
            if len(own):
                metric.update(own)
            found.append(metric.compute().item().hex())
            assert int(metric.packed[0]) == len(own), "the state is its own again after the value"
    return found


def test_two_processes_give_the_value_of_all_rows(on_ranks: Ranks) -> None:
    found = on_ranks(values_on_rank)
    assert found[0] == found[1], "the same on every rank, to the bit"
    whole = [expected(name, features(sum(sizes))) if any(sizes) else math.nan for sizes, _ in CASES for name in NAMES]
    assert [float.fromhex(value) for value in found[0]] == pytest.approx(whole, rel=1e-9, nan_ok=True)
