"""Checkpoints: a training that is killed goes on to the bit, and files of others are refused.

Started as a script this file trains in processes that end by SIGKILL: ``python test_checkpoint.py FOLDER``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from noisymodel.errors import StudyError
from noisymodel.study.pretraining import PretrainingRequest, pretrain
from noisymodel.study.pretraining.checkpoint import Checkpoint, Position, described
from noisymodel.study.pretraining.loop import Order, Training
from noisymodel.study.pretraining.schedule import Schedule
from study.pretraining.tiny_requests import pictures, request

CASES = {"resnet": ("supervised", "resnet"), "pairs": ("contrastive", "vit"), "texts": ("masked_token", "transformer")}
KILLED = {"resnet": 4, "pairs": 3, "texts": 1}
"""In which step."""
RATES = (0.0, 0.3)
PER_EPOCH, STEPS = 3, 6


def of_case(case: str, folder: Path | None = None, **settings: Any) -> PretrainingRequest:
    return request(*CASES[case], rates=RATES, checkpoints=folder, checkpoint_steps=1, **settings)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What trainings have left that were killed in the middle of a step of the second rate."""
    folder = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return folder


def record_of(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as content:
        return json.loads(content.metadata()["noisymodel"])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_to_the_bit(case: str, left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, folder = KILLED[case], left / case
    assert sorted(path.name for path in folder.iterdir()) == ["rate-0.3.safetensors", "rate-0.safetensors"]
    record = record_of(folder / "rate-0.3.safetensors")
    assert (record["step"], record["epoch"], record["batch"]) == (step, step // PER_EPOCH, step % PER_EPOCH)
    assert record["schedule"]["steps"] == STEPS
    steps: list[int] = []
    original = Training._step
    monkeypatch.setattr(Training, "_step", lambda self, step: (steps.append(step), original(self, step))[1])
    resumed = pretrain(of_case(case, folder))
    assert steps == list(range(step, STEPS)), "the first rate is not trained again"
    steps.clear()
    straight = pretrain(of_case(case))
    assert len(steps) == 2 * STEPS
    for one, other in zip(resumed.states, straight.states, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
    steps.clear()
    again = pretrain(of_case(case, folder))
    assert not steps
    assert all(torch.equal(value, again.states[1][name]) for name, value in straight.states[1].items())


def test_a_file_holds_everything(tmp_path: Path) -> None:
    pretrain(of_case("resnet", tmp_path))
    with safe_open(tmp_path / "rate-0.3.safetensors", "pt") as content:
        names = set(content.keys())
    assert {"network/classifier.weight", "network/backbone.1.weight", "network/backbone.2.running_var"} <= names
    assert {"optimizer/0/exp_avg", "optimizer/0/exp_avg_sq", "optimizer/0/step", "random/order"} <= names
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".safetensors"]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({"checkpoint_steps": 4}, [0, 4, 6]), ({"checkpoint_seconds": 0.0}, list(range(7))), ({}, [0, 6])],
    ids=str,
)
def test_how_often(settings: dict[str, Any], steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    original = Checkpoint.save

    def save(self: Checkpoint, network: Any, optimizer: Any, schedule: Any, position: Position) -> None:
        written.append(position.step)
        original(self, network, optimizer, schedule, position)

    monkeypatch.setattr(Checkpoint, "save", save)
    pretrain(request("supervised", "vit", checkpoints=tmp_path, **settings))
    assert written == steps


def test_checkpoints_of_others_are_refused(tmp_path: Path) -> None:
    pretrain(of_case("resnet", tmp_path))
    with pytest.raises(
        StudyError,
        match=r"the checkpoint .*rate-0\.safetensors belongs to another pre-training \(epochs 2 then, 3 now; "
        r"weight_decay 0\.1 then, 0\.2 now\): use another folder, or delete it",
    ):
        pretrain(of_case("resnet", tmp_path, epochs=3, weight_decay=0.2))
    with pytest.raises(StudyError, match="seed 1 then, 2 now"):
        pretrain(of_case("resnet", tmp_path, seed=2))
    other = of_case("resnet", tmp_path)
    with pytest.raises(StudyError, match=r"\(inputs '\w{16}' then, '\w{16}' now\)"):
        pretrain(dataclasses.replace(other, examples=pictures()._replace(inputs=pictures(seed=3).inputs)))
    pretrain(of_case("resnet", tmp_path, checkpoint_seconds=1.0, device="cpu"))


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "rate-0.safetensors"
    whole = pretrain(of_case("resnet", tmp_path)).states[0]
    for content in (b"nothing of the kind", b"", path.read_bytes()[:-50]):  # what cannot be read is not there
        path.write_bytes(content)
        again = pretrain(of_case("resnet", tmp_path)).states[0]
        assert all(torch.equal(value, whole[name]) for name, value in again.items())
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(StudyError, match="is no checkpoint of this version's pre-training"):
        pretrain(of_case("resnet", tmp_path))


def test_the_optimiser_comes_back_in_the_parameters_memory_format(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        networks = [nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    optimizers = [torch.optim.AdamW(network.parameters(), fused=True) for network in networks]
    networks[0](torch.ones(1, 2, 4, 4)).square().sum().backward()
    optimizers[0].step()
    checkpoint, position = Checkpoint(tmp_path / "one", {"a": 1}), Position(5, Order(4, 2, 0).start)
    checkpoint.save(networks[0], optimizers[0], Schedule(1.0, 6, 3, 0.0), position)
    restored = checkpoint.restore(networks[1], optimizers[1])
    assert restored is not None
    assert restored.step == 5
    assert torch.equal(restored.order, position.order)
    moments = [
        optimizer.state[network.weight]["exp_avg"] for optimizer, network in zip(optimizers, networks, strict=True)
    ]
    assert moments[0].stride() == moments[1].stride() == networks[1].weight.stride()
    assert torch.equal(*moments)
    assert networks[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_order_of_the_examples_from_any_step() -> None:
    straight = Order(10, 4, seed=3)
    batches, positions = [], []
    for step in range(9):
        positions.append(straight.position(step))
        batches.append(straight(step))
    for epoch in range(3):
        assert sorted(torch.cat(batches[3 * epoch : 3 * epoch + 3]).tolist()) == list(range(10))
    for step in range(9):
        resumed = Order(10, 4, seed=3)
        resumed.go_to(positions[step])
        for later in range(step, 9):
            assert torch.equal(resumed(later), batches[later]), (step, later)
            if later < 8:
                got: tuple[int, Tensor] = resumed.position(later + 1)
                assert torch.equal(got[1], positions[later + 1].order)


def test_what_is_described_is_json(tmp_path: Path) -> None:
    told = described(of_case("pairs", tmp_path), 0.3)
    assert json.loads(json.dumps(told))["noise_rate"] == 0.3
    assert "checkpoint_steps" not in told


def train_and_die(case: str, folder: Path) -> None:
    original = Training._step

    def step_or_die(self: Training, step: int) -> None:
        if self.rate == RATES[1] and step == KILLED[case]:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, step)

    Training._step = step_or_die  # type: ignore[method-assign]
    pretrain(of_case(case, folder / case))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for one in CASES:
        child = os.fork()
        if child == 0:
            train_and_die(one, Path(sys.argv[1]))
            os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
