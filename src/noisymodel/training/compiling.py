"""The loss of a training step, compiled on request."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._checks import check_choice, check_flag
from ..heads import Head
from ..losses import NMTuneTerms

GRAPHS = "reduce-overhead"  # torch's name for the mode with CUDA graphs
MODES = ("default", GRAPHS, "max-autotune", "max-autotune-no-cudagraphs")

Loss = Callable[..., NMTuneTerms]


def check_mode(compile: object) -> bool | str:  # noqa: A002 - the argument's name
    """Check ``compile``: whether to compile, or the mode of `torch.compile`."""
    if not isinstance(compile, str):
        return check_flag(compile, "compile")
    check_choice(compile, "compile", MODES)
    return compile


def training_loss(head: Head, compile: bool | str, batch_size: int, device: torch.device) -> Loss:  # noqa: A002
    """``head.loss``, compiled on request for batches of ``batch_size`` rows; other batches (the last) run uncompiled.

    So there is one graph, and nothing is compiled again in the middle of an epoch.
    """
    if compile is False:
        return head.loss
    mode = "default" if compile is True else compile
    if mode == GRAPHS and device.type != "cuda":
        warnings.warn(
            f"compile={GRAPHS!r} asks for CUDA graphs, which the device {device.type!r} does not have: "
            "compiled without them",
            stacklevel=4,
        )
        mode = "default"
    compiled: Loss = torch.compile(head.loss, mode=mode, dynamic=False)

    def loss(features: Tensor, targets: Tensor, **options: Any) -> NMTuneTerms:
        if len(features) != batch_size:
            return head.loss(features, targets, **options)
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # loads the code generator
        return compiled(features, targets, **options)

    return loss
