"""One seed of a study: pre-train with every noise rate, tune with every method, evaluate, store each part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import noise, spectrum
from .config import StudyConfig, fingerprint
from .data import Pictures, open_source, reported_shifts
from .method import Material, Method
from .methods import chosen_methods
from .pretraining import Pretrained, build_network, pretrain
from .record import CLEAN_SHIFT, FEATURES, PRETRAINING, Row
from .storage import Storage


class FrozenFeatures(NamedTuple):
    """What a pre-trained network makes of the downstream pictures."""

    training: tuple[Tensor, Tensor]
    """Features ``(n, D)`` and labels ``(n,)``."""
    tests: Mapping[str, tuple[Tensor, Tensor]]
    """The same of each test set; ``"none"`` is the in-domain one."""


class Cell:
    """The parts of one seed, computed or taken from the storage.

    Args:
        config: the study.
        seed: one of its seeds.
        storage: where finished parts are kept.
    """

    def __init__(self, config: StudyConfig, seed: int, storage: Storage) -> None:
        self.config, self.seed, self.storage = config, seed, storage
        self.methods = chosen_methods(config)
        self.shifts = reported_shifts(config)
        self.source = open_source(config, seed)
        self._frozen: dict[float, FrozenFeatures] = {}
        self._pretrained: Pretrained | None = None

    # ---- names of the parts ------------------------------------------------------------------------------------------

    @property
    def pretraining_key(self) -> str:
        """Hash of everything that the pre-trained networks depend on."""
        config = self.config
        return fingerprint(
            self.storage.code,
            [config.data, dict(config.data_options), self.seed],
            [config.noise_kind, config.noise_rates, asdict(config.pretraining)],
        )

    @property
    def measures_key(self) -> str:
        """Hash of everything that the measures of networks and frozen features depend on."""
        return fingerprint(self.pretraining_key, self.shifts)

    def tuning_key(self, method: Method) -> str:
        """Hash of everything that the results of a tuning method depend on."""
        tuning = [asdict(self.config.tuning), self.config.shots]
        return fingerprint(self.measures_key, [*method.identity, *tuning])

    # ---- the parts ---------------------------------------------------------------------------------------------------

    def compute(self, tell: Callable[[str], None]) -> None:
        """Compute and store what is not stored yet; ``tell`` is called with the name of each part when it is there."""
        if self.measures() is None:
            self.storage.save_json("measures", self.measures_key, self._measure())
        tell(PRETRAINING)
        for name, method in self.methods.items():
            if self.storage.load_json("tuning", self.tuning_key(method)) is None:
                self.storage.save_json("tuning", self.tuning_key(method), list(self._tune(name, method)))
            tell(name)

    def measures(self) -> dict[str, Any] | None:
        """``{"rows": [...], "spectra": {name: singular values}}`` of networks and frozen features, if stored."""
        return self.storage.load_json("measures", self.measures_key)

    def rows(self) -> Iterator[Row]:
        """All numbers of this seed, from the storage.

        Raises:
            LookupError: a part is not there yet.
        """
        measures = self.measures()
        parts = [None if measures is None else measures["rows"]]
        parts += [self.storage.load_json("tuning", self.tuning_key(method)) for method in self.methods.values()]
        for part in parts:
            if part is None:
                raise LookupError(f"seed {self.seed} is not complete")
            yield from (Row(*values) for values in part)

    # ---- computing ---------------------------------------------------------------------------------------------------

    def pretrained(self) -> Pretrained:
        """The networks, one per noise rate, trained or taken from the storage."""
        if self._pretrained is None:
            self._pretrained = self._load_pretrained() or self._pretrain()
        return self._pretrained

    def _load_pretrained(self) -> Pretrained | None:
        tensors = self.storage.load_tensors("pretraining", self.pretraining_key)
        if tensors is None:
            return None
        states = tuple(
            {name.split("/", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{index}/")}
            for index in range(len(self.config.noise_rates))
        )
        pixels = states[0]["backbone.0.weight"].shape[1]
        network = build_network(pixels, self.source.pretraining_classes, self.config.pretraining, seed=self.seed)
        return Pretrained(network, states)

    @cached_property
    def _pictures(self) -> Pictures:
        """What the networks are pre-trained on, with clean labels."""
        return self.source.pretraining()

    def _pretrain(self) -> Pretrained:
        pictures = self._pictures
        trained = pretrain(
            torch.from_numpy(pictures.images),
            self.noisy_labels(pictures),
            self.source.pretraining_classes,
            self.config.pretraining,
            seed=self.seed,
        )
        tensors = {f"{i}/{name}": tensor for i, state in enumerate(trained.states) for name, tensor in state.items()}
        self.storage.save_tensors("pretraining", self.pretraining_key, tensors)
        return trained

    def noisy_labels(self, pictures: Pictures) -> Tensor:
        """``(rates, n)``: the labels of each network; what is wrong at a rate is wrong in the same way above it."""
        noisy = [
            noise.symmetric(pictures.labels, rate, num_classes=self.source.pretraining_classes, seed=self.seed).labels
            for rate in self.config.noise_rates
        ]
        return torch.from_numpy(np.stack(noisy))

    def frozen(self, rate: float) -> FrozenFeatures:
        """Features of the downstream pictures by the network that was pre-trained at ``rate``."""
        if rate not in self._frozen:
            network = self.pretrained().one(self.config.noise_rates.index(rate))

            def features(pictures: Pictures) -> tuple[Tensor, Tensor]:
                return network.features(torch.from_numpy(pictures.images)), torch.from_numpy(pictures.labels)

            tests = {shift: features(pictures) for shift, pictures in self._tests.items()}
            self._frozen[rate] = FrozenFeatures(features(self._training), tests)
        return self._frozen[rate]

    @cached_property
    def _training(self) -> Pictures:
        """Downstream training pictures; the same for all networks."""
        return self.source.training(self.config.shots)

    @cached_property
    def _tests(self) -> Mapping[str, Pictures]:
        """Downstream test pictures, in-domain and under each reported shift; the same for all networks."""
        return {CLEAN_SHIFT: self.source.test(), **{shift: self.source.shifted(shift) for shift in self.shifts}}

    def _row(self, rate: float, method: str, shift: str, metric: str, value: float) -> Row:
        described = method in (PRETRAINING, FEATURES)
        return Row(
            data=self.config.data,
            objective="supervised",
            architecture=self.pretrained().network.name,
            noise_kind=self.config.noise_kind,
            noise_rate=rate,
            method=method,
            shots=0 if described else self.config.shots,
            split="id" if shift == CLEAN_SHIFT else "ood",
            shift=shift,
            seed=self.seed,
            metric=metric,
            value=float(value),
        )

    def _measure(self) -> dict[str, Any]:
        """Rows of the networks and their frozen features, and the spectra of the latter."""
        rows: list[Row] = []
        spectra: dict[str, list[float]] = {}
        pictures, check = self._pictures, self.source.pretraining_check()
        given = self.noisy_labels(pictures)
        for index, rate in enumerate(self.config.noise_rates):
            network = self.pretrained().one(index)
            fit_to_given = network(torch.from_numpy(pictures.images)).argmax(1) == given[index]
            correct = network(torch.from_numpy(check.images)).argmax(1) == torch.from_numpy(check.labels)
            rows.append(self._row(rate, PRETRAINING, CLEAN_SHIFT, "noisy_label_fit", fit_to_given.double().mean()))
            rows.append(self._row(rate, PRETRAINING, CLEAN_SHIFT, "clean_accuracy", correct.double().mean()))
            for shift, (features, _) in self.frozen(rate).tests.items():
                analysis = spectrum.analyze(features)
                rows += self._spectral_rows(rate, FEATURES, shift, analysis)
                name = f"rate={rate:g}/seed={self.seed}/{'id' if shift == CLEAN_SHIFT else shift}"
                spectra[name] = np.asarray(analysis.singular_values).tolist()
        return {"rows": rows, "spectra": spectra}

    def _spectral_rows(self, rate: float, method: str, shift: str, analysis: spectrum.Spectrum) -> list[Row]:
        values = {
            "singular_value_entropy": analysis.entropy,
            "largest_singular_value_ratio": analysis.largest_ratio,
            "effective_rank": analysis.effective_rank,
        }
        return [self._row(rate, method, shift, metric, value) for metric, value in values.items()]

    def _tune(self, name: str, method: Method) -> Iterator[Row]:
        for rate in self.config.noise_rates:
            tests = self._pixels if method.sees_pictures else self.frozen(rate).tests
            head = method.fitted(self._material(rate))
            with torch.inference_mode():
                for shift, (rows, labels) in tests.items():
                    correct = head(rows).argmax(1) == labels
                    yield self._row(rate, name, shift, "accuracy", correct.double().mean())
                rows, _ = tests[CLEAN_SHIFT]
                tuned = head.tune(rows)
            if tuned is not rows:
                yield from self._spectral_rows(rate, name, CLEAN_SHIFT, spectrum.analyze(tuned))

    @cached_property
    def _pixels(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """The test pictures as rows of pixels, with labels: what methods see that tune the network itself."""
        return {shift: (_rows(pictures), torch.from_numpy(pictures.labels)) for shift, pictures in self._tests.items()}

    def _material(self, rate: float) -> Material:
        features, labels = self.frozen(rate).training
        return Material(
            network=self.pretrained().one(self.config.noise_rates.index(rate)),
            pixels=_rows(self._training),
            features=features,
            labels=labels,
            classes=self.source.classes,
            seed=self.seed,
            tuning=self.config.tuning,
        )


def _rows(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures.images).flatten(1)
