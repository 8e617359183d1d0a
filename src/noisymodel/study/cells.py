"""One cell of a study: pre-train with every noise rate, tune with every method, evaluate, store each part."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed

from .. import spectrum
from .config import StudyConfig, fingerprint
from .curves import CurveRecorder
from .data import Examples, Task, batches, chosen_tasks, open_source, reported_shifts
from .evaluation import accuracy, against_clean, tuned_features
from .failures import Failure, failure
from .grid import CellName
from .method import Material
from .methods import chosen_methods
from .pretraining import Network, Pretrained, PretrainingRequest, measures, pretrain, untrained
from .record import CLEAN_SHIFT, FEATURES, PRETRAINING, CurveRow, Row
from .storage import Storage


class Part(NamedTuple):
    """One part of a cell besides pre-training and measures: a method on a task with so many labels."""

    task: str
    shots: int
    method: str


def compute_cell(config: StudyConfig, name: CellName, storage: Storage, tell: Callable[[str], None]) -> list[Failure]:
    """Compute what the storage lacks of one cell; a cell that cannot even be opened has failed as a whole."""
    try:
        cell = Cell(config, name, storage)
    except Exception as error:
        return [failure(name, PRETRAINING, error)]
    return cell.compute(tell)


class FrozenFeatures(NamedTuple):
    """What a pre-trained network makes of a task."""

    training: Mapping[int, Tensor]
    """Features ``(n, D)`` of the training examples, by the number of shots."""
    tests: Mapping[str, Tensor]
    """The same of each test set; ``"none"`` is the in-domain one."""


class Cell:
    """The parts of one cell, computed or taken from the storage.

    Args:
        config: the study.
        name: one of its cells.
        storage: where finished parts are kept.
    """

    def __init__(self, config: StudyConfig, name: CellName, storage: Storage) -> None:
        self.config, self.name, self.storage = config, name, storage
        self.seed = name.seed
        self.methods = chosen_methods(config)
        self.shifts = reported_shifts(config)
        self.source = open_source(config, name.seed)
        self.tasks = chosen_tasks(config, self.source)
        self._frozen: dict[tuple[float, str], FrozenFeatures] = {}
        self._pretrained: Pretrained | None = None

    @property
    def parts(self) -> Iterator[Part]:
        """All parts besides pre-training and measures."""
        return itertools.starmap(Part, itertools.product(self.tasks, self.config.shots, self.methods))

    # ---- names of the parts ------------------------------------------------------------------------------------------

    @property
    def pretraining_key(self) -> str:
        """Hash of everything that the pre-trained networks depend on."""
        config = self.config
        return fingerprint(
            self.storage.code,
            [config.data, dict(config.data_options), config.suite, self.source.identity],
            [*self.name, config.noise_rates, asdict(config.pretraining)],
        )

    @property
    def measures_key(self) -> str:
        """Hash of everything that the measures of networks and frozen features depend on."""
        return fingerprint(self.pretraining_key, self.shifts)

    def tuning_key(self, part: Part) -> str:
        """Hash of everything that the results of a part depend on."""
        method = self.methods[part.method]
        tuning = [asdict(self.config.tuning), part.task, part.shots]
        return fingerprint(self.pretraining_key, self.shifts[part.task], [*method.identity, *tuning])

    # ---- the parts ---------------------------------------------------------------------------------------------------

    def compute(self, tell: Callable[[str], None]) -> list[Failure]:
        """Compute and store what is not stored yet; ``tell`` is called with the name of each part when it is there.

        A part that fails does not keep the others from being computed, but for the pre-training, on which all depend.
        """
        failures: list[Failure] = []

        def attempt(part: str, work: Callable[[], None]) -> bool:
            try:
                work()
            except Exception as error:
                failures.append(failure(self.name, part, error))
                return False
            tell(part)
            return True

        if attempt(PRETRAINING, self._complete_measures):
            for part in self.parts:
                attempt(self.spoken(part), lambda part=part: self._complete(part))
        return failures

    def _complete_measures(self) -> None:
        if self.measures() is None:
            self.storage.save_json("measures", self.measures_key, self._measure())

    def _complete(self, part: Part) -> None:
        if any(self.storage.load_json(kind, self.tuning_key(part)) is None for kind in self._kinds):
            curves: list[CurveRow] = []
            rows = list(self._tune(part, curves))
            if self.config.learning_curves:
                self.storage.save_json("curves", self.tuning_key(part), curves)
            self.storage.save_json("tuning", self.tuning_key(part), rows)

    @property
    def _kinds(self) -> tuple[str, ...]:
        """The kinds of stored files that a part has."""
        return ("tuning", "curves") if self.config.learning_curves else ("tuning",)

    def spoken(self, part: Part) -> str:
        """The method, with shots and task where there are several."""
        several = [f"{part.shots} shots"] * (len(self.config.shots) > 1) + [part.task] * (len(self.tasks) > 1)
        return f"{part.method} ({', '.join(several)})" if several else part.method

    def measures(self) -> dict[str, Any] | None:
        """``{"rows": [...], "spectra": {task: {name: singular values}}}`` of networks and features, if stored."""
        return self.storage.load_json("measures", self.measures_key)

    def missing(self) -> list[str]:
        """The parts that are not stored yet."""
        absent = [] if self.storage.has_json("measures", self.measures_key) else [PRETRAINING]
        return absent + [
            self.spoken(part)
            for part in self.parts
            if not all(self.storage.has_json(kind, self.tuning_key(part)) for kind in self._kinds)
        ]

    def rows(self) -> Iterator[Row]:
        """All numbers of this cell, from the storage.

        Raises:
            LookupError: a part is not there yet.
        """
        measures = self.measures()
        stored = [None if measures is None else measures["rows"]]
        stored += [self.storage.load_json("tuning", self.tuning_key(part)) for part in self.parts]
        for rows in stored:
            if rows is None:
                raise LookupError(f"{self.name} is not complete")
            yield from (Row(*values) for values in rows)

    def curves(self) -> Iterator[CurveRow]:
        """Loss and accuracies by epoch, from the storage; nothing where the configuration does not ask for them."""
        for part in self.parts if self.config.learning_curves else ():
            stored = self.storage.load_json("curves", self.tuning_key(part)) or []
            yield from (CurveRow(*values) for values in stored)

    # ---- computing ---------------------------------------------------------------------------------------------------

    def pretrained(self) -> Pretrained:
        """The networks, one per noise rate, trained or taken from the storage."""
        if self._pretrained is None:
            self._pretrained = self.stored_networks() or self._pretrain()
        return self._pretrained

    def stored_networks(self) -> Pretrained | None:
        """The networks from the storage, or ``None``."""
        tensors = self.storage.load_tensors("pretraining", self.pretraining_key)
        if tensors is None:
            return None
        states = tuple(
            {name.split("/", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{index}/")}
            for index in range(len(self.config.noise_rates))
        )
        return Pretrained(untrained(self.request), states)

    @cached_property
    def _examples(self) -> Examples:
        """What the networks are pre-trained on, with clean labels."""
        return self.source.pretraining()

    @cached_property
    def request(self) -> PretrainingRequest:
        """What is to be pre-trained; its checkpoints are needed until the networks are stored."""
        return PretrainingRequest(
            objective=self.name.objective,
            architecture=self.name.architecture,
            noise_kind=self.name.noise_kind,
            noise_rates=self.config.noise_rates,
            examples=self._examples,
            seed=self.seed,
            classes=self.source.pretraining_classes,
            vocabulary=self.source.vocabulary,
            config=self.config.pretraining,
            checkpoints=self.storage.folder / f"pretraining-{self.pretraining_key}",
        )

    def _pretrain(self) -> Pretrained:
        trained = pretrain(self.request)
        if distributed.is_initialized() and distributed.get_rank() > 0:
            return trained  # rank 0 writes what all have
        tensors = {f"{i}/{name}": tensor for i, state in enumerate(trained.states) for name, tensor in state.items()}
        self.storage.save_tensors("pretraining", self.pretraining_key, tensors)
        shutil.rmtree(self.request.checkpoints or "", ignore_errors=True)
        return trained

    def frozen(self, rate: float, task: str) -> FrozenFeatures:
        """Features of a task by the network that was pre-trained at ``rate``."""
        if (rate, task) not in self._frozen:
            network = self.pretrained().one(self.config.noise_rates.index(rate))

            def features(examples: Examples) -> Tensor:
                return torch.cat([network.features(batch) for batch in batches(examples.inputs)])

            with torch.no_grad():
                training = {shots: features(self._training(task, shots)) for shots in self.config.shots}
                tests = {shift: features(examples) for shift, examples in self._tests(task).items()}
            self._frozen[rate, task] = FrozenFeatures(training, tests)
        return self._frozen[rate, task]

    def _training(self, task: str, shots: int) -> Examples:
        """Downstream training examples; the same for all networks."""
        return self._task_examples[task][0][shots]

    def _tests(self, task: str) -> Mapping[str, Examples]:
        """Downstream test examples, in-domain and under each reported shift; the same for all networks."""
        return self._task_examples[task][1]

    @cached_property
    def _task_examples(self) -> Mapping[str, tuple[Mapping[int, Examples], Mapping[str, Examples]]]:
        return {name: self._examples_of(task, self.shifts[name]) for name, task in self.tasks.items()}

    def _examples_of(
        self, task: Task, shifts: tuple[str, ...]
    ) -> tuple[Mapping[int, Examples], Mapping[str, Examples]]:
        training = {shots: task.training(shots) for shots in self.config.shots}
        return training, {CLEAN_SHIFT: task.test(), **{shift: task.shifted(shift) for shift in shifts}}

    def _row(
        self,
        rate: float,
        method: str,
        metric: str,
        value: float,
        shift: str = CLEAN_SHIFT,
        task: str = "",
        shots: int = 0,
    ) -> Row:
        several = len(self.tasks) > 1 and bool(task)
        return Row(
            data=f"{self.config.data}/{task}" if several else self.config.data,
            objective=self.name.objective,
            architecture=self.pretrained().network.name,
            noise_kind=self.name.noise_kind,
            noise_rate=rate,
            method=method,
            shots=shots,
            split="id" if shift == CLEAN_SHIFT else "ood",
            shift=shift,
            seed=self.seed,
            metric=metric,
            value=float(value),
        )

    def _measure(self) -> dict[str, Any]:
        """Rows of the networks and their frozen features, and the spectra of the latter."""
        rows = [
            self._row(rate, PRETRAINING, metric, value)
            for index, rate in enumerate(self.config.noise_rates)
            for metric, value in self._network_measures(index).items()
        ]
        spectra: dict[str, dict[str, list[float]]] = {}
        for task, rate in itertools.product(self.tasks, self.config.noise_rates):
            for shift, features in self.frozen(rate, task).tests.items():
                analysis = spectrum.analyze(features)
                rows += self._spectral_rows(rate, FEATURES, analysis, shift=shift, task=task)
                clean = self.frozen(self.config.noise_rates[0], task).tests[shift]
                for metric, value in against_clean(features, clean, self.tasks[task].classes).items():
                    rows.append(self._row(rate, FEATURES, metric, value, shift, task))
                name = f"rate={rate:g}/seed={self.seed}/{'id' if shift == CLEAN_SHIFT else shift}"
                spectra.setdefault(task, {})[name] = np.asarray(analysis.singular_values).tolist()
        return {"rows": rows, "spectra": spectra}

    def _network_measures(self, index: int) -> dict[str, float]:
        """How well a network does its own task: on held-out examples, and on the noisy ones that it was given."""
        network = self.pretrained().one(index)
        return measures(self.request, self.config.noise_rates[index], network, self.source.pretraining_check())

    def _spectral_rows(self, rate: float, method: str, analysis: spectrum.Spectrum, **where: Any) -> list[Row]:
        values = {
            "singular_value_entropy": analysis.entropy,
            "largest_singular_value_ratio": analysis.largest_ratio,
            "effective_rank": analysis.effective_rank,
        }
        return [self._row(rate, method, metric, value, **where) for metric, value in values.items()]

    def _tune(self, part: Part, curves: list[CurveRow]) -> Iterator[Row]:
        """The rows of a part; what its epochs gave goes into ``curves`` where the configuration asks for it."""
        method = self.methods[part.method]
        where: Mapping[str, Any] = {"task": part.task, "shots": part.shots}
        for rate in self.config.noise_rates:
            frozen = self.frozen(rate, part.task)
            tests = {
                shift: examples if method.sees_pictures else examples._replace(inputs=frozen.tests[shift].numpy())
                for shift, examples in self._tests(part.task).items()
            }

            def row(metric: str, value: float, shift: str = CLEAN_SHIFT, rate: float = rate) -> Row:
                return self._row(rate, part.method, metric, value, shift, **where)

            recorder = CurveRecorder(tests, row, accuracy) if self.config.learning_curves else None
            head = method.fitted(self._material(rate, part), recorder)
            if recorder is not None:
                curves += recorder.rows
            for shift, examples in tests.items():
                yield row("accuracy", accuracy(head, examples), shift)
            tuned = tuned_features(head, tests[CLEAN_SHIFT].inputs)
            if tuned is not None:
                yield from self._spectral_rows(rate, part.method, spectrum.analyze(tuned), **where)

    def examples_of(self, task: str) -> Iterator[Examples]:
        """All training and test examples of a task."""
        training, tests = self._task_examples[task]
        yield from training.values()
        yield from tests.values()

    def material_of(self, network: Network, part: Part) -> Material:
        """What a method would get to train on if this were the pre-trained network."""
        training = self._training(part.task, part.shots)
        with torch.no_grad():
            features = torch.cat([network.features(batch) for batch in batches(training.inputs)])
        return self._material_with(network, features, part)

    def _material(self, rate: float, part: Part) -> Material:
        network = self.pretrained().one(self.config.noise_rates.index(rate))
        return self._material_with(network, self.frozen(rate, part.task).training[part.shots], part)

    def _material_with(self, network: Network, features: Tensor, part: Part) -> Material:
        training = self._training(part.task, part.shots)
        return Material(
            network=network,
            inputs=training.inputs,
            features=features,
            labels=torch.from_numpy(training.labels),
            classes=self.tasks[part.task].classes,
            seed=self.seed,
            tuning=self.config.tuning,
        )
