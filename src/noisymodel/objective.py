"""The criterion of NMTune for training loops that own the network: task loss and regularizers in one module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._checks import check_choice, check_integer, check_number
from ._gather import global_mean, resolve_group
from .losses import NMTuneTerms, nmtune_regularization

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["NMTuneLoss", "NMTuneTerms"]


class NMTuneLoss(nn.Module):
    """Cross-entropy plus the weighted regularizers of NMTune, each term returned by itself.

    total = CE(logits, targets) + w_c · consistency(Z, F) + w_v · covariance(Z) + w_d · dominant(Z)

    Called as ``criterion(logits, targets, tuned=Z, reference=F)``:

    - ``logits``: (..., K);
    - ``targets``: class ids (...) of an integer type, or class probabilities (..., K) of a floating type;
    - ``tuned``: Z (..., D), the features that the classifier sees; ``None`` leaves the task loss alone;
    - ``reference``: F (..., D), the frozen backbone's features, which no gradient should reach (detach them);
      ``None`` drops the consistency term, as with LoRA and full fine-tuning, where nothing is frozen;
    - returns `NMTuneTerms`: scalars, unweighted but for ``total``; the task term is the mean over rows.

    The regularizers are those of `noisymodel.losses`, with their arguments under their names. ``label_smoothing``
    in [0, 1) is that of `torch.nn.functional.cross_entropy`. The default weights are those of `noisymodel.NMTune`,
    whose documentation says what is known of them. Half-precision logits are raised to float32.

    Args:
        consistency_weight: w_c ≥ 0.
        covariance_weight: w_v ≥ 0.
        dominant_weight: w_d ≥ 0.
        top_k: number of leading singular values in the dominant term.
        reduction: ``"mean"`` or ``"batchmean"``, see `noisymodel.losses.consistency_loss`.
        label_smoothing: mass spread evenly over all classes.
        gather: ``False``, ``True`` or a process group: every term is that of the global batch of all ranks, with
            gradients that are right after the averaging that ``DistributedDataParallel`` does.

    Raises:
        ValueError: for a shape of ``targets`` that does not fit ``logits``, and for arguments out of range.

    Source: "Noisy Model Learning" (arXiv 2309.17002), the total loss of section 3.

    >>> import torch
    >>> from noisymodel import NMTuneLoss
    >>> generator = torch.Generator().manual_seed(0)
    >>> features = torch.randn(8, 4, generator=generator)
    >>> criterion = NMTuneLoss(consistency_weight=1.0, covariance_weight=0.04, dominant_weight=0.001, top_k=2)
    >>> terms = criterion(torch.zeros(8, 3), torch.arange(8) % 3, tuned=2 * features, reference=features)
    >>> round(terms.task.item(), 4), terms.consistency.item()
    (1.0986, 0.0)
    """

    def __init__(
        self,
        *,
        consistency_weight: float = 1.0,
        covariance_weight: float = 1.0,
        dominant_weight: float = 1.0,
        top_k: int = 1,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
    ) -> None:
        super().__init__()
        self.consistency_weight = check_number(consistency_weight, "consistency_weight", minimum=0)
        self.covariance_weight = check_number(covariance_weight, "covariance_weight", minimum=0)
        self.dominant_weight = check_number(dominant_weight, "dominant_weight", minimum=0)
        self.top_k = check_integer(top_k, "top_k", minimum=1)
        check_choice(reduction, "reduction", ("mean", "batchmean"))
        self.reduction = reduction
        self.label_smoothing = check_number(label_smoothing, "label_smoothing", minimum=0, maximum=1)
        resolve_group(gather)  # a bad one is an error here already
        self.gather = gather

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        tuned: Tensor | None,
        reference: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> NMTuneTerms:
        """`NMTuneTerms` of a batch; see the class. ``sample_weight`` (...) multiplies each row's cross-entropy."""
        task = task_loss(
            logits, targets, label_smoothing=self.label_smoothing, gather=self.gather, sample_weight=sample_weight
        )
        if tuned is None:
            zero = task.new_zeros(())
            return NMTuneTerms(task, task, zero, zero, zero)
        terms = self.regularization(tuned, reference)
        return terms._replace(total=task + terms.total, task=task)

    def regularization(self, tuned: Tensor, reference: Tensor | None) -> NMTuneTerms:
        """The same without a task term, which is zero then: `noisymodel.losses.nmtune_regularization`."""
        return nmtune_regularization(
            tuned,
            reference,
            consistency_weight=self.consistency_weight,
            covariance_weight=self.covariance_weight,
            dominant_weight=self.dominant_weight,
            top_k=self.top_k,
            reduction=self.reduction,
            gather=self.gather,
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items())

    def settings(self) -> dict[str, Any]:
        """The arguments that make this criterion again."""
        names = ("consistency_weight", "covariance_weight", "dominant_weight", "top_k", "reduction")
        return {name: getattr(self, name) for name in (*names, "label_smoothing", "gather")}


def task_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    gather: bool | ProcessGroup = False,
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy over the rows, (1/N) Σ w_i ℓ_i, of the global batch where ``gather`` says so."""
    check_targets(logits, targets)
    rows = logits if logits.ndim == 2 else logits.reshape(-1, logits.shape[-1])
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    flat = targets.reshape(rows.shape).to(rows.dtype) if targets.is_floating_point() else targets.reshape(-1).long()
    group = resolve_group(gather)
    if group is None and sample_weight is None:
        return functional.cross_entropy(rows, flat, label_smoothing=label_smoothing)
    losses = functional.cross_entropy(rows, flat, label_smoothing=label_smoothing, reduction="none")
    if sample_weight is not None:
        if sample_weight.numel() != len(rows):
            raise ValueError(f"`sample_weight` must have {len(rows)} entries, got shape {tuple(sample_weight.shape)}")
        losses = losses * sample_weight.reshape(-1).to(losses.dtype)
    return losses.mean() if group is None else global_mean(losses, group)


def check_targets(logits: Tensor, targets: Tensor) -> None:
    """Shapes and types that belong together; values are not looked at, which would wait for the device."""
    if targets.is_floating_point():
        if targets.shape != logits.shape:
            raise ValueError(
                f"`targets` of floating type are class probabilities and must have the logits' shape "
                f"{tuple(logits.shape)}, got {tuple(targets.shape)}; class ids are integers: targets.long()"
            )
    elif targets.dtype == torch.bool or targets.is_complex():
        raise TypeError(f"`targets` must be integer class ids or class probabilities, got {targets.dtype}")
    elif targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"`targets` must be class ids of shape {tuple(logits.shape[:-1])} for logits of shape "
            f"{tuple(logits.shape)}, got shape {tuple(targets.shape)}"
        )
