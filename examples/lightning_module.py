"""NMTune on a frozen backbone by Lightning, with spectra of the validation features.

    python examples/lightning_module.py

Copy this when your loop is `lightning.Trainer`.
"""

from __future__ import annotations

import tempfile

import torch
from torch.utils.data import DataLoader, TensorDataset

try:
    import lightning
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[lightning]'") from None

from noisymodel import NMTune
from noisymodel.integrations.lightning import NMTuneModule, SpectrumCallback


def main() -> None:
    lightning.seed_everything(0, verbose=False)
    backbone = torch.nn.Sequential(torch.nn.Linear(20, 32), torch.nn.Tanh())  # yours
    inputs = torch.randn(193, 20)
    data = TensorDataset(inputs, inputs[:, :3].argmax(1))
    module = NMTuneModule(backbone, NMTune(32, 3), learning_rate=1e-2)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=5,
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            callbacks=[SpectrumCallback()],
        )
        trainer.fit(module, DataLoader(data, 32, shuffle=True, drop_last=True), DataLoader(data, 64))
    for name, value in sorted(trainer.callback_metrics.items()):
        print(f"{name:40} {float(value):.4f}")


if __name__ == "__main__":
    main()
