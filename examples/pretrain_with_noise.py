"""Pre-train residual networks at three rates of caption noise, on one process or on several that share every batch.

    python examples/pretrain_with_noise.py --checkpoints /tmp/noisy
    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 examples/pretrain_with_noise.py --checkpoints /tmp/noisy

A second run resumes from the checkpoints. Two processes give the same networks as one, up to rounding.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from torch import distributed

from noisymodel.study import PretrainingConfig
from noisymodel.study.data import Captions
from noisymodel.study.pretraining import PretrainingRequest, measures, pretrain

RATES = (0.0, 0.1, 0.3)


def main() -> None:
    """Pre-train the networks and print their retrieval accuracy on new pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    several = "RANK" in os.environ  # torchrun's
    if several:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    source = Captions(seed=0, pretraining_images=options.pairs)
    request = PretrainingRequest(
        objective="contrastive",
        architecture="resnet",
        noise_kind="caption_shuffle",
        noise_rates=RATES,
        examples=source.pretraining(),
        seed=0,
        vocabulary=source.vocabulary,
        config=PretrainingConfig(epochs=options.epochs, device="cuda" if torch.cuda.is_available() else "cpu"),
        checkpoints=options.checkpoints,
    )
    trained = pretrain(request)
    if not several or distributed.get_rank() == 0:
        check = source.pretraining_check()
        for index, rate in enumerate(RATES):
            found = measures(request, rate, trained.one(index), check)
            sys.stdout.write(f"caption noise {rate:.0%}: retrieval accuracy {found['retrieval_accuracy']:.3f}\n")
    if several:
        distributed.barrier()
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
