"""The pre-training of a study by itself, by one process and by two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from noisymodel.errors import ConfigError, OutputFolderError
from noisymodel.study import StudyConfig, run, status
from noisymodel.study.execution.pretraining_only import pretrain_study, process_group
from study import tiny

CONFIG = tiny.digits(
    seeds=[1],
    architectures=["mlp", "resnet"],
    methods=["linear_probe"],
    data_options={"pretraining_images": 300, "copies": 1},
)


def networks(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in (out / "cache").glob("pretraining-*.safetensors")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "out"
    assert pretrain_study(CONFIG, out) == []
    return out


def test_networks_are_there_and_the_rest_is_not(alone: Path) -> None:
    assert len(networks(alone)) == 2
    assert all(cell.missing == ("pretraining", "features", "linear_probe") for cell in status(alone).cells)
    assert run(CONFIG, cache=alone / "cache", workers=1).table == run(CONFIG, workers=1).table
    with pytest.raises(OutputFolderError, match="holds another study"):
        pretrain_study(tiny.digits(), alone)


@pytest.mark.slow
def test_two_processes_of_torchrun_give_the_networks_of_one(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "noisymodel",
    ]
    command += ["study", "--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "out"), "--pretrain-only"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Pre-trained, 0 cells failed") == 1, "rank 0 alone speaks"
    together = networks(tmp_path / "out")
    assert together.keys() == networks(alone).keys()
    for name, state in networks(alone).items():
        for key, value in state.items():
            torch.testing.assert_close(together[name][key], value, rtol=1e-3, atol=1e-4, msg=key)


def test_a_rank_without_a_world_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match="expected WORLD_SIZE beside RANK"), process_group("cpu"):
        pass


def test_a_cell_that_fails_is_told_and_the_others_are_there(tmp_path: Path) -> None:
    config = StudyConfig.from_mapping({**CONFIG.to_dict(), "pretraining": {"epochs": 1, "learning_rate": 1e30}})
    failures = pretrain_study(config, tmp_path / "out")
    assert [failure.part for failure in failures] == ["pretraining"] * len(failures)
    assert "resnet" in {failure.cell.architecture for failure in failures}
