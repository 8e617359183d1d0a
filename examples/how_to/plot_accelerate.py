"""
Accelerate
==========

Your own training loop, for one process or many. The covariance and dominant terms are statistics of a batch; with
``gather=True`` they are statistics of the global batch of all processes. This page needs
``pip install 'noisymodel[accelerate,plot]'``.
"""

# %%
# You bring features, or a backbone before the head. Here the features are scikit-learn's digits.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [name for name in ("accelerate", "matplotlib") if find_spec(name) is None]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[accelerate,plot]'")

# sphinx_gallery_end_ignore
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
# Compute the logits through the wrapper from ``prepare``, so that DDP sees them. The criterion gathers the rows of all
# processes; after DDP's averaging its gradients are those of the global batch. Accelerate's own ``gather`` carries no
# gradient: use it for logs only. ``norm="layer"`` needs no statistics of the batch; with ``norm="batch"`` convert the
# head to ``SyncBatchNorm`` first.

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
# The right panel shows why the global batch matters: the covariance term of the same features, in batches of growing
# size. Eight processes with 16 rows each compute the term of 128 rows with ``gather=True``, and of 16 rows without it.
# Accumulating gradients does not help: each term still comes from one batch.

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
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_accelerate.png.")
figure.savefig((sys.argv[1:] or ["plot_accelerate.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# To copy: ``examples/accelerate_loop.py``, by ``accelerate launch --cpu --num_processes 2
# examples/accelerate_loop.py``; it also checks that all processes end with the same weights. More: :doc:`/trainers`.
