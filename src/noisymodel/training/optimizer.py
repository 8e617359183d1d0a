"""AdamW without torch's compiler, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _plain(method: Callable[..., Any]) -> Any:
    """A method of torch's optimizers, without the decorator that imports the compiler."""
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, with the same results to the bit."""

    add_param_group = _plain(torch.optim.Optimizer.add_param_group)
    state_dict = _plain(torch.optim.Optimizer.state_dict)
    load_state_dict = _plain(torch.optim.Optimizer.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.AdamW.step))


def adamw(parameters: Any, device: torch.device, **settings: Any) -> AdamW:
    """Make the optimizer of parameters on a device, fused if that is fastest there."""
    return AdamW(parameters, fused=device.type in ("cpu", "cuda"), **settings)
