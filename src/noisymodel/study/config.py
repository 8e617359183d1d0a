"""The configuration of a study: frozen, read from TOML, YAML or JSON, checked at construction."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ..errors import ConfigError, import_extra
from ..files.reading import parse_json
from .config_values import Least, Positive, build, check_types, demand, read, shown

BatchSize = Annotated[int, Least(2, "an integer of at least 2")]
Count = Annotated[int, Least(0, "a number of at least 0")]
NotNegative = Annotated[float, Least(0, "a number of at least 0")]
PositiveNumber = Annotated[float, Least(math.ulp(0.0), "a positive number")]
Widths = Annotated[tuple[int, ...], Least(1, "positive integers")]


@dataclass(frozen=True)
class PretrainingConfig:
    """The settings of pre-training by AdamW with a linear warm-up times a cosine decay."""

    widths: Widths = (128, 64, 64)
    """Width of each block; the last is the number of features."""
    epochs: Positive = 14
    batch_size: BatchSize = 128
    learning_rate: PositiveNumber = 2e-3
    weight_decay: NotNegative = 0.1
    warmup: NotNegative = 1.0
    """Epochs of linear warm-up."""
    classifier_init: str = "linear"
    """Initial weights of the classifier: uniform in ±1/√D (``"linear"``) or ±√(6/D) (``"kaiming"``)."""
    resnet_widths: Widths = (8, 16, 32)
    """Channels of each residual block of ``"resnet"``; the last is the number of features."""
    patch_size: Positive = 4
    """Pixels a side of a token of ``"vit"``."""
    transformer_width: Positive = 64
    """Number of features of ``"vit"``, ``"transformer"`` and the built-in encoder of captions."""
    transformer_depth: Positive = 2
    """Blocks."""
    transformer_heads: Positive = 4
    embedding: Positive = 64
    """Dimensions of the common space of pictures and captions."""
    temperature: PositiveNumber = 0.07
    """Initial temperature of the contrastive loss; it is learned."""
    mask_share: float = 0.15
    """Share of the tokens that are masked in each step of ``"masked_token"``."""
    image_size: Count = 0
    """Size in pixels to which pictures are resized for models of libraries; 0: the model's own size if it has one, else
    that of the pictures, at least 32."""
    noise_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options of the kinds of label noise, such as ``{"temperature": 0.1}`` of ``"similarity"``."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Replacements for keys of this table, by objective, architecture or ``"objective/architecture"``, such as
    ``{"vit": {"epochs": 20}}``."""
    checkpoint_seconds: NotNegative = 60.0
    """Time between two checkpoints."""
    checkpoint_steps: Count = 0
    """Steps between two further checkpoints; 0: checkpoints by time alone."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` (under ``torchrun`` the device with the rank's local number) or ``"cuda:1"``."""

    def __post_init__(self) -> None:
        check_types(self, "pretraining.")
        divides = self.transformer_width % self.transformer_heads == 0
        demand(divides, "pretraining.transformer_heads", "a divisor of transformer_width", self.transformer_heads)
        demand(0 < self.mask_share < 1, "pretraining.mask_share", "a number between 0 and 1", self.mask_share)
        known = self.classifier_init in ("linear", "kaiming")
        demand(known, "pretraining.classifier_init", "'linear' or 'kaiming'", self.classifier_init)
        for name in self.overrides:
            self._overridden(self, name)

    def resolved(self, objective: str, architecture: str) -> PretrainingConfig:
        """The settings for an objective and an architecture: overrides of the former, the latter and both, in order.

        >>> PretrainingConfig(overrides={"vit": {"epochs": 20}}).resolved("supervised", "vit").epochs
        20
        """
        changed = dataclasses.replace(self, overrides={})
        for name in (objective, architecture, f"{objective}/{architecture}"):
            if name in self.overrides:
                changed = self._overridden(changed, name)
        return changed

    def training(self) -> dict[str, Any]:
        """The settings that the networks depend on, JSON-ready: all except device and checkpoints."""
        elsewhere = ("overrides", "checkpoint_seconds", "checkpoint_steps", "device")
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in elsewhere}

    def _overridden(self, others: PretrainingConfig, name: str) -> PretrainingConfig:
        """``others`` with the overrides of a name."""
        prefix, values = f"pretraining.overrides.{name}.", self.overrides[name]
        demand("overrides" not in values, f"{prefix}overrides", "no overrides of overrides", values)
        return dataclasses.replace(others, overrides={}, **read(PretrainingConfig, values, prefix))


@dataclass(frozen=True)
class TuningConfig:
    """The common settings of all tuning methods: AdamW, cosine decay to zero; each method has its own learning rate."""

    epochs: Positive = 30
    batch_size: BatchSize = 64
    weight_decay: NotNegative = 1e-4

    def __post_init__(self) -> None:
        check_types(self, "tuning.")


@dataclass(frozen=True)
class StudyConfig:
    """One study. The defaults are the study that ``noisymodel study`` runs.

    >>> StudyConfig(noise_rates=(0.0, 0.1), seeds=(1, 2)).noise_rates
    (0.0, 0.1)
    >>> StudyConfig.from_mapping({"pretraining": {"epochs": "many"}})
    Traceback (most recent call last):
        ...
    noisymodel.errors.ConfigError: config key `pretraining.epochs`: expected an integer, got 'many'
    """

    data: str = "glyphs"
    """Name of the source, such as ``"glyphs"``, ``"digits"``, or ``"suite"`` for your own data."""
    data_options: Mapping[str, int] = field(default_factory=dict[str, int])
    """Settings of the source, such as ``{"moved_strokes": 3}``."""
    suite: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """For ``data = "suite"``: the files of the pre-training set, the tasks and the shifted test sets."""
    tasks: tuple[str, ...] = ()
    """Downstream tasks of the source; empty for its default ones."""
    objectives: tuple[str, ...] = ("supervised",)
    """Objectives of pre-training: ``"supervised"``, ``"contrastive"`` or ``"masked_token"``."""
    architectures: tuple[str, ...] = ("mlp",)
    """Networks: built-in ones by name, others as ``"timm:resnet18"``."""
    seeds: tuple[int, ...] = tuple(range(7000, 7008))
    """One repetition for each seed, which fixes pictures, initial values, order and noise."""
    noise_kinds: tuple[str, ...] = ("symmetric",)
    """Kinds of pre-training noise. Each objective runs with each architecture and kind that fits it."""
    noise_rates: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3)
    """Shares of wrong pre-training labels (pairs, tokens), ascending; 0 must be among them, as the reference of the
    others."""
    methods: tuple[str, ...] = ()
    """Names of methods, or of groups: ``"default"``, ``"neighbours"``, ``"whitebox"``, ``"all"``; empty for the default
    methods, which use only frozen features."""
    method_options: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """Replacements for settings of methods, by method, such as ``{"nmtune_tuned": {"learning_rate": 0.001}}``."""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Your own methods: a name, and ``{"method": ..., setting: value, ...}``; they run beside the named ones."""
    shots: tuple[int, ...] = (40,)
    """Downstream training examples of each class."""
    learning_curves: bool = False
    """Whether to record loss and accuracies of every epoch of tuning."""
    shifts: tuple[str, ...] = ()
    """Shifts to report; empty for all that the source keeps for reporting."""
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)

    def __post_init__(self) -> None:
        check_types(self, "")
        for key in ("objectives", "architectures", "noise_kinds", "tasks", "methods", "shifts"):
            names = list(getattr(self, key))
            enough = bool(names) or key in ("tasks", "methods", "shifts")
            demand(enough and len(set(names)) == len(names), key, "distinct names", names)
        for key, more in (("seeds", ""), ("shots", " (0: all there are)")):
            numbers = list(getattr(self, key))
            distinct = len(set(numbers)) == len(numbers) > 0 and min(numbers) >= 0
            demand(distinct, key, f"distinct integers of at least 0{more}", numbers)
        rates = list(self.noise_rates)
        ascending = rates == sorted(set(rates)) and rates[:1] == [0.0] and rates[-1] <= 1
        demand(ascending, "noise_rates", "ascending numbers from 0 to at most 1, the first of them 0", rates)
        demand(bool(self.suite) == (self.data == "suite"), "suite", 'a table where `data` is "suite"', self.suite)
        from .names import check_names  # imported late: the methods and sources import the configuration

        check_names(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> StudyConfig:
        """The configuration with the given keys; the rest are the defaults.

        Raises:
            ConfigError: an unknown key, or a value of the wrong type or range; one line that names the key.
        """
        return build(cls, {_PLURALS.get(key, key): value for key, value in _listed(values).items()}, "")

    @classmethod
    def load(cls, path: str | Path) -> StudyConfig:
        """The configuration in a ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file.

        Raises:
            ConfigError: as :meth:`from_mapping`, and for a file that cannot be read or parsed.
        """
        return cls.from_mapping(_read(Path(path)))

    def to_dict(self) -> dict[str, Any]:
        """All keys, JSON-ready; ``from_mapping`` of it is this configuration."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


_PLURALS = {"objective": "objectives", "architecture": "architectures", "noise_kind": "noise_kinds", "task": "tasks"}
"""A key of a list may be given in the singular, with a single value."""


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a single value by a list of one, for keys of lists."""
    lists = {*_PLURALS, *_PLURALS.values(), "shots"}
    return {
        key: [value] if key in lists and isinstance(value, str | int | float) else value
        for key, value in values.items()
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {str(path)!r} cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        values = _parse(path, text)
    except ValueError as error:
        raise ConfigError(f"config file {str(path)!r} cannot be parsed: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"config file {str(path)!r}: expected keys with values, got {shown(values)}")
    return {str(key): value for key, value in values.items()}


def _parse(path: Path, text: str) -> object:
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".json":
        return parse_json(text)
    if path.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"config file {str(path)!r}: expected the ending .toml, .yaml, .yml or .json")
    yaml = import_extra("yaml", extra="study", purpose="configurations in YAML")
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
