"""Lightning on two processes with uneven rows. Started as a script this file is one of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest


def validate(folder: Path) -> None:
    """Rank 0 has three rows, two of them right; rank 1 has two, none of them right."""
    import torch
    from lightning import Trainer
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from noisymodel import NMTune
    from noisymodel.integrations.lightning import NMTuneModule

    rank = int(os.environ["LOCAL_RANK"])
    torch.manual_seed(0)
    module = NMTuneModule(nn.Identity(), NMTune(4, 3))
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        classes = module.head.eval()(rows).argmax(1)
    labels = torch.where(torch.tensor([True, True, False, False, False]), classes, (classes + 1) % 3)
    part = slice(0, 3) if rank == 0 else slice(3, 5)
    data = DataLoader(TensorDataset(rows[part], labels[part]), batch_size=int(sys.argv[2]))
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", plugins=[LightningEnvironment()], use_distributed_sampler=False,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    (found,) = trainer.validate(module, data, verbose=False)
    (folder / f"{rank}.json").write_text(json.dumps(found["validation_accuracy"]))
    torch.distributed.barrier()
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [5, 2])
def test_validation_accuracy_is_that_of_all_rows(tmp_path: Path, batch_size: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    command = [sys.executable, __file__, str(tmp_path), str(batch_size)]
    ranks = [
        subprocess.Popen(command, env=shared | {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for rank in ranks:
        _, errors = rank.communicate(timeout=240)
        assert rank.returncode == 0, errors[-2000:].decode()
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert found == pytest.approx([2 / 5] * 2)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    validate(Path(sys.argv[1]))
