"""A callback that logs the spectra of the validation features."""

# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer

from ..._checks import check_choice, check_integer
from ...spectrum import SpectrumAccumulator

METRICS = ("entropy", "largest_ratio", "effective_rank")
"""The logged properties of `noisymodel.spectrum.Spectrum`: SVE, LSVR and exp(SVE)."""


class SpectrumCallback(Callback):
    """Logs the spectra of the validation features F and Z, as ``validation_features_entropy`` and so on.

    For each of F and Z it logs ``entropy`` (SVE), ``largest_ratio`` (LSVR) and ``effective_rank`` over all rows of all
    validation loaders and all processes; uncentred, as in the paper. It holds two D × D factors, no features. The
    module's ``validation_step`` must return a dictionary with the features under the names in ``of``, as
    `NMTuneModule` does.

    Args:
        every_n_epochs: measure every n epochs.
        of: ``"features"``, ``"tuned"`` or both.
    """

    def __init__(self, every_n_epochs: int = 1, of: tuple[str, ...] = ("features", "tuned")) -> None:
        self.every_n_epochs = check_integer(every_n_epochs, "every_n_epochs", minimum=1)
        for name in of:
            check_choice(name, "of", ("features", "tuned"))
        self.of = of
        self._totals: dict[str, SpectrumAccumulator] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin new spectra."""
        self._totals = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        if trainer.sanity_checking or trainer.current_epoch % self.every_n_epochs:
            return
        for name in self.of:
            rows = outputs[name].detach()
            total = self._totals.setdefault(name, SpectrumAccumulator(rows.shape[-1]))
            total.update(rows)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the spectra over all processes."""
        for name, total in self._totals.items():
            spectrum = total.reduce().spectrum()
            for metric in METRICS:
                pl_module.log(f"validation_{name}_{metric}", float(getattr(spectrum, metric)), rank_zero_only=False)
