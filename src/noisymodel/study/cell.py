"""One cell of a study: pre-train with every noise rate, measure the networks, tune with every method."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from .. import spectrum
from .data import Examples, Task, batches, chosen_tasks
from .evaluation import CurveRecorder, against_clean, scores, tuned_features
from .failures import Failure, failure
from .methods import Material
from .part_cache import Curve, Number, PartCache, Values
from .plan import NETWORKS, CellName, Part, Plan
from .pretraining import Network, Pretrained, PretrainingRequest, measures, pretrain, untrained
from .rows import CLEAN_SHIFT

T = TypeVar("T")


def compute_cell(
    plan: Plan, name: CellName, cache: PartCache, look: Callable[[], None] = lambda: None
) -> list[Failure]:
    """Compute the missing parts of one cell; a cell that cannot be opened fails as a whole."""
    try:
        cell = Cell(plan, name, cache)
    except Exception as error:
        return [failure(name, plan.spoken(NETWORKS), error)]
    return cell.compute(look)


class OfTask(NamedTuple, Generic[T]):
    """The examples of a task, or their features ``(n, D)`` by a pre-trained network."""

    training: Mapping[int, T]
    """By the number of shots."""
    tests: Mapping[str, T]
    """By shift; ``"none"`` is the in-domain test set."""


class Cell:
    """The parts of one cell, computed or taken from the cache.

    Args:
        plan: the study.
        name: one of its cells.
        cache: the cache of finished parts.
    """

    def __init__(self, plan: Plan, name: CellName, cache: PartCache) -> None:
        self.plan, self.name, self.cache = plan, name, cache
        self.rates = plan.config.noise_rates
        self.source = plan.source_of(name)
        self.tasks: Mapping[str, Task] = chosen_tasks(plan.config, self.source)
        self._examples: dict[str, OfTask[Examples]] = {}
        self._frozen: dict[tuple[float, str], OfTask[Tensor]] = {}
        self._pretrained: Pretrained | None = None

    # ---- parts -------------------------------------------------------------------------------------------------------

    def compute(self, look: Callable[[], None] = lambda: None) -> list[Failure]:
        """Compute and store the missing parts; call ``look`` after each finished part.

        If a part fails, the others are still computed, unless it is the pre-training, on which all depend.
        """
        failures: list[Failure] = []
        for part in self.plan.parts:
            try:
                self.complete(part)
            except Exception as error:
                pretrained = self._pretrained is not None
                failures.append(failure(self.name, self.plan.spoken(part if pretrained else NETWORKS), error))
                if not pretrained:
                    return failures
                continue
            look()
        return failures

    def complete(self, part: Part) -> None:
        """Compute and store a part, unless it is stored."""
        if self.plan.stored(self.name, part, self.cache) is None:
            network = self.pretrained().network.name
            compute = {"networks": self._networks, "features": self._features, "tuning": self._tuning}[part.stage]
            self.cache.save(self.plan.identity(self.name, part), compute(part)._replace(network=network))

    # ---- networks ----------------------------------------------------------------------------------------------------

    def pretrained(self) -> Pretrained:
        """The networks, one per noise rate, trained or taken from the cache."""
        if self._pretrained is None:
            self._pretrained = self.stored_networks() or self._pretrain()
        return self._pretrained

    def stored_networks(self) -> Pretrained | None:
        """The networks from the cache, or ``None``."""
        states = self.cache.load_networks(self.plan.pretraining(self.name))
        if states is None:
            return None
        shape = untrained(self.request)
        wanted = {name: value.shape for name, value in shape.state_dict().items()}
        if any({name: value.shape for name, value in state.items()} != wanted for state in states):
            return None
        return Pretrained(shape, tuple(states))

    @cached_property
    def request(self) -> PretrainingRequest:
        """The request for pre-training; its checkpoints are needed until the networks are stored."""
        return PretrainingRequest(
            objective=self.name.objective,
            architecture=_absolute(self.name.architecture),
            noise_kind=self.name.noise_kind,
            noise_rates=self.rates,
            examples=self.source.pretraining(),
            seed=self.name.seed,
            classes=self.source.pretraining_classes,
            vocabulary=self.source.vocabulary,
            config=self.plan.settings_of(self.name),
            checkpoints=self.cache.checkpoints(self.plan.pretraining(self.name)),
        )

    def _pretrain(self) -> Pretrained:
        identity = self.plan.pretraining(self.name)
        ranks = distributed.is_initialized()  # they share one pre-training; rank 0 owns it already
        with nullcontext() if ranks else self.cache.owned(identity):
            stored = None if ranks else self.stored_networks()  # another study may have trained them meanwhile
            if stored is not None:
                return stored
            trained = pretrain(self.request)
            if not ranks or distributed.get_rank() == 0:  # rank 0 writes the networks, which all ranks have
                self.cache.save_networks(identity, trained.states)
                shutil.rmtree(self.cache.checkpoints(identity), ignore_errors=True)
        return trained

    # ---- features ----------------------------------------------------------------------------------------------------

    def frozen(self, rate: float, task: str) -> OfTask[Tensor]:
        """Features of a task by the network that was pre-trained at ``rate``."""
        if (rate, task) not in self._frozen:
            network = self.pretrained().one(self.rates.index(rate))
            training, tests = self.examples_of(task)
            self._frozen[rate, task] = OfTask(
                {shots: features_of(network, examples) for shots, examples in training.items()},
                {shift: features_of(network, examples) for shift, examples in tests.items()},
            )
        return self._frozen[rate, task]

    def examples_of(self, name: str) -> OfTask[Examples]:
        """Downstream training and test examples of a task; the same for all networks."""
        if name not in self._examples:
            task = self.tasks[name]
            training = {shots: task.training(shots) for shots in self.plan.config.shots}
            shifted = {shift: task.shifted(shift) for shift in self.plan.shifts[name]}
            self._examples[name] = OfTask(training, {CLEAN_SHIFT: task.test(), **shifted})
        return self._examples[name]

    # ---- computing ---------------------------------------------------------------------------------------------------

    def _networks(self, _: Part) -> Values:
        """Measure each network on its own task: on held-out examples, and on its noisy training examples."""
        numbers: list[Number] = []
        for index, rate in enumerate(self.rates):
            found = measures(self.request, rate, self.pretrained().one(index), self.source.pretraining_check())
            numbers += [(rate, CLEAN_SHIFT, metric, value) for metric, value in found.items()]
        return Values(numbers)

    def _features(self, part: Part) -> Values:
        """Measures of the frozen features on each test set, and their spectra."""
        numbers: list[Number] = []
        spectra: dict[str, list[list[float]]] = {}
        clean = self.frozen(self.rates[0], part.task).tests
        for rate in self.rates:
            for shift, features in self.frozen(rate, part.task).tests.items():
                analysis = spectrum.analyze(features)
                found = _spectral(analysis) | against_clean(features, clean[shift], self.tasks[part.task].classes)
                numbers += [(rate, shift, metric, value) for metric, value in found.items()]
                spectra.setdefault(shift, []).append(np.asarray(analysis.singular_values).tolist())
        return Values(numbers, spectra=spectra)

    def _tuning(self, part: Part) -> Values:
        """Scores of a method on each test set, and measures of its tuned features."""
        method = self.plan.methods[part.method]
        numbers: list[Number] = []
        curves: list[Curve] = []
        for rate in self.rates:
            frozen = self.frozen(rate, part.task)
            tests = {
                shift: examples if method.sees_pictures else examples._replace(inputs=frozen.tests[shift].numpy())
                for shift, examples in self.examples_of(part.task).tests.items()
            }
            recorder = CurveRecorder(rate, tests) if self.plan.config.learning_curves else None
            network = self.pretrained().one(self.rates.index(rate))
            head = method.fitted(self.material(network, frozen.training[part.shots], part), recorder)
            for shift, examples in tests.items():
                numbers += [(rate, shift, metric, value) for metric, value in scores(head, examples).items()]
            tuned = tuned_features(head, tests[CLEAN_SHIFT].inputs)
            if tuned is not None:
                found = _spectral(spectrum.analyze(tuned))
                numbers += [(rate, CLEAN_SHIFT, metric, value) for metric, value in found.items()]
            curves += recorder.curves if recorder is not None else []
        return Values(numbers, curves=curves if self.plan.config.learning_curves else None)

    def material(self, network: Network, features: Tensor, part: Part) -> Material:
        """The material that a method may train on, including a network's features of the training examples."""
        training = self.examples_of(part.task).training[part.shots]
        return Material(
            network=network,
            inputs=training.inputs,
            features=features,
            labels=torch.from_numpy(training.labels),
            classes=self.tasks[part.task].classes,
            seed=self.name.seed,
            tuning=self.plan.config.tuning,
        )

    def all_examples(self) -> Iterator[Examples]:
        """All training and test examples of all tasks."""
        for training, tests in map(self.examples_of, self.tasks):
            yield from itertools.chain(training.values(), tests.values())


def features_of(network: Network, examples: Examples) -> Tensor:
    """The features ``(n, D)`` of inputs by a network."""
    with torch.no_grad():
        return torch.cat([network.features(batch) for batch in batches(examples.inputs)])


def _spectral(analysis: spectrum.Spectrum) -> dict[str, float]:
    return {
        "singular_value_entropy": analysis.entropy,
        "largest_singular_value_ratio": analysis.largest_ratio,
        "effective_rank": analysis.effective_rank,
    }


def _absolute(architecture: str) -> str:
    """The name of an architecture; a folder becomes an absolute path."""
    library, colon, name = architecture.partition(":")
    return f"{library}:{Path(name).absolute()}" if colon and Path(name).is_dir() else architecture
