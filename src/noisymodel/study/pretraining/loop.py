"""The training loop of everything but the batched multilayer networks: AdamW, the schedule, a fixed order."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn

from ..._random import seeded, tensor_generator
from ...errors import StudyError
from .checkpoint import Checkpoint, Position
from .distributed import global_statistics, sum_gradients
from .network import Network
from .objectives import Batch, Objective
from .request import DROPOUT, ORDER, PretrainingRequest
from .schedule import Saved, Schedule, diverged

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Order:
    """The examples of each step: a permutation per epoch, drawn one after the other from the seed's generator.

    Ask for the epochs in ascending order. ``start`` is the generator's state at the start of the current epoch.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size = rows, batch_size
        self.per_epoch = math.ceil(rows / batch_size)
        self.generator = tensor_generator(seed, ORDER)
        self.start = self.generator.get_state()
        self.epoch = -1
        self.batches: tuple[Tensor, ...] = ()

    def go_to(self, position: Position) -> None:
        """Continue from the position of a checkpoint."""
        self.generator.set_state(position.order)
        self.start = position.order
        self.epoch = position.step // self.per_epoch - 1

    def __call__(self, step: int) -> Tensor:
        """The examples of a step."""
        epoch = step // self.per_epoch
        if epoch != self.epoch:
            self.start = self.generator.get_state()
            self.batches = torch.randperm(self.rows, generator=self.generator).split(self.batch_size)
            self.epoch = epoch
        return self.batches[step % self.per_epoch]

    def position(self, step: int) -> Position:
        """The position for a checkpoint before this step."""
        done = step // self.per_epoch > self.epoch
        return Position(step, self.generator.get_state() if done else self.start)


class Training:
    """The pre-training of one network at one noise rate.

    Args:
        request: the request that it belongs to.
        rate: its noise rate.
        network: the network at its initial values, on the device for the training.
        objective: the loss.
        checkpoint: the file for its state.
        group: the ranks that share the training.
    """

    def __init__(
        self,
        request: PretrainingRequest,
        rate: float,
        network: Network,
        objective: Objective,
        checkpoint: Checkpoint | None,
        group: ProcessGroup | None,
    ) -> None:
        config = request.config
        self.request, self.rate, self.network, self.objective = request, rate, network, objective
        self.checkpoint, self.group = checkpoint, group
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        rows = len(request.examples.inputs)
        self.schedule = Schedule.of(config, rows)
        self.order = Order(rows, config.batch_size, request.seed)
        self.writes = checkpoint is not None and (group is None or distributed.get_rank(group) == 0)
        self.saved: Saved | None = None
        self.clock = time.monotonic()

    def run(self) -> None:
        """Train to the end, from the checkpoint if there is one.

        Raises:
            StudyError: loss or gradient is not finite; the checkpoint is of another training.
        """
        first = self._resume()
        self.network.train()
        for step in range(first, self.schedule.steps):
            if step == first or self._due(step):
                self._save(step)
            self._step(step)
        if first < self.schedule.steps:
            self._save(self.schedule.steps)
        self.network.eval()

    def _step(self, step: int) -> None:
        batch = Batch(self.order(step), step, self.device, self.group)
        rank = 0 if self.group is None else distributed.get_rank(self.group)
        dropout = tensor_generator(self.request.seed, DROPOUT, step, rank).initial_seed()
        self.optimizer.param_groups[0]["lr"] = self.schedule(step)
        self.optimizer.zero_grad()
        with seeded(dropout, [self.device]), global_statistics(self.group):
            loss = self.objective.loss(self.network, batch)
            loss.backward()
        total = sum_gradients(self.parameters, loss, self.group)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not math.isfinite(total) or not math.isfinite(nn.utils.get_total_norm(gradients).item()):
            raise diverged(f"the noise rate {self.rate:g}", step, self.schedule, total, self.saved)
        self.optimizer.step()

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    def _resume(self) -> int:
        """The step to continue from; all ranks read the same file."""
        if self.checkpoint is None:
            return 0
        if self.group is not None:
            distributed.barrier(group=self.group)  # nobody reads before all are here: a rank that is ahead would write
        position = self.checkpoint.restore(self.network, self.optimizer)
        step = 0 if position is None else position.step
        if self.group is not None and not _same_everywhere(step, self.device, self.group):
            raise StudyError(
                f"the ranks do not see the same checkpoint {self.checkpoint.path}: the folder must be on a file system "
                "that all of them share"
            )
        if position is not None:
            self.order.go_to(position)
        return step

    def _due(self, step: int) -> bool:
        config = self.request.config
        if config.checkpoint_steps and step % config.checkpoint_steps == 0:
            return True
        return time.monotonic() - self.clock >= config.checkpoint_seconds

    def _save(self, step: int) -> None:
        if self.checkpoint is None:
            return
        position = self.order.position(step)
        if self.writes:
            self.checkpoint.save(self.network, self.optimizer, self.schedule, position)
        self.saved, self.clock = Saved(self.checkpoint.path, step), time.monotonic()


def _same_everywhere(step: int, device: torch.device, group: ProcessGroup) -> bool:
    own = torch.tensor([step, -step], device=device)
    distributed.all_reduce(own, distributed.ReduceOp.MAX, group=group)
    return bool(own[0] == -own[1])
