"""A `Trainer` that logs every term and averages them, and the loss, over accumulated batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import Trainer

from ..terms import TermMeans, means

if TYPE_CHECKING:
    from torch import nn

    _Trainer = Trainer
else:
    _Trainer = object


class NMTuneTrainerMixin(_Trainer):
    """The additions of `NMTuneTrainer`, for any `Trainer`: ``class Mine(NMTuneTrainerMixin, TheirTrainer)``.

    The model is one of `noisymodel.integrations.transformers`, or PEFT's wrapper of one.

    - It logs ``task``, ``consistency``, ``covariance`` and ``dominant`` beside ``loss``: means over the batches since
      the last log, over all processes. In evaluation it logs ``eval_task`` and so on: means over the rows; a batch that
      is too small for a regularizer does not count in its mean.
    - Gradient accumulation: the loss of a batch is its mean, so the gradient of k accumulated batches is the mean of
      their gradients, whatever the version of transformers does with ``num_items_in_batch``. Batch statistics are those
      of one batch on one device, or on all devices with the head's ``gather=True``; accumulation does not enlarge them.
    - If the last batch is too small for training the head, an error comes before training begins.

    Raises:
        ValueError: with ``label_smoothing_factor`` or ``compute_loss_func``, which would drop the terms, and with
            several GPUs in one process, where each replica would see a slice of the batch.
    """

    loss_is_scaled_for_ga = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        if self.args.n_gpu > 1:
            raise ValueError(
                f"one process sees {self.args.n_gpu} GPUs and would use DataParallel, which computes batch statistics "
                "of slices: start one process for each GPU (torchrun --nproc-per-node N), or set CUDA_VISIBLE_DEVICES=0"
            )
        if self.label_smoother is not None:
            raise ValueError("`label_smoothing_factor` would drop the terms: give the head label_smoothing=... instead")
        if self.compute_loss_func is not None:
            raise ValueError("`compute_loss_func` would drop the terms: the model's loss has them all")
        self.label_names = self.label_names or ["labels"]  # older versions find none in a PeftModel
        self._means = {True: TermMeans(), False: TermMeans()}  # by training mode

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss of a batch, not scaled by ``num_items_in_batch`` as in the base class."""
        del num_items_in_batch
        given: Any = super().compute_loss(model, inputs, return_outputs=True)
        loss, outputs = given
        terms = outputs.get("terms") if isinstance(outputs, dict) else None
        if terms is None:
            raise ValueError(
                "the model gave no `terms`: NMTuneTrainer trains models of noisymodel.integrations.transformers"
            )
        rows = 1 if model.training else len(outputs["logits"])
        self._means[model.training].update(terms, rows)
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, *arguments: Any, **keywords: Any) -> Any:
        """The batches of a step, without a count of items, so that all versions divide by the accumulation steps."""
        samples, *_ = super().get_batch_samples(*arguments, **keywords)
        return samples, None

    def get_train_dataloader(self) -> Any:
        """Make the loader as the base class does, and check the size of the last batch."""
        self._check_last_batch()
        return super().get_train_dataloader()

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Log; add the terms if ``logs`` has the training loss."""
        if "loss" in logs:
            logs.update(self._collected(training=True))
        super().log(logs, *arguments, **keywords)

    def evaluation_loop(self, *arguments: Any, **keywords: Any) -> Any:
        """Evaluate as the base class does, and add the means of the terms to the metrics."""
        self._means[False] = TermMeans()
        output: Any = super().evaluation_loop(*arguments, **keywords)
        prefix = keywords.get("metric_key_prefix", arguments[4] if len(arguments) > 4 else "eval")
        output.metrics.update({f"{prefix}_{name}": value for name, value in self._collected(training=False).items()})
        return output

    def _collected(self, *, training: bool) -> dict[str, float]:
        sums: Any = self._means[training].sums(self.args.device)
        if self.args.world_size > 1:
            sums = self.accelerator.reduce(sums, reduction="sum")
        return means(sums)

    def _check_last_batch(self) -> None:
        """Raise if the last batch is too small for the head's statistics; several processes fill up their batches."""
        head: Any = getattr(self.accelerator.unwrap_model(self.model), "head", None)
        size: Any = getattr(self.train_dataset, "__len__", None)
        if head is None or size is None or self.args.dataloader_drop_last or self.args.world_size > 1:
            return
        last = size() % self._train_batch_size or self._train_batch_size
        if last < head.smallest_batch:
            raise ValueError(
                f"the last batch of an epoch would have {last} row{'s'[: last > 1]}, and the head's batch statistics "
                f"need {head.smallest_batch} ({size()} rows, batches of {self._train_batch_size}): "
                "set dataloader_drop_last=True"
            )


class NMTuneTrainer(NMTuneTrainerMixin, Trainer):
    """`transformers.Trainer` with `NMTuneTrainerMixin`."""
