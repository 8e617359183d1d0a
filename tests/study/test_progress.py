"""How far a study is: counted from what can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noisymodel.errors import OutputFolderError
from noisymodel.study import StudyConfig, plan, status
from noisymodel.study.execution import Shard
from noisymodel.study.output_folder import CACHE_FOLDER
from noisymodel.study.part_cache import PartCache
from noisymodel.study.runner import run_shard
from study import tiny

CONFIG = tiny.digits(shots=[3, 4])


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two seeds of which the first is there."""
    out = tmp_path_factory.mktemp("half") / "out"
    run_shard(CONFIG, out, Shard(0, 2), workers=1)
    return out


def test_parts_are_counted_and_named(half: Path) -> None:
    found = status(half)
    assert [cell.name.seed for cell in found.cells] == [1, 2]
    assert (found.parts, found.missing, found.reported) == (2 * (2 + 2 * 2), 6, False)
    assert found.cells[0].missing == ()
    assert found.cells[1].missing == (
        "pretraining", "features", "linear_probe (3 shots)", "mlp (3 shots)", "linear_probe (4 shots)", "mlp (4 shots)",
    )  # fmt: skip
    shown = str(found)
    assert "6 of 12 parts, 1 of 2 cells whole" in shown
    assert "supervised mlp, symmetric noise: 1 of 2 seeds whole" in shown
    assert "missing: pretraining × 1, features × 1, linear_probe (3 shots) × 1" in shown
    assert shown.endswith("no report yet")


def test_a_part_that_is_lost_or_cannot_be_read_is_missing_again(half: Path) -> None:
    planned = plan(CONFIG)
    path = PartCache(half / CACHE_FOLDER).path(planned.identity(tiny.cell_name(1), planned.parts[3]))
    whole = path.read_bytes()
    try:
        for content in (b"{}", whole[:40], None):
            path.unlink() if content is None else path.write_bytes(content)
            assert status(half).cells[0].missing == ("mlp (3 shots)",)
    finally:
        path.write_bytes(whole)


def test_failures_and_checkpoints_are_told(half: Path) -> None:
    planned = plan(CONFIG)
    name = tiny.cell_name(2)
    checkpoints = PartCache(half / CACHE_FOLDER).checkpoints(planned.pretraining(name))
    failure = {"cell": str(name), "part": "mlp", "message": "RuntimeError: no"}
    try:
        (half / "failures.json").write_text(json.dumps([failure]))
        checkpoints.mkdir()
        (checkpoints / "rate-0.safetensors").write_bytes(b"")
        found = status(half)
        (half / "failures.json").write_text("{}")
        assert status(half).cells[1].failures == ()
    finally:
        (half / "failures.json").unlink()
        (checkpoints / "rate-0.safetensors").unlink()
        checkpoints.rmdir()
    assert [len(cell.failures) for cell in found.cells] == [0, 1]
    age = found.cells[1].checkpoint_age
    assert found.cells[0].checkpoint_age is None
    assert age is not None
    assert age >= 0
    assert f"failed: {name}, mlp: RuntimeError: no" in str(found)
    assert f"pre-training: {name}, last checkpoint" in str(found)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    for content in (None, "[]", "3", "{"):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(OutputFolderError, match="holds no study: expected the folder that --out"):
            status(tmp_path)


def test_the_cache_may_lie_elsewhere(half: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    assert status(tmp_path).missing == 12
    assert status(tmp_path, cache=half / CACHE_FOLDER).missing == 6
    assert StudyConfig.load(tmp_path / "config.json") == CONFIG
