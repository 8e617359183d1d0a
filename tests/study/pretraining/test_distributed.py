"""Pre-training by two processes (gloo) is that of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from noisymodel.study.pretraining import PretrainingRequest, pretrain
from noisymodel.study.pretraining import distributed as ranks_module
from noisymodel.study.pretraining.distributed import global_statistics, shares
from noisymodel.study.pretraining.network import Embeddings
from noisymodel.study.pretraining.objectives import Batch, contrastive_loss
from ranks import Ranks
from study.pretraining.tiny_requests import pictures, request, texts

CASES = {
    "supervised, resnet": ("supervised", "resnet"),
    "supervised, mlp": ("supervised", "mlp"),
    "supervised, vit": ("supervised", "vit"),
    "contrastive, resnet": ("contrastive", "resnet"),
    "contrastive, vit": ("contrastive", "vit"),
    "masked_token, transformer": ("masked_token", "transformer"),
}
WORLD = 2
CENTRED = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0], [-2.0, 0.0], [1.5, 1.0]])


def of_case(case: str, checkpoints: Path | None = None) -> PretrainingRequest:
    """Batches of 7, 7 and 3; of the texts the last batch has a single one, so that a rank has none."""
    examples = texts(15) if case.startswith("masked") else pictures(17)
    return request(*CASES[case], examples=examples, batch_size=7, checkpoints=checkpoints, checkpoint_steps=2)


def train_and_save(own: int, folder: Path) -> None:
    """What one process does: all cases, one of them again from its checkpoint, one by itself, and gradients."""
    import torch.distributed as dist

    for case in CASES:
        trained = pretrain(of_case(case, folder / case))
        save_file(dict(trained.states[0]), folder / f"{case} {own}.safetensors")
    dist.barrier()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("rate-*.safetensors")}
    again = pretrain(of_case("supervised, resnet", folder / "supervised, resnet"))
    save_file(dict(again.states[0]), folder / f"again {own}.safetensors")
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("rate-*.safetensors")}
    alone = pretrain(dataclasses.replace(of_case("supervised, resnet"), seed=own, gather=False))
    save_file(dict(alone.states[0]), folder / f"alone {own}.safetensors")
    save_file(gradients(own), folder / f"gradients {own}.safetensors")


def gradients(own: int | None) -> dict[str, torch.Tensor]:
    """Of BatchNorm and the contrastive loss, of rows that are split 5 = 3 + 2, or of all rows."""
    group = None if own is None else torch.distributed.group.WORLD
    batch = Batch(torch.arange(5), 0, torch.device("cpu"), group)
    rows = CENTRED.clone().requires_grad_()
    norm = nn.BatchNorm1d(2)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7, 1.3]))
    with global_statistics(group):
        normed = norm(rows[batch.own])
    weights = torch.arange(10.0).view(5, 2).sin()
    (normed * weights[batch.own]).sum().backward()
    pictures_, captions = (CENTRED.roll(shift, 0).clone().requires_grad_() for shift in (0, 1))
    scale = torch.tensor(1.7, requires_grad=True)
    embedded = Embeddings(pictures_[batch.own], captions[batch.own], scale)
    loss = contrastive_loss(embedded, batch)
    loss.backward()
    return {
        "rows": rows.grad,
        "mean": norm.running_mean,
        "var": norm.running_var,
        "weight": norm.weight.grad,
        "pictures": pictures_.grad,
        "captions": captions.grad,
        "scale": scale.grad,
        "loss": loss.detach(),
    }


@pytest.fixture(scope="module")
def folder(on_ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have left."""
    folder = tmp_path_factory.mktemp("ranks")
    on_ranks(train_and_save, folder, world=WORLD)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(folder: Path, case: str) -> None:
    first, second = (load_file(folder / f"{case} {own}.safetensors") for own in range(WORLD))
    expected = pretrain(of_case(case)).states[0]
    start = pretrain(of_case(case)).network.state_dict()
    assert first.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=2e-5, rtol=1e-3, msg=name)
    moved = [(expected[name].double() - value.double()).abs().max().item() for name, value in start.items()]
    assert max(moved) > 1e-3, "what is compared was trained"


def test_gradients_are_those_of_one_process(folder: Path) -> None:
    parts = [load_file(folder / f"gradients {own}.safetensors") for own in range(WORLD)]
    expected = gradients(None)
    for name, value in expected.items():
        if name in ("mean", "var"):
            for part in parts:
                torch.testing.assert_close(part[name], value, msg=name)
        else:
            torch.testing.assert_close(parts[0][name] + parts[1][name], value, msg=name)


def test_a_finished_training_is_read_by_all_and_written_by_none(folder: Path) -> None:
    for own in range(WORLD):
        again = load_file(folder / f"again {own}.safetensors")
        before = load_file(folder / f"supervised, resnet {own}.safetensors")
        assert all(torch.equal(value, before[name]) for name, value in again.items())


def test_a_checkpoint_of_two_processes_is_one_of_one(folder: Path) -> None:
    case = "supervised, resnet"
    resumed = pretrain(of_case(case, folder / case)).states[0]
    written = load_file(folder / f"{case} 0.safetensors")
    assert all(torch.equal(value, written[name]) for name, value in resumed.items())


def test_ranks_by_themselves(folder: Path) -> None:
    for own in range(WORLD):
        expected = pretrain(dataclasses.replace(of_case("supervised, resnet"), seed=own)).states[0]
        alone = load_file(folder / f"alone {own}.safetensors")
        assert all(torch.equal(value, alone[name]) for name, value in expected.items())


def test_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shares(5, None) == [5]
    for ranks, expected in ((2, [3, 2]), (3, [2, 2, 1]), (7, [1, 1, 1, 1, 1, 0, 0])):
        monkeypatch.setattr(ranks_module, "world_size", lambda _group, ranks=ranks: ranks)
        assert shares(5, None) == expected
