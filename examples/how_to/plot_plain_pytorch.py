"""
Plain PyTorch
=============

A loop of your own needs one change: the loss is ``model(inputs, targets=targets).terms.total``. Needs nothing but
``pip install noisymodel`` and, for the picture, matplotlib.
"""

# %%
# Yours: a pre-trained backbone, and labelled data. Here scikit-learn's pictures of digits, and a small network that has
# been trained to tell large digits from small ones while three labels in ten were wrong.

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
# Backbone and head are one module. ``freeze=True`` keeps the backbone as it is, in evaluation mode, whatever
# ``model.train()`` says; without it the backbone is trained too. The loader drops a last batch that may have one row:
# one row has no covariance.

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
# In evaluation the model gives logits, and with ``return_features=True`` also what the backbone gave (F) and what the
# head made of it (Z).

with torch.no_grad():
    output = model.eval()(pictures[900:], return_features=True)
print(f"accuracy {(output.logits.argmax(1) == targets[900:]).float().mean():.1%}")

# %%
# Every term is to be watched: one that does not move has a weight that is too small, one that pulls the task's up has
# one that is too large. The covariance term grows with the fourth power of the features' scale.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, values, style in zip(terms._fields, zip(*history, strict=True), ["-", "--", "-.", ":", "-"], strict=True):
    if name != "total":
        left.plot(values, style, label=name)
left.set(xlabel="step", ylabel="term, unweighted")
left.legend(frameon=False)
scree({"features F": analyze(output.features), "reshaped Z": analyze(output.tuned)}, ax=right)
plt.show()

# %%
# Save with ``torch.save(model.state_dict(), file)``, or the head alone with ``model.head.save_pretrained(folder)``.
#
# To copy: ``examples/plain_pytorch.py`` (frozen, then fine-tuned), ``examples/two_views.py`` (weak and strong views).
# More: :doc:`/white_box`, on layers, dense tasks, and what Z is compared with.
