"""NMTune, a small network before the classifier and regularizers of its features; each of the two by itself.

`MLPProbe` is the network alone, `SpectralProbe` the regularizers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from .._checks import check_choice, check_integer
from ..objective import (
    CONSISTENCY_WEIGHT,
    COVARIANCE_WEIGHT,
    DOMINANT_WEIGHT,
    REDUCTION,
    TOP_K,
    NMTuneLoss,
    task_objective,
)
from .base import Head
from .network import TuningNetwork, check_size

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "consistency_weight": 0.01,
        "covariance_weight": 0.01,
        "dominant_weight": 0.01,
        "top_k": 1,
        "reduction": "mean",
        "residual": False,
        "normalize": None,
        "input_noise": 0.0,
    },
    "official": {
        "consistency_weight": 1.0,
        "covariance_weight": 0.04,
        "dominant_weight": 0.001,
        "top_k": 5,
        "reduction": "mean",
        "residual": True,
        "classifier_init": "kaiming",
        "normalize": None,
        "input_noise": 0.0,
    },
}


def preset_arguments(preset: str, in_features: int, **overrides: Any) -> dict[str, Any]:
    """The arguments of `NMTune` for a preset: its settings, 4 D hidden features, and ``overrides``, which win."""
    check_choice(preset, "preset", PRESETS)
    arguments = {**PRESETS[preset], **overrides}
    if arguments.get("hidden_features") is None:
        arguments["hidden_features"] = 4 * check_size(in_features, "in_features")
    return arguments


class NMTune(Head):
    """The NMTune head: it reshapes features F of a frozen backbone to Z and classifies Z linearly.

    F is normalised by rows, √D · f / ‖f‖, unless ``normalize`` is ``None``; F̃ = F + noise while training, else F.
    Z = mlp(F̃), or s ⊙ mlp(F̃) + F̃ with ``residual`` (s (D,) learned, from 1.0); logits = Z Wᵀ + b;

    total = CE(logits, y) + w_c · consistency(Z, F) + w_v · covariance(Z) + w_d · dominant(Z)

    mlp is ``depth`` times (Linear, norm, ReLU, dropout), then a Linear back to D. The terms are those of
    `noisymodel.losses`: ‖Z/‖Z‖ − F/‖F‖‖² by rows, (1/D) Σ_{i≠j} C_ij², and −(1/k) Σ_{i≤k} σ_i / Σ_j σ_j.
    Features have shape (..., D); batch statistics run over all their rows. Training needs two rows in a batch: neither
    BatchNorm nor a covariance is defined for one.

    Origin of each part. The paper's: the three terms, a 2-layer MLP with ReLU, one weight 0.01 for all terms
    (``from_preset("paper", ...)``). The published code's: the hidden width of 4 D, BatchNorm, the residual with its
    scale, top-5 singular values, the mean over all elements in the consistency term, the classifier's start
    ``"kaiming"``, and the weights 1, 0.04 and 0.001 (``from_preset("official", ...)``). Ours: ``depth``, ``norm``,
    ``dropout``, ``normalize``, ``input_noise``, ``label_smoothing``, ``reduction="batchmean"``, ``gather``, the
    classifier's start ``"linear"`` and the defaults.

    The defaults are meant for a hundred labels a class and more. Since rows have one length, the weights mean the same
    for every backbone; with ``normalize=None`` the covariance term grows with the fourth power of the features' scale.
    With fewer labels a linear probe is as good, and so is a head that starts from one (`start_from`) with a weak or
    no covariance term.

    Args:
        in_features: D.
        num_classes: K; 0 or ``None``: no classifier, and ``forward`` returns Z.
        hidden_features: width of the hidden layers; ``None``: 4 D, at most 2,048 (presets: 4 D).
        depth: number of hidden layers, at least 1.
        norm: ``"batch"`` (BatchNorm1d), ``"layer"`` (LayerNorm) or ``None``, after each hidden Linear.
        residual: whether Z = s ⊙ mlp(F̃) + F̃.
        dropout: probability in [0, 1] after each ReLU.
        normalize: ``"l2"``: rows are first brought to length √D (zero rows stay zero); ``None``: features as they are.
        input_noise: σ ≥ 0 of Gaussian noise on the network's input while training, in units of each row's root mean
            square and times U(0, 1) for each row: F̃ = F + σ · rms(f) · u · ε. The consistency term compares with the
            clean F. `fit` and `sweep` draw it from their seeds; in a loop of your own torch's global generator draws
            it, as it does for dropout. 0: none.
        consistency_weight: w_c ≥ 0.
        covariance_weight: w_v ≥ 0.
        dominant_weight: w_d ≥ 0.
        top_k: k, at most D and at most the rows of the smallest batch.
        reduction: ``"mean"`` over all N·D elements in the consistency term, as in the published code, or
            ``"batchmean"``, over rows only, which is D times as much.
        label_smoothing: in [0, 1], that of `torch.nn.functional.cross_entropy`.
        gather: ``False``, ``True`` or a process group; see `noisymodel.NMTuneLoss`.
        classifier_init: ``"linear"``: the classifier's weights begin uniform in ±1/√D, as those of `torch.nn.Linear`;
            ``"kaiming"``: in ±√(6/D), as in the published code, which on the study's glyphs costs heads that see the
            features directly (linear probe, residual) about a point of accuracy under shift. Biases begin at zero.
        generator: what draws initial weights, on the CPU; ``None``: torch's global generator. From one seed `NMTune`
            and `MLPProbe` begin with the same weights.

    Raises:
        ValueError: for arguments out of range.
        TypeError: for arguments of the wrong type.

    Source: "Noisy Model Learning" (arXiv 2309.17002), section 3, and the code published with it.

    >>> import torch
    >>> from noisymodel import NMTune
    >>> generator = torch.Generator().manual_seed(0)
    >>> features, targets = torch.randn(32, 16, generator=generator), torch.arange(32) % 4
    >>> head = NMTune(16, 4, generator=generator)
    >>> optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-4)
    >>> terms = head.loss(features, targets)
    >>> terms.total.backward()
    >>> optimizer.step()
    >>> head.eval()(features).shape, head.tune(features).shape
    (torch.Size([32, 4]), torch.Size([32, 16]))
    >>> NMTune.from_preset("official", 16, 4, generator=generator).objective.top_k
    5
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        hidden_features: int | None = None,
        depth: int = 1,
        norm: str | None = "batch",
        residual: bool = False,
        dropout: float = 0.0,
        normalize: str | None = "l2",
        input_noise: float = 1.0,
        consistency_weight: float = CONSISTENCY_WEIGHT,
        covariance_weight: float = COVARIANCE_WEIGHT,
        dominant_weight: float = DOMINANT_WEIGHT,
        top_k: int = TOP_K,
        reduction: str = REDUCTION,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        _check_top_k(top_k, in_features)
        network = TuningNetwork(
            in_features,
            hidden_features=hidden_features,
            depth=depth,
            norm=norm,
            residual=residual,
            dropout=dropout,
            input_noise=input_noise,
            generator=generator,
        )
        objective = NMTuneLoss(
            consistency_weight=consistency_weight,
            covariance_weight=covariance_weight,
            dominant_weight=dominant_weight,
            top_k=top_k,
            reduction=reduction,
            label_smoothing=label_smoothing,
            gather=gather,
        )
        super().__init__(
            in_features,
            num_classes,
            network=network,
            objective=objective,
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )

    @classmethod
    def from_preset(cls, preset: str, in_features: int, num_classes: int | None, **overrides: Any) -> Self:
        """A head with published settings, ``"paper"`` or ``"official"``; ``overrides`` are arguments of the class.

        - ``"paper"``: weights 0.01, 0.01, 0.01, top_k 1, no residual.
        - ``"official"``, the README of the published code: weights 1.0, 0.04, 0.001, top_k 5, residual, classifier
          started by ``"kaiming"``. That code took the covariance and dominant terms of two views, concatenated.

        Both have one hidden layer of 4 D with BatchNorm, which is the code's (the paper gives no width), and
        ``reduction="mean"``. The code trains with AdamW, a cosine schedule, 30 epochs, batches of 64, a learning rate
        of 1e-3 and weight decay 1e-4: the defaults of `noisymodel.fit`.
        """
        return cls(in_features, num_classes, **preset_arguments(preset, in_features, **overrides))


class MLPProbe(Head):
    """The network of `NMTune` trained with the task loss alone: the baseline of the regularizers.

    The arguments are those of `NMTune` and mean the same, but ``input_noise`` is 0 by default: the plain network is the
    baseline. With one generator seed both start from the same weights. The regularizers among its terms are zero.

    >>> import torch
    >>> from noisymodel import MLPProbe
    >>> head = MLPProbe(16, 3, label_smoothing=0.1, generator=torch.Generator().manual_seed(0))
    >>> terms = head.loss(torch.ones(8, 16), torch.arange(8) % 3)
    >>> terms.total is terms.task, terms.covariance.item()
    (True, 0.0)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        hidden_features: int | None = None,
        depth: int = 1,
        norm: str | None = "batch",
        residual: bool = False,
        dropout: float = 0.0,
        normalize: str | None = "l2",
        input_noise: float = 0.0,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        network = TuningNetwork(
            in_features,
            hidden_features=hidden_features,
            depth=depth,
            norm=norm,
            residual=residual,
            dropout=dropout,
            input_noise=input_noise,
            generator=generator,
        )
        super().__init__(
            in_features,
            num_classes,
            network=network,
            objective=task_objective(label_smoothing, gather),
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )


class SpectralProbe(Head):
    """A linear classifier whose regularizers act on the features themselves: Z = F, logits = F Wᵀ + b.

    The head takes the backbone's raw features, which the terms are to shape; ``normalize="l2"`` first scales them to
    length √D, as in `noisymodel.NMTune`.

    Use it for LoRA and full fine-tuning, where the terms' gradients shape the backbone; on frozen features the
    regularizers are constants. The published code does the same: no network before the classifier, no consistency term,
    weights 0.04 and 0.001, ``top_k`` 5. A consistency term needs a ``reference`` other than the features themselves:
    those of the model before tuning.

    Args:
        in_features: D.
        num_classes: K; 0 or ``None``: no classifier.
        consistency_weight: w_c ≥ 0; of no effect without a ``reference`` of the frozen model.
        covariance_weight, dominant_weight, top_k, reduction, label_smoothing: as in `noisymodel.NMTune`.
        normalize, gather: as in `noisymodel.NMTune`.
        classifier_init, generator: as in `noisymodel.NMTune`.

    Raises:
        ValueError: for arguments out of range.
        TypeError: for arguments of the wrong type.

    Source: the code published with arXiv 2309.17002, in its LoRA and full fine-tuning.

    >>> import torch
    >>> from noisymodel.heads import SpectralProbe
    >>> generator = torch.Generator().manual_seed(0)
    >>> head = SpectralProbe(16, 3, covariance_weight=0.04, dominant_weight=0.001, top_k=5, generator=generator)
    >>> features = torch.randn(8, 16, generator=generator, requires_grad=True)
    >>> terms = head.loss(features, torch.arange(8) % 3)
    >>> terms.total.backward()
    >>> terms.consistency.item(), features.grad is not None
    (0.0, True)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int | None,
        *,
        normalize: str | None = None,
        consistency_weight: float = CONSISTENCY_WEIGHT,
        covariance_weight: float = COVARIANCE_WEIGHT,
        dominant_weight: float = DOMINANT_WEIGHT,
        top_k: int = TOP_K,
        reduction: str = REDUCTION,
        label_smoothing: float = 0.0,
        gather: bool | ProcessGroup = False,
        classifier_init: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        _check_top_k(top_k, in_features)
        objective = NMTuneLoss(
            consistency_weight=consistency_weight,
            covariance_weight=covariance_weight,
            dominant_weight=dominant_weight,
            top_k=top_k,
            reduction=reduction,
            label_smoothing=label_smoothing,
            gather=gather,
        )
        super().__init__(
            in_features,
            num_classes,
            network=nn.Identity(),
            objective=objective,
            normalize=normalize,
            classifier_init=classifier_init,
            generator=generator,
        )


def _check_top_k(top_k: int, in_features: int) -> None:
    """Before anything is drawn."""
    if check_integer(top_k, "top_k", minimum=1) > check_size(in_features, "in_features"):
        raise ValueError(f"`top_k` must be at most `in_features` = {in_features}, got {top_k}")
