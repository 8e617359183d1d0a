"""The Trainer and a loop with Accelerate on two processes (gloo). Started as a script this file is one of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# pinning of memory without a device
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
EXAMPLE = Path(__file__).parents[2] / "examples" / "accelerate_loop.py"


def launched(command: list[str], world: int) -> list[str]:
    """Standard output of each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared |= {"HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    results = [process.communicate(timeout=240) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [output for output, _ in results]


def train(folder: Path, world: int) -> None:
    """One epoch by Trainer with SGD; every process saw a batch of 16 over all processes."""
    from transformers import BertConfig, BertModel, TrainingArguments

    from noisymodel.integrations.transformers import NMTuneForSequenceClassification, NMTuneTrainer

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = NMTuneForSequenceClassification.from_backbone(
        BertModel(config), 3, seed=1, norm="layer", gather=True, input_noise=0.0
    )
    ids = torch.randint(4, 50, (64, 8))
    rows = [{"input_ids": row, "labels": row[0] % 3} for row in ids]
    arguments = TrainingArguments(
        str(folder), num_train_epochs=1, per_device_train_batch_size=16 // world,
        per_device_eval_batch_size=32 // world, optim="sgd", learning_rate=0.1, logging_steps=2,
        eval_strategy="epoch", save_strategy="no", use_cpu=True, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = NMTuneTrainer(model, arguments, train_dataset=rows, eval_dataset=rows[:32])
    trainer.train()
    weights = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    history = [
        {name: value for name, value in entry.items() if "time" not in name} for entry in trainer.state.log_history
    ]
    if trainer.is_world_process_zero():
        (folder / "result.json").write_text(json.dumps({"history": history, "weights": weights.tolist()}))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        # DDP's reducer, freed with the GIL held, joins gloo's thread, which may want the GIL: torch 2.13 hangs then
        os._exit(0)


@pytest.mark.slow
def test_two_processes_are_one_with_the_whole_batch(tmp_path: Path) -> None:
    launched([__file__, str(tmp_path)], 2)
    results = {2: json.loads((tmp_path / "result.json").read_text())}
    train(tmp_path, world=1)
    results[1] = json.loads((tmp_path / "result.json").read_text())
    torch.testing.assert_close(
        torch.tensor(results[2]["weights"]), torch.tensor(results[1]["weights"]), atol=1e-5, rtol=1e-4
    )
    for one, two in zip(results[1]["history"][:3], results[2]["history"][:3], strict=True):
        assert one.keys() == two.keys()
        for name in ("task", "consistency", "covariance", "dominant"):
            for key in {name, f"eval_{name}"} & one.keys():
                assert two[key] == pytest.approx(one[key], rel=1e-3), key


@pytest.mark.slow
def test_the_loop_of_the_example() -> None:
    pytest.importorskip("accelerate")
    first, second = launched([str(EXAMPLE)], 2)
    assert "epoch 3 of 2 process(es)" in first
    assert "the same weights everywhere: True" in first
    assert "epoch" not in second


if __name__ == "__main__":
    train(Path(sys.argv[1]), world=2)
