"""`fit`: train a head on arrays of features."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from .._checks import check_callable, check_device, check_flag, check_path
from ..heads import Head
from .batches import RowSource, held_out_rows, labelled_rows
from .checkpoint import Checkpoint, Progress
from .run import Run, Settings
from .schedule import Rates


class FitResult(NamedTuple):
    """The result of `fit`: the trained ``head`` (the one given) and ``history``, one dictionary per epoch."""

    head: Head
    history: list[dict[str, float]]


def fit(
    head: Head,
    features: Tensor | RowSource,
    targets: object,
    *,
    validation: tuple[Tensor | RowSource, object] | None = None,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    warmup: float = 0,
    seed: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    compile: bool | str = False,  # noqa: A002 - torch's own name for it
    sample_weight: object = None,
    patience: int | None = None,
    on_epoch: Callable[[Head, Mapping[str, float]], None] | None = None,
) -> FitResult:
    """Train a head on features and targets in place, by AdamW with a cosine schedule; record all terms in a history.

    The learning rate rises linearly over ``warmup`` epochs and falls to zero along half a cosine, step by step. Every
    epoch visits all rows in a new order, in batches of ``batch_size``. A last batch of one row is joined to the batch
    before it, because BatchNorm and a covariance need two rows; so is one of fewer than ``top_k`` rows.

    **Several ranks** (``torchrun``): a head with ``gather=True`` is trained by all ranks of the process group, which
    make the same call. Each rank reads its part of every batch of ``batch_size`` rows. All batch statistics, also
    BatchNorm's, are those of the whole batch. Training starts from the first rank's initial weights, and all ranks end
    with the same head as one process would. The first rank writes the checkpoint; every rank evaluates all of
    ``validation``. ``compile`` is refused.

    Args:
        head: `NMTune`, `MLPProbe` or `LinearProbe`. Parameters with ``requires_grad=False`` do not change.
        features: (N, D). A tensor moves to ``device`` whole. From a numpy array, an ``np.memmap``, a `FeatureStore` or
            any object with ``len()`` and integer-array indexing, batches are read with ascending indices and moved one
            by one, so it may be larger than memory. A thread reads two batches ahead from memory maps and stores (for
            CUDA from any array); other objects are indexed in the caller's thread only. Batches for CUDA are copied
            from page-locked memory on a separate stream. Features are converted to the head's dtype on ``device``.
        targets: class ids (N,) of an integer type, −100 for a row without a class, which has no task loss; or class
            probabilities (N, K) of a floating type, not negative, with rows that sum to 1.
        validation: (features, targets) for evaluation after each epoch, checked like the training data; rows of class
            −100 do not count.
        epochs: at least 1.
        batch_size: rows in a batch, at least 1, at least 2 for heads with BatchNorm or regularizers, and at least
            ``top_k``.
        learning_rate: the peak of the schedule. The published code has 1e-3 for networks, 1e-2 for linear probes.
        weight_decay: the weight decay of AdamW, on all parameters.
        warmup: epochs of linear rise, in [0, epochs]; fractions of an epoch are fine.
        seed: fixes the order, noise and dropout, to the bit on one machine, also while other threads fit; ``None``: a
            random seed. All random numbers come from private generators on the CPU. Modules of your own head with
            their own random numbers, such as `torch.nn.Dropout`, use torch's global generator, which is seeded for
            them and restored afterwards. The seed does not set the head's initial weights: use
            `NMTune(generator=...)`.
        device: where to train, and the device of the head afterwards; ``None``: its present device.
        progress: whether to show a progress bar on stderr.
        checkpoint: path of a file that is replaced after every epoch. After an interruption, call `fit` again with the
            same arguments: it resumes from the file, and returns the weights and the history (except ``seconds``) of
            an uninterrupted run. If the run had finished, it returns at once.
        compile: whether to compile the loss of a step with `torch.compile`, or its mode: ``"reduce-overhead"`` replays
            CUDA graphs (on other devices it warns, and compiles without them), ``"max-autotune"`` searches kernels.
            Only batches of ``batch_size`` rows are compiled; a smaller last one runs uncompiled, so that nothing is
            compiled twice. Rounding differs from ``False``, and dropout draws other numbers.
        sample_weight: (N,) the weight of each row's cross-entropy, divided by the mean of all weights; the
            regularizers count all rows equally.
        patience: stop after so many epochs without a better ``validation_accuracy`` (or an equal one with a lower
            ``validation_loss``), and return the head of the best epoch. Needs ``validation``. The schedule remains
            that of all ``epochs``.
        on_epoch: called after each epoch of this call with the head, in evaluation mode, and the epoch's dictionary of
            the history; use it for further measurements. It must not change the head; its return value is ignored.

    Returns:
        ``FitResult(head, history)``. The head is in evaluation mode and holds no gradients. Each epoch's dictionary in
        the history has ``epoch`` (from 1), ``learning_rate`` (of its first step), ``train_total``, ``train_task``,
        ``train_consistency``, ``train_covariance`` and ``train_dominant`` (means over the rows, taken during
        training), with ``validation`` also ``validation_loss`` (mean cross-entropy, without smoothing and
        regularizers) and ``validation_accuracy`` in [0, 1], and ``seconds``.

    Raises:
        ValueError: for unfit shapes, class ids, probabilities or numbers, for a checkpoint of another run, and for a
            loss that is not finite (the message names the epoch; the head keeps the weights of that moment).
        TypeError: for arguments of the wrong type.

    >>> import torch
    >>> from noisymodel import NMTune, fit
    >>> generator = torch.Generator().manual_seed(0)
    >>> targets = torch.arange(200) % 2
    >>> features = torch.randn(200, 8, generator=generator) + 2.0 * targets[:, None]
    >>> head, history = fit(NMTune(8, 2, generator=generator), features, targets, epochs=3, seed=0)
    >>> history[-1]["train_task"] < history[0]["train_task"], head.training
    (True, False)
    """
    rates = Rates(learning_rate, weight_decay, warmup)
    settings = Settings(epochs, batch_size, rates, seed, compile, patience).checked()
    check_head(head)
    check_flag(progress, "progress")
    if on_epoch is not None:
        check_callable(on_epoch, "on_epoch")
    checkpoint = None if checkpoint is None else check_path(checkpoint, "checkpoint")
    device = check_device(device)
    if patience is not None and validation is None:
        raise ValueError("`patience` needs `validation` rows to tell which epoch is better, got none")
    if device is not None:
        head.to(device)
    rows = labelled_rows(features, targets, **shape_of(head), sample_weight=sample_weight)
    held_out = None if validation is None else held_out_rows(validation, **shape_of(head))
    run = Run(head, rows, held_out, settings)
    done = Progress([], secrets.randbits(62) if settings.seed is None else settings.seed)
    file = None if checkpoint is None else Checkpoint(checkpoint, run.fingerprint(), "fit")
    if file is not None:
        done = file.restore(head, run.optimizer) or done
    done = done._replace(seed=run.agreed(done.seed))
    began = len(done.history)
    with tqdm(total=settings.epochs * run.steps, initial=began * run.steps, unit="step", disable=not progress) as bar:
        for epoch in range(began, settings.epochs):
            if settings.patience is not None and epoch and epoch - done.best_epoch() > settings.patience:
                break
            done.history.append(run.epoch(epoch, done.seed, bar))
            if settings.patience is not None and done.best_epoch() == epoch:
                done = done._replace(best={name: value.clone() for name, value in head.state_dict().items()})
            if file is not None and run.is_first:
                file.save(head, run.optimizer, done)
            if on_epoch is not None:
                head.eval()
                on_epoch(head, done.history[-1])
            bar.set_postfix(epoch=epoch + 1, loss=f"{done.history[-1]['train_total']:.4g}")
    if done.best is not None:
        head.load_state_dict(done.best)
    head.eval()
    head.zero_grad()
    return FitResult(head, done.history)


def check_head(head: object) -> None:
    """Check that ``head`` is a head with a classifier and trainable parameters."""
    if not isinstance(head, Head):
        raise TypeError(f"`head` must be NMTune, MLPProbe, LinearProbe or another Head, got {type(head).__name__}")
    if head.num_classes == 0:
        raise ValueError("`head` must have a classifier, got num_classes=0: head.reset(num_classes) makes one")
    if not any(parameter.requires_grad for parameter in head.parameters()):
        raise ValueError("`head` must have parameters to train, got only frozen ones: head.requires_grad_(True)")


def shape_of(head: Head) -> dict[str, Any]:
    """The width, number of classes, device and dtype that a head's rows need."""
    like = next(head.parameters())
    return {
        "num_features": head.in_features,
        "num_classes": head.num_classes,
        "device": like.device,
        "dtype": like.dtype,
    }
