"""Cells as Ray tasks: the results of processes, and failures that are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisymodel import study
from noisymodel.errors import MissingExtraError, StudyError
from study import tiny


def test_a_missing_ray_and_an_unknown_backend_are_said_before_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"`backend` must be one of .*got 'spark'"):
        study.run(tiny.digits(), backend="spark")
    monkeypatch.setattr("noisymodel.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"`ray` is needed for a study as Ray tasks: .*noisymodel\[ray\]"):
        study.run(tiny.digits(), backend="ray")


@pytest.mark.slow
def test_ray_tasks_give_the_results_of_this_process(ray: object, tmp_path: Path) -> None:
    config = tiny.digits(methods=["linear_probe"], shifts=["rotation"])
    by_ray = study.run(config, cache=tmp_path / "shared", workers=1, backend="ray")
    assert by_ray.table == study.run(config, workers=1).table
    assert len(list((tmp_path / "shared").glob("networks-*"))) == 2
    failing = tiny.digits(seeds=[1, 2], data_options={"pretraining_images": 1797})
    with pytest.raises(StudyError, match=r"every method failed, the first with: .* seed [12], pretraining: "):
        study.run(failing, cache=tmp_path / "shared", backend="ray")
