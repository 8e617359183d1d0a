"""The criterion of NMTune for training loops that own the network: task loss and regularizers in one module."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._checks import check_choice, check_integer, check_number, check_strided
from ._gather import global_mean, resolve_group
from .losses.regularization import REGULARIZERS, WEIGHTS, NMTuneTerms, nmtune_regularization, task_alone

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["NMTuneLoss", "NMTuneTerms"]

# The defaults of the criterion and of every head
CONSISTENCY_WEIGHT = 3.0
COVARIANCE_WEIGHT = 3.0
DOMINANT_WEIGHT = 0.1
TOP_K = 1
REDUCTION = "batchmean"

IGNORED = -100  # the class id of rows without a label, as in torch's own cross-entropy


class NMTuneLoss(nn.Module):
    """Cross-entropy plus the weighted regularizers of NMTune, each term returned by itself.

    total = CE(logits, targets) + w_c · consistency(Z, F) + w_v · covariance(Z) + w_d · dominant(Z)

    Called as ``criterion(logits, targets, tuned=Z, reference=F)``:

    - ``logits``: (..., K);
    - ``targets``: class ids (...) of an integer type, or class probabilities (..., K) of a floating type; a row with
      the id −100 has no label and does not count in the task term;
    - ``tuned``: Z (..., D), the features that the classifier sees; ``None`` leaves the task loss alone;
    - ``reference``: F (..., D), the frozen backbone's features, which no gradient should reach (detach them);
      ``None`` drops the consistency term, as with LoRA and full fine-tuning, where nothing is frozen;
    - returns `NMTuneTerms`: scalars, unweighted but for ``total``; the task term is the mean over the rows that count,
      and 0 where there is none. A term of weight 0 is not computed and is 0.

    The regularizers are those of `noisymodel.losses`, with their arguments under their names. ``label_smoothing``
    in [0, 1] is that of `torch.nn.functional.cross_entropy`. The defaults are those of `noisymodel.NMTune`, and its
    documentation explains them. Half-precision logits are raised to float32.

    The covariance term grows with the fourth power of the features' scale. Where a weighted term is a hundred times the
    task term in one of the first batches, the criterion warns once (see `ScaleCheck`).

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
        consistency_weight: float = CONSISTENCY_WEIGHT,
        covariance_weight: float = COVARIANCE_WEIGHT,
        dominant_weight: float = DOMINANT_WEIGHT,
        top_k: int = TOP_K,
        reduction: str = REDUCTION,
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
        self.scale_check = ScaleCheck()

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        tuned: Tensor | None,
        reference: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> NMTuneTerms:
        """`NMTuneTerms` of a batch; see the class.

        ``sample_weight`` (...) multiplies each row's cross-entropy; the mean is over the number of rows that count.
        """
        task = task_loss(
            logits, targets, label_smoothing=self.label_smoothing, gather=self.gather, sample_weight=sample_weight
        )
        if tuned is None:
            return task_alone(task)
        terms = self.regularization(tuned, reference)
        terms = terms._replace(total=task + terms.total, task=task)
        if not torch.compiler.is_compiling():
            self.scale_check(terms, tuple(self.weights().values()))
        return terms

    def regularization(self, tuned: Tensor, reference: Tensor | None) -> NMTuneTerms:
        """The same without a task term, which is zero then: `noisymodel.losses.nmtune_regularization`."""
        return nmtune_regularization(
            tuned,
            reference,
            **self.weights(),
            top_k=self.top_k,
            reduction=self.reduction,
            gather=self.gather,
        )

    @property
    def regularized(self) -> bool:
        """Whether any regularizer has a weight."""
        return any(self.weights().values())

    def weights(self) -> dict[str, float]:
        """The regularizers' weights by their arguments' names."""
        return {name: getattr(self, name) for name in WEIGHTS}

    def rows_needed(self) -> dict[str, int]:
        """Regularizer -> the fewest rows that it is defined for, of those that have a weight and need several."""
        needed = {"covariance": 2, "dominant": self.top_k}
        return {name: rows for name, rows in needed.items() if getattr(self, f"{name}_weight")}

    @property
    def smallest_batch(self) -> int:
        """The fewest rows that all weighted regularizers are defined for."""
        return max(self.rows_needed().values(), default=1)

    def extra_repr(self) -> str:
        """The settings that do something, for ``print``."""
        idle = {name for name, weight in self.weights().items() if not weight}
        idle |= set() if self.consistency_weight else {"reduction"}
        idle |= set() if self.dominant_weight else {"top_k"}
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items() if name not in idle)

    def settings(self) -> dict[str, Any]:
        """The arguments that make this criterion again."""
        names = ("top_k", "reduction", "label_smoothing", "gather")
        return {**self.weights(), **{name: getattr(self, name) for name in names}}


def task_objective(label_smoothing: float, gather: bool | ProcessGroup) -> NMTuneLoss:
    """The objective without regularizers."""
    weights: dict[str, Any] = dict.fromkeys(WEIGHTS, 0.0)
    return NMTuneLoss(**weights, label_smoothing=label_smoothing, gather=gather)


class ScaleCheck:
    """Warns once where a weighted regularizer is `DWARFED` times the task term or more, in one of the first batches.

    `NMTuneLoss` calls it, and so every head and every loop. It never waits for a device: on a GPU the terms are copied
    while the GPU works on, and read at a later batch. It looks at nothing under `torch.compile`, `torch.func` and
    dispatch modes, nor while a CUDA graph is captured. Copies and pickles of it start anew.
    """

    DWARFED = 100.0
    BATCHES = 10

    def __init__(self) -> None:
        self._left = self.BATCHES
        self._copied: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def __reduce__(self) -> tuple[type[ScaleCheck], tuple[()]]:
        return ScaleCheck, ()

    @property
    def is_over(self) -> bool:
        """Whether it looks at no further batch."""
        return self._left == 0

    def __call__(self, terms: NMTuneTerms, weights: tuple[float, ...]) -> None:
        """Look at the terms of a batch, or at those of an earlier one."""
        if self.is_over or _is_traced() or not any(weights):
            return
        if self._copied is None:
            self._left -= 1
            self._copy(torch.stack([term.detach() for term in terms[1:]]))
        if self._copied is None or (self._arrived is not None and not self._arrived.query()):
            return
        task, *regularizers = self._copied.tolist()
        self._copied = self._arrived = None
        weighted = [abs(term * weight) for term, weight in zip(regularizers, weights, strict=True)]
        largest, name = max(zip(weighted, REGULARIZERS, strict=True))
        if largest >= self.DWARFED * max(task, 1.0):
            self._left = 0
            warnings.warn(
                f"the weighted {name} term is {largest:.3g}, the task term {task:.3g}: features of large scale? "
                f'Normalise the rows (`normalize="l2"`) or lower `{name}_weight`',
                stacklevel=4,
            )

    def _copy(self, values: Tensor) -> None:
        if values.device.type == "cpu":
            self._copied = values
        elif values.device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
            self._copied = values.to("cpu", non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()


def _is_traced() -> bool:
    """Whether a transform or a dispatch mode sees every operation, so that tensors may have no values."""
    core = cast(Any, torch)._C
    return core._functorch.maybe_current_level() is not None or core._len_torch_dispatch_stack() > 0


def task_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    gather: bool | ProcessGroup = False,
    sample_weight: Tensor | None = None,
    ignore_index: int = IGNORED,
) -> Tensor:
    """Mean cross-entropy over the rows that count, (1/M) Σ w_i ℓ_i, of the global batch where ``gather`` says so.

    A row counts unless its class id is ``ignore_index``. Where none counts the loss is 0.
    """
    check_targets(logits, targets)
    rows = logits if logits.ndim == 2 else logits.reshape(-1, logits.shape[-1])
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    soft = targets.is_floating_point()
    flat = targets.reshape(rows.shape).to(rows.dtype) if soft else targets.reshape(-1).long()
    group = resolve_group(gather)
    ignored = IGNORED if soft else ignore_index
    losses = functional.cross_entropy(
        rows, flat, ignore_index=ignored, label_smoothing=label_smoothing, reduction="none"
    )
    if sample_weight is not None:
        _check_sample_weight(sample_weight, logits.shape[:-1])
        losses = losses * sample_weight.reshape(-1).to(losses.dtype)
    return global_mean(losses, group, torch.ones_like(losses) if soft else flat != ignore_index)


def check_targets(logits: Tensor, targets: Tensor) -> None:
    """Shapes and types that belong together; values are not looked at, which would wait for the device."""
    check_strided(logits, "logits")
    check_strided(targets, "targets")
    if not logits.is_floating_point():
        raise TypeError(f"`logits` must be floating point, got {logits.dtype}")
    if logits.ndim < 2 or logits.shape[-1] == 0:
        raise ValueError(f"`logits` must have shape (..., K) with rows and classes, got {tuple(logits.shape)}")
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


def _check_sample_weight(weight: Tensor, shape: torch.Size) -> None:
    check_strided(weight, "sample_weight")
    if weight.is_complex():
        raise TypeError(f"`sample_weight` must be real numbers, got {weight.dtype}")
    if weight.shape != shape:
        raise ValueError(f"`sample_weight` must have shape {tuple(shape)}, got {tuple(weight.shape)}")
