"""One training run: its settings, epochs and measurements."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from .._checks import check_integer, check_seed
from .._gather import resolve_group
from .._random import seeded, tensor_generator
from ..heads import Head
from ..heads.randomness import Draws, draws_by_itself
from ..losses import NMTuneTerms
from ..objective import IGNORED
from .batches import LabelledRows, count_batches, shuffled
from .compiling import check_mode, training_loss
from .optimizer import adamw
from .ranks import average_gradients, global_batch_norm, part_of, share_first
from .schedule import Rates

_GLOBAL_GENERATOR = threading.RLock()


class DivergedError(ValueError):
    """The training loss was not finite."""


class Settings(NamedTuple):
    """The numbers of a run."""

    epochs: int
    batch_size: int
    rates: Rates
    seed: int | None
    compile: bool | str = False
    patience: int | None = None

    def checked(self) -> Settings:
        """Check the range of each number, and return them as Python numbers."""
        epochs = check_integer(self.epochs, "epochs", minimum=1)
        return Settings(
            epochs=epochs,
            batch_size=check_integer(self.batch_size, "batch_size", minimum=1),
            rates=self.rates.checked(epochs),
            seed=None if self.seed is None else check_seed(self.seed),
            compile=check_mode(self.compile),
            patience=None if self.patience is None else check_integer(self.patience, "patience", minimum=1),
        )


class Run:
    """The training of a head on its rows, with the optimizer.

    All random numbers of an epoch are a function of (seed, epoch), so no state of generators needs to be saved.
    """

    def __init__(self, head: Head, rows: LabelledRows, held_out: LabelledRows | None, settings: Settings) -> None:
        self.head, self.rows, self.held_out, self.settings = head, rows, held_out, settings
        self.group = resolve_group(head.objective.gather)
        if self.group is not None and settings.compile is not False:
            raise ValueError(f"`compile` must be False for a head with `gather`, got {settings.compile!r}")
        share_first([*head.parameters(), *head.buffers()], self.group)
        self.parameters = [parameter for parameter in head.parameters() if parameter.requires_grad]
        self.optimizer = adamw(self.parameters, rows.device, weight_decay=settings.rates.weight_decay)
        self.draws = Draws(head)
        self.loss = training_loss(head, settings.compile, settings.batch_size, rows.device)
        self.smallest = smallest_batch(head, len(rows), settings.batch_size)
        self.steps = count_batches(len(rows), settings.batch_size, self.smallest)  # of one epoch
        self.schedule = settings.rates.schedule(settings.epochs, self.steps)

    def epoch(self, epoch: int, seed: int, bar: tqdm[Any]) -> dict[str, float]:
        """Train one epoch, counted from zero, and return its entry of the history."""
        began = time.perf_counter()
        order = tensor_generator(seed, 0, epoch)
        batches = shuffled(len(self.rows), self.settings.batch_size, self.smallest, order)
        rates = [self.schedule(step) for step in range(epoch * self.steps, (epoch + 1) * self.steps)]
        with randomness_of(self.head, seed, epoch, self.rows.device) as generator:
            sums = self._train(batches, rates, generator, bar)
        record = {"epoch": epoch + 1, "learning_rate": rates[0], **_means(sums, len(self.rows), epoch)}
        if self.held_out is not None:
            record.update(evaluate(self.head, self.held_out))
            if not math.isfinite(record["validation_loss"]):
                raise DivergedError(
                    f"the validation loss is {record['validation_loss']} in epoch {epoch + 1}, the training loss is "
                    "not: look for NaN or infinity in the features of `validation`"
                )
        record["seconds"] = time.perf_counter() - began
        return record

    def _train(self, batches: list[Tensor], rates: list[float], generator: torch.Generator, bar: tqdm[Any]) -> Tensor:
        """Train on the batches; return the sums of the terms over the rows, on the device, without waiting for it."""
        self.head.train()
        sums = zero_sums(len(NMTuneTerms._fields), device=self.rows.device)
        counts = [len(batch) for batch in batches]
        parts = [part_of(count, self.group) for count in counts]
        own = [batch[part] for batch, part in zip(batches, parts, strict=True)]
        with (
            closing(self.rows.batches(own)) as arriving,
            self.draws.cleared(),
            global_batch_norm(self.head, self.group),
        ):
            for batch, rate, count, part in zip(arriving, rates, counts, parts, strict=True):
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                for parameter in self.parameters:
                    parameter.grad = None
                self.draws.next(count, generator, batch.features, part)
                weights = {} if batch.weights is None else {"sample_weight": batch.weights}
                terms = self.loss(batch.features, batch.targets, **weights)
                terms.total.backward()
                average_gradients(self.parameters, self.group)
                self.optimizer.step()
                add_terms(sums, terms, count)
                bar.update()
        return sums

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.group is None or torch.distributed.get_rank(self.group) == 0

    def agreed(self, seed: int) -> int:
        """The first rank's seed."""
        shared = torch.tensor(seed, dtype=torch.int64, device=self.rows.device)
        share_first([shared], self.group)
        return int(shared)

    def fingerprint(self) -> dict[str, Any]:
        """The arguments and data that must be unchanged to resume from a checkpoint; it holds the weights itself."""
        settings = self.settings._asdict()
        rates = settings.pop("rates")._asdict()
        frozen = [name for name, parameter in self.head.named_parameters() if not parameter.requires_grad]
        return {
            **settings,
            **rates,
            "head": type(self.head).__name__,
            **self.head.config(),
            "frozen": frozen,
            "dtype": str(self.rows.dtype),
            "device": self.rows.device.type,
            "features and targets": self.rows.checksum(),
            "validation": None if self.held_out is None else self.held_out.checksum(),
        }


@contextmanager
def randomness_of(head: Head, seed: int, epoch: int, device: torch.device) -> Generator[torch.Generator]:
    """The generator of a head's random numbers in an epoch.

    Modules with their own random numbers, such as torch's dropout, use torch's global generator. It is seeded for them
    and restored afterwards, by one thread at a time.
    """
    generator = tensor_generator(seed, 1, epoch)
    if not draws_by_itself(head):
        yield generator
        return
    with _GLOBAL_GENERATOR, seeded(generator.initial_seed(), [device]):
        yield generator


def add_terms(sums: Tensor, terms: NMTuneTerms, count: int) -> None:
    """Add the terms' means over ``count`` rows, times the count, to the sums of the terms (..., terms).

    The device is not waited for. The terms are read at once, because the next replay of a CUDA graph overwrites them.
    """
    sums.add_(torch.stack([term.detach() for term in terms], -1), alpha=count)


def evaluate(head: Head, rows: LabelledRows) -> dict[str, float]:
    """Mean cross-entropy, without smoothing and regularizers, and accuracy; leaves the head in evaluation mode."""
    return evaluate_each([head], rows)[0][0]


def evaluate_each(heads: Sequence[Head], rows: LabelledRows) -> tuple[list[dict[str, float]], Tensor]:
    """`evaluate` for several heads, and which rows (H, N) each gets right; the rows are read once."""
    for head in heads:
        head.eval()
    losses = zero_sums(len(heads), device=rows.device)
    parts: list[Tensor] = []
    with torch.no_grad():
        for features, targets, _ in rows.in_order():
            classes = targets.argmax(1) if targets.is_floating_point() else targets
            logits = [head(features).float() for head in heads]
            losses += torch.stack(
                [cross_entropy(one, targets, ignore_index=IGNORED, reduction="sum") for one in logits]
            )
            parts.append(torch.stack([one.argmax(1) == classes for one in logits]))
    right = torch.cat(parts, 1)
    means = (torch.stack([losses, right.sum(1).to(losses)], 1) / rows.num_labelled).tolist()
    return [{"validation_loss": loss, "validation_accuracy": accuracy} for loss, accuracy in means], right


def zero_sums(*shape: int, device: torch.device) -> Tensor:
    """Zeros for sums: float64, but float32 on MPS, which has no float64."""
    return torch.zeros(shape, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


def _means(sums: Tensor, count: int, epoch: int) -> dict[str, float]:
    values = [value / count for value in sums.tolist()]
    if not math.isfinite(values[0]):
        raise DivergedError(
            f"the training loss is {values[0]} in epoch {epoch + 1}: look for NaN or infinity in `features`, "
            "or lower `learning_rate` or the weights of the regularizers"
        )
    return train_terms(values)


def train_terms(values: Iterable[float]) -> dict[str, float]:
    """The terms' means by their names in histories and tables."""
    return {f"train_{name}": value for name, value in zip(NMTuneTerms._fields, values, strict=True)}


def smallest_batch(head: Head, count: int, batch_size: int) -> int:
    """The smallest allowed batch: two rows, or more if the head needs more, so that all heads see the same batches."""
    smallest = head.smallest_batch
    if count < smallest:
        raise ValueError(f"`features` must have at least {smallest} rows to train this head, got {count}")
    if batch_size < smallest:
        raise ValueError(f"`batch_size` must be at least {smallest} for this head, got {batch_size}")
    return max(2, smallest)
