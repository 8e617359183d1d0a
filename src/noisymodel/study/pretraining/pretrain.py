"""Pre-training: the networks of a request, one after the other, or together where that is the same and faster."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..._gather import resolve_group
from ...errors import ConfigError
from .architectures import build
from .batched import pretrain_together
from .checkpoint import Checkpoint, described
from .corruption import noisy_labels
from .loop import Training
from .network import Network, Pretrained
from .objectives import OBJECTIVE
from .request import PretrainingRequest

untrained = build


def pretrain(request: PretrainingRequest) -> Pretrained:
    """Train one network per noise rate on the same inputs.

    AdamW with a linear warm-up times a cosine decay to zero, `PretrainingConfig` says how long and how fast. Initial
    values, order, masks and seeds of dropout are the same for all rates; what is wrong at a rate is wrong above it. No
    global random state is touched.

    Multilayer networks for ``"supervised"`` on an array of pictures are trained together, in seconds, without
    checkpoints. All others go one after the other, and with ``request.checkpoints`` each keeps its state in
    ``rate-R.safetensors`` there: at the start, then every ``checkpoint_steps`` steps and ``checkpoint_seconds``
    seconds, and at the end. The same request goes on from these files, to the bit of an uninterrupted training.

    In a process group (``torchrun``) the ranks share every batch; losses, batch statistics and negatives are those of
    the whole batch, so the result is that of one process but for the rounding of sums (and for dropout, which each
    rank draws by itself). Rank 0 writes the checkpoints, all read them.

    Raises:
        ConfigError: names that there are not or that do not go together.
        MissingExtraError: the architecture's library is not installed.
        StudyError: loss or gradient is not finite; the message names the step, the learning rate and the checkpoint
            before it. A checkpoint is of another training.
    """
    group = resolve_group(request.gather)
    if _batched(request) and group is None:
        return _together(request)
    network = build(request)
    device = training_device(request.settings.device)
    states: list[Mapping[str, Tensor]] = []
    for rate in request.noise_rates:
        trained = copy.deepcopy(network).to(device)
        checkpoint = None
        if request.checkpoints is not None:
            checkpoint = Checkpoint(request.checkpoints / f"rate-{rate:g}.safetensors", described(request, rate))
        objective = OBJECTIVE[request.objective](request, rate)
        Training(request, rate, trained, objective, checkpoint, group).run()
        states.append(_on_the_cpu(trained))
    return Pretrained(network, tuple(states))


def _batched(request: PretrainingRequest) -> bool:
    plain = isinstance(request.examples.inputs, np.ndarray) and not request.texts and request.settings.device == "cpu"
    return request.objective == "supervised" and request.architecture == "mlp" and plain


def _together(request: PretrainingRequest) -> Pretrained:
    labels = np.stack([noisy_labels(request, rate) for rate in request.noise_rates])
    images = torch.from_numpy(np.asarray(request.examples.inputs))
    return pretrain_together(images, torch.from_numpy(labels), request.classes, request.settings, seed=request.seed)


def training_device(name: str) -> torch.device:
    """The device of a configuration: ``"cuda"`` is the one of this rank's number on its machine.

    Raises:
        ConfigError: torch does not know it, or has none.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"config key `pretraining.device`: {' '.join(str(error).split())}") from None
    if device.type == "cuda":
        if (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(f"config key `pretraining.device`: {name!r}, but torch has no such device here")
        return device if ":" in name else torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def _on_the_cpu(network: Network) -> dict[str, Tensor]:
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
