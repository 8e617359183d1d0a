"""
Lightning
=========

``NMTuneModule`` is a ``LightningModule`` for a backbone and a head; ``SpectrumCallback`` logs the spectra of the
validation features. This page needs ``pip install 'noisymodel[lightning,plot]'``.
"""

# %%
# You bring a backbone and loaders. Here a small network and scikit-learn's pictures of digits.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [name for name in ("lightning", "matplotlib") if find_spec(name) is None]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[lightning,plot]'")

# sphinx_gallery_end_ignore
import tempfile

import lightning
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import NMTune
from noisymodel.integrations.lightning import NMTuneModule, SpectrumCallback

torch.manual_seed(0)
digits = load_digits()
data = TensorDataset(torch.tensor(digits.images[:, None] / 16).float(), torch.tensor(digits.target))
training, validation = torch.utils.data.random_split(data, [900, 897])
backbone = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU())  # (N, 64, 2, 2)

# %%
# ``freeze=True``, the default, keeps the backbone frozen, also when ``trainer.fit`` switches to training mode. Here the
# backbone is trained, and Z is compared with the backbone's features of the same step.


class History(lightning.Callback):
    """The logged values at the end of each epoch."""

    def __init__(self) -> None:
        self.epochs = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs.append({name: float(value) for name, value in trainer.callback_metrics.items()})


history = History()
head = NMTune(64, 10, covariance_weight=0.1, dominant_weight=0.1)
module = NMTuneModule(backbone, head, freeze=False, learning_rate=3e-3)
with tempfile.TemporaryDirectory() as folder:
    trainer = lightning.Trainer(
        max_epochs=10,
        accelerator="cpu",
        callbacks=[SpectrumCallback(), history],
        default_root_dir=folder,
        logger=False,  # yours
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=5,
    )
    trainer.fit(module, DataLoader(training, 50, shuffle=True, drop_last=True), DataLoader(validation, 100))
print({name: round(value, 3) for name, value in history.epochs[-1].items() if name.startswith("validation")})

# %%
# Every term by epoch, and the effective rank of the validation features, before the head (F) and behind it (Z).

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for term, style in zip(("task", "consistency", "covariance", "dominant"), ["-", "--", "-.", ":"], strict=True):
    left.plot([epoch[f"train_{term}_epoch"] for epoch in history.epochs], style, label=term)
left.set(xlabel="epoch", ylabel="term, unweighted")
left.legend(frameon=False)
for name, letter, style in (("features", "F", "o-"), ("tuned", "Z", "s--")):
    right.plot([epoch[f"validation_{name}_effective_rank"] for epoch in history.epochs], style, label=letter)
right.set(xlabel="epoch", ylabel="effective rank")
right.legend(frameon=False)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_lightning.png.")
figure.savefig((sys.argv[1:] or ["plot_lightning.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# To copy: ``examples/lightning_module.py``. The checkpoints are Lightning's; ``module.head.save_pretrained(folder)``
# writes the head alone. More: :doc:`/trainers`.
