"""What a study will take: counts are exact, times add up, nothing is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from noisymodel.study import Estimate, estimate, plan
from noisymodel.study.cell import Cell
from noisymodel.study.dry_run import _Costs
from noisymodel.study.execution import execute
from noisymodel.study.part_cache import PartCache
from study import tiny

CONFIG = tiny.digits(shots=[3, 4])


@pytest.fixture
def _fixed_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds to pre-train, one of features, two of each tuning."""

    def cost(self: _Costs, cell: Cell) -> None:
        self.pretraining, self.features = 10.0, 1.0
        self.tuning = {part: 2.0 for part in cell.plan.parts if part.method}

    monkeypatch.setattr(_Costs, "__init__", cost)


@pytest.mark.usefixtures("_fixed_costs")
def test_times_are_of_what_is_missing(tmp_path: Path) -> None:
    cache = PartCache(tmp_path / "cache")
    found = estimate(CONFIG, cache.folder, workers=8)
    assert (found.cells, found.missing_cells, found.parts, found.missing_parts) == (2, 2, 12, 12)
    assert (found.pretraining_seconds, found.evaluation_seconds, found.tuning_seconds) == (20, 2, 16)
    assert (found.workers, found.seconds) == (2, 19), "no more processes than cells"
    assert estimate(CONFIG, cache.folder, workers=1).seconds == 38
    execute(plan(tiny.digits(seeds=[1], shots=[3, 4])), cache, workers=1)
    half = estimate(CONFIG, cache.folder, workers=1)
    assert (half.missing_cells, half.missing_parts, half.seconds) == (1, 6, 19)
    more = estimate(
        tiny.digits(seeds=[1], shots=[3, 4], methods=["linear_probe", "mlp", "mlp_tuned"]), cache.folder, workers=1
    )
    assert (more.missing_parts, more.pretraining_seconds, more.tuning_seconds) == (2, 0, 4), "networks are stored"


def test_every_kind_of_work_is_timed_and_nothing_is_written(tmp_path: Path) -> None:
    config = tiny.glyphs(
        architectures=["mlp", "resnet"],
        seeds=[1],
        methods=["linear_probe", "full_fine_tuning"],
        method_options={"linear_probe": {"epochs_factor": 0.4}},
    )
    found = estimate(config, tmp_path / "cache", workers=1)
    assert min(found.pretraining_seconds, found.tuning_seconds, found.evaluation_seconds) > 0
    assert not (tmp_path / "cache").exists()
    longer = dataclasses.replace(config, pretraining=dataclasses.replace(config.pretraining, epochs=2000))
    assert estimate(longer, tmp_path, workers=1).pretraining_seconds > 20 * found.pretraining_seconds


def test_the_text_says_time_disk_and_where_it_comes_from() -> None:
    shown = str(Estimate(8, 6, 72, 60, 600.0, 4000.0, 12.0, 2, 16_000_000))
    assert "cells: 8, 6 of them to compute" in shown
    assert "pre-training 10 min, tuning 67 min, features 12 s on one core" in shown
    assert "about 38 min with 2 processes" in shown
    assert "about 16 MB" in shown
