"""
Accelerate
==========

A loop of your own, for one process or many. What many change is the batch: the covariance and dominant terms are
statistics of it, and with ``gather=True`` of the global one. Needs ``pip install 'noisymodel[accelerate,plot]'``.
"""

# %%
# Yours: features, or a backbone before the head. Here scikit-learn's digits.

import matplotlib.pyplot as plt
import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import NMTune, NMTuneLoss
from noisymodel.losses import covariance_loss

rows, labels = load_digits(return_X_y=True)
features, targets = torch.tensor(rows / 16).float(), torch.tensor(labels)

# %%
# The logits come through the wrapper that ``prepare`` makes, so that DDP sees them; the criterion gathers, with
# gradients that are right after the averaging of DDP. Accelerate's own ``gather`` carries no gradient: it is for
# logs. ``norm="layer"`` needs no statistics of the batch; with ``norm="batch"`` convert the head to ``SyncBatchNorm``
# first.

accelerator = Accelerator(gradient_accumulation_steps=2)
head = NMTune(64, 10, norm="layer", generator=torch.Generator().manual_seed(0))
criterion = NMTuneLoss(covariance_weight=0.1, dominant_weight=0.1, gather=True)
optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
generator = torch.Generator().manual_seed(0)
loader = DataLoader(
    TensorDataset(features[:900], targets[:900]), batch_size=50, shuffle=True, drop_last=True, generator=generator
)
head, optimizer, loader = accelerator.prepare(head, optimizer, loader)
history = []
for _ in range(10):
    for batch, answers in loader:
        with accelerator.accumulate(head):
            logits, tuned = head(batch, return_features=True)
            terms = criterion(logits, answers, tuned=tuned, reference=batch)
            accelerator.backward(terms.total)  # divides by the accumulation steps
            optimizer.step()
            optimizer.zero_grad()
        history.append(accelerator.reduce(torch.stack([term.detach() for term in terms]), reduction="mean").tolist())
plain = accelerator.unwrap_model(head).eval()
with torch.no_grad():
    accelerator.print(f"accuracy {(plain(features[900:]).argmax(1) == targets[900:]).float().mean():.1%}")

# %%
# On the right, why the global batch matters: the covariance term of the same features, in batches of growing size.
# Eight processes with 16 rows each have the term of 128 rows with ``gather=True``, and without it that of 16.
# Accumulating gradients is no way around: the term stays that of one batch.

sizes = [8, 16, 32, 64, 128, 256]
drawn = torch.Generator().manual_seed(1)
values = [
    [covariance_loss(features[torch.randperm(1797, generator=drawn)[:n]]).item() for _ in range(50)] for n in sizes
]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, line, style in zip(terms._fields, zip(*history, strict=True), ["-", "--", "-.", ":", "-"], strict=True):
    if name != "total":
        left.plot(line, style, label=name)
left.set(xlabel="step", ylabel="term, unweighted")
left.legend(frameon=False)
right.boxplot(values, tick_labels=[str(size) for size in sizes], whis=(0, 100))
right.set(xlabel="rows of the batch", ylabel="covariance term, 50 draws")
plt.show()

# %%
# To copy: ``examples/accelerate_loop.py``, by ``accelerate launch --cpu --num_processes 2
# examples/accelerate_loop.py``; it also checks that all processes end with the same weights. More: :doc:`/trainers`.
