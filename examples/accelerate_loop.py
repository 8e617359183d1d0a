"""NMTune in a plain loop with Accelerate: one process or many, with statistics of the global batch.

    python examples/accelerate_loop.py
    accelerate launch --cpu --num_processes 2 examples/accelerate_loop.py

Copy this for your own loop on one or more processes. With ``gather=True`` the batch statistics cover all processes, and
gradients are right after the averaging of DDP. `accelerate`'s own ``gather`` carries no gradient: use it for logs only.
"""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, TensorDataset

try:
    from accelerate import Accelerator
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[accelerate]'") from None

from noisymodel import NMTune, NMTuneLoss


def main() -> None:
    accelerator = Accelerator(gradient_accumulation_steps=2)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(256, 32, generator=generator)  # yours
    data = TensorDataset(features, features[:, :3].argmax(1))
    head = NMTune(32, 3, norm="layer", generator=generator)  # norm="batch": SyncBatchNorm.convert_sync_batchnorm(head)
    criterion = NMTuneLoss(gather=True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    loader = DataLoader(data, 16, drop_last=True)
    head, optimizer, loader = accelerator.prepare(head, optimizer, loader)
    for epoch in range(3):
        logged = []
        for batch, targets in loader:
            with accelerator.accumulate(head):
                logits, tuned = head(batch, return_features=True)  # through the wrapper, so that DDP sees it
                terms = criterion(logits, targets, tuned=tuned, reference=batch)
                accelerator.backward(terms.total)  # divides by the accumulation steps
                optimizer.step()
                optimizer.zero_grad()
            logged.append(torch.stack([term.detach() for term in terms]))
        means = accelerator.reduce(torch.stack(logged).mean(0), reduction="mean")
        shown = " ".join(f"{name} {value:.4f}" for name, value in zip(terms._fields, means.tolist(), strict=True))
        accelerator.print(f"epoch {epoch + 1} of {accelerator.num_processes} process(es): {shown}")
    norm = torch.cat([weight.detach().flatten() for weight in head.parameters()]).norm()
    norms = accelerator.gather(norm[None])
    accelerator.print("the same weights everywhere:", bool((norms == norms[0]).all()))
    accelerator.end_training()


if __name__ == "__main__":
    main()
