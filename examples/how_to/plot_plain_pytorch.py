"""
Plain PyTorch
=============

Your training loop needs one change: the loss is ``model(inputs, targets=targets).terms.total``. The picture needs
``pip install 'noisymodel[plot]'``.
"""

# %%
# You bring a pre-trained backbone and labelled data. This page takes scikit-learn's pictures of digits and trains a
# small network to tell large digits from small ones, with three wrong labels in ten.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if find_spec("matplotlib") is None:
    sys.exit("matplotlib is missing: pip install 'noisymodel[plot]'")

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import NMTune, TunedModel
from noisymodel.noise import symmetric
from noisymodel.plot import scree
from noisymodel.spectrum import analyze

torch.manual_seed(0)
digits = load_digits()
pictures, targets = torch.tensor(digits.images[:, None] / 16).float(), torch.tensor(digits.target)
backbone = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 32, 3, stride=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(288, 64),
)
pretraining = nn.Sequential(backbone, nn.ReLU(), nn.Linear(64, 2))
wrong = symmetric((targets[:900] >= 5).long(), 0.3, num_classes=2, seed=0).labels
optimizer = torch.optim.AdamW(pretraining.parameters(), lr=3e-3)
for _ in range(30):
    for batch in torch.randperm(900).split(100):
        nn.functional.cross_entropy(pretraining(pictures[batch]), wrong[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()

# %%
# Backbone and head are one module. ``freeze=True`` keeps the backbone's weights and its evaluation mode, also after
# ``model.train()``; without it the backbone is trained too. ``drop_last=True`` avoids a last batch of one row: one row
# has no covariance.

model = TunedModel(backbone, NMTune(64, 10), freeze=True)
loader = DataLoader(TensorDataset(pictures[:900], targets[:900]), batch_size=100, shuffle=True, drop_last=True)
optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=3e-3)
history = []
for _ in range(20):
    model.train()
    for inputs, labels in loader:
        terms = model(inputs, targets=labels).terms  # total, task, consistency, covariance, dominant
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append([term.item() for term in terms])

# %%
# In evaluation mode the model returns logits. ``return_features=True`` adds the backbone's features F and the reshaped
# features Z.

with torch.no_grad():
    output = model.eval()(pictures[900:], return_features=True)
print(f"accuracy {(output.logits.argmax(1) == targets[900:]).float().mean():.1%}")

# %%
# Watch every term. If a term does not move, its weight is too small; if the task term rises, a weight is too large.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, values, style in zip(terms._fields, zip(*history, strict=True), ["-", "--", "-.", ":", "-"], strict=True):
    if name != "total":
        left.plot(values, style, label=name)
left.set(xlabel="step", ylabel="term, unweighted")
left.legend(frameon=False)
scree({"features F": analyze(output.features), "reshaped Z": analyze(output.tuned)}, ax=right)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_plain_pytorch.png.")
figure.savefig((sys.argv[1:] or ["plot_plain_pytorch.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# Save with ``torch.save(model.state_dict(), file)``, or the head alone with ``model.head.save_pretrained(folder)``.
#
# To copy: ``examples/plain_pytorch.py`` (frozen, then fine-tuned), ``examples/two_views.py`` (weak and strong views).
# More: :doc:`/white_box`, on layers, dense tasks and the reference of the consistency term.
