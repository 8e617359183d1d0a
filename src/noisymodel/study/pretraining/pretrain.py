"""Pre-training of the networks of a request: one after the other, or together if that is equivalent and faster."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..._gather import resolve_group
from ...errors import ConfigError
from .architectures import untrained
from .batched import pretrain_together
from .checkpoint import Checkpoint, described
from .corruption import noisy_labels
from .loop import Training
from .network import ClassifyingNetwork, Network, Pretrained
from .objectives import OBJECTIVE
from .request import PretrainingRequest


def pretrain(request: PretrainingRequest) -> Pretrained:
    """Train one network per noise rate on the same inputs.

    The optimizer is AdamW with a linear warm-up times a cosine decay to zero; `PretrainingConfig` has its settings.
    Initial values, order, masks and seeds of dropout are the same for all rates; an example that is wrong at a rate is
    wrong at all higher rates. No global random state changes.

    Multilayer networks for ``"supervised"`` on an array of pictures are trained together, in seconds, without
    checkpoints. All others are trained one after the other. With ``request.checkpoints`` each saves its state to
    ``rate-R.safetensors`` there: at the start, then every ``checkpoint_steps`` steps and ``checkpoint_seconds``
    seconds, and at the end. The same request resumes from these files, with the same result to the bit.

    In a process group (``torchrun``) the ranks share every batch; losses, batch statistics and negatives are those of
    the whole batch. So the result equals that of one process, except for the rounding of sums (and for dropout, which
    each rank draws by itself). Rank 0 writes the checkpoints, and all ranks read them.

    Raises:
        ConfigError: an architecture that its library does not know, or noise that these data cannot have.
        MissingExtraError: the architecture's library is not installed.
        StudyError: loss or gradient is not finite (the message has the step, the learning rate and the last
            checkpoint), or a checkpoint is of another training.
    """
    group = resolve_group(request.gather)
    network = untrained(request)
    if _batched(request) and group is None:
        labels = np.stack([noisy_labels(request, rate) for rate in request.noise_rates])
        images = torch.from_numpy(np.asarray(request.examples.inputs))
        together = cast(ClassifyingNetwork, network)
        return pretrain_together(together, images, torch.from_numpy(labels), request.config, seed=request.seed)
    device = training_device(request.config.device)
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
    in_memory = isinstance(request.examples.inputs, np.ndarray) and request.config.device == "cpu"
    return request.objective == "supervised" and request.architecture == "mlp" and in_memory


def training_device(name: str) -> torch.device:
    """The device of a configuration; ``"cuda"`` means the device with this rank's number on its machine.

    Raises:
        ConfigError: torch does not know the device, or does not have it.
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
