"""The configuration of a study: frozen, read from TOML, YAML or JSON, checked when it is made."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import numbers
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ..errors import ConfigError, MissingExtraError

Config = TypeVar("Config")


@dataclass(frozen=True)
class PretrainingConfig:
    """How the networks are pre-trained: AdamW, linear warm-up times cosine decay."""

    widths: tuple[int, ...] = (128, 64, 64)
    """Width of each block; the last is the number of features."""
    epochs: int = 14
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 1.0
    """Epochs of linear warm-up."""
    classifier_init: str = "linear"
    """Start of the classifier's weights: uniform in ±1/√D (``"linear"``) or ±√(6/D) (``"kaiming"``)."""
    resnet_widths: tuple[int, ...] = (8, 16, 32)
    """Channels of each residual block of ``"resnet"``; the last is the number of features."""
    patch_size: int = 4
    """Pixels a side of a token of ``"vit"``."""
    transformer_width: int = 64
    """Of ``"vit"``, ``"transformer"`` and the built-in encoder of captions: the number of features."""
    transformer_depth: int = 2
    """Blocks."""
    transformer_heads: int = 4
    embedding: int = 64
    """Dimensions of the common space of pictures and captions."""
    temperature: float = 0.07
    """Of the contrastive loss, at the start; it is learned."""
    mask_share: float = 0.15
    """Share of the tokens that are masked in each step of ``"masked_token"``."""
    image_size: int = 0
    """Pixels a side that pictures are resized to for models of libraries; 0: the model's own size where it has one,
    else the pictures', at least 32."""
    noise_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Options of the kinds of label noise, such as ``{"temperature": 0.1}`` of ``"similarity"``."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Per objective, architecture or ``"objective/architecture"``, keys of this table that replace the others there,
    such as ``{"vit": {"epochs": 20}}``."""
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints."""
    checkpoint_steps: int = 0
    """Steps between two checkpoints besides; 0: by time alone."""
    device: str = "cpu"
    """``"cpu"``, ``"cuda"`` (under ``torchrun`` the device of the rank's number) or ``"cuda:1"``."""

    def __post_init__(self) -> None:
        check_types(self, "pretraining.")
        for key in ("patch_size", "transformer_width", "transformer_depth", "transformer_heads", "embedding"):
            _demand(getattr(self, key) > 0, f"pretraining.{key}", "a positive integer", getattr(self, key))
        positive = bool(self.resnet_widths) and min(self.resnet_widths) > 0
        _demand(positive, "pretraining.resnet_widths", "positive integers", self.resnet_widths)
        divides = self.transformer_width % self.transformer_heads == 0
        _demand(divides, "pretraining.transformer_heads", "a divisor of transformer_width", self.transformer_heads)
        _demand(self.temperature > 0, "pretraining.temperature", "a positive number", self.temperature)
        _demand(0 < self.mask_share < 1, "pretraining.mask_share", "a number between 0 and 1", self.mask_share)
        for key in ("image_size", "checkpoint_seconds", "checkpoint_steps"):
            _demand(getattr(self, key) >= 0, f"pretraining.{key}", "a number of at least 0", getattr(self, key))
        _demand(bool(self.widths) and min(self.widths) > 0, "pretraining.widths", "positive integers", self.widths)
        _demand(self.epochs > 0, "pretraining.epochs", "a positive integer", self.epochs)
        _demand(self.batch_size > 1, "pretraining.batch_size", "an integer of at least 2", self.batch_size)
        _demand(self.learning_rate > 0, "pretraining.learning_rate", "a positive number", self.learning_rate)
        _demand(self.weight_decay >= 0, "pretraining.weight_decay", "a number of at least 0", self.weight_decay)
        _demand(self.warmup >= 0, "pretraining.warmup", "a number of at least 0", self.warmup)
        known = self.classifier_init in ("linear", "kaiming")
        _demand(known, "pretraining.classifier_init", "'linear' or 'kaiming'", self.classifier_init)
        for name in self.overrides:
            self._overridden(self, name)

    def resolved(self, objective: str, architecture: str) -> PretrainingConfig:
        """What holds of an objective and an architecture: overrides of the former, the latter and both, in this order.

        >>> PretrainingConfig(overrides={"vit": {"epochs": 20}}).resolved("supervised", "vit").epochs
        20
        """
        changed = dataclasses.replace(self, overrides={})
        for name in (objective, architecture, f"{objective}/{architecture}"):
            if name in self.overrides:
                changed = self._overridden(changed, name)
        return changed

    def training(self) -> dict[str, Any]:
        """What the networks depend on, JSON-ready: all but where and how often their state is kept."""
        elsewhere = ("overrides", "checkpoint_seconds", "checkpoint_steps", "device")
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in elsewhere}

    def _overridden(self, others: PretrainingConfig, name: str) -> PretrainingConfig:
        """``others`` with the overrides of a name."""
        prefix, values = f"pretraining.overrides.{name}.", self.overrides[name]
        _demand("overrides" not in values, f"{prefix}overrides", "no overrides of overrides", values)
        hints = get_type_hints(PretrainingConfig)
        unknown = {key: value for key, value in values.items() if key not in hints}
        if unknown:
            build(PretrainingConfig, unknown, prefix)
        converted = {key: _convert(value, hints[key], prefix + key) for key, value in values.items()}
        return dataclasses.replace(others, overrides={}, **converted)


@dataclass(frozen=True)
class TuningConfig:
    """What all tuning methods share: AdamW, cosine decay to zero; a method has its own learning rate."""

    epochs: int = 30
    batch_size: int = 64
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        check_types(self, "tuning.")
        _demand(self.epochs > 0, "tuning.epochs", "a positive integer", self.epochs)
        _demand(self.batch_size > 1, "tuning.batch_size", "an integer of at least 2", self.batch_size)
        _demand(self.weight_decay >= 0, "tuning.weight_decay", "a number of at least 0", self.weight_decay)


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
    """Name of the source, such as ``"glyphs"``, ``"digits"``, or ``"suite"`` for data of one's own."""
    data_options: Mapping[str, int] = field(default_factory=dict[str, int])
    """Settings of the source, such as ``{"moved_strokes": 3}``."""
    suite: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of ``data = "suite"``: what to pre-train on, tasks and shifted test sets, in files."""
    tasks: tuple[str, ...] = ()
    """Downstream tasks of the source; empty for its default ones."""
    objectives: tuple[str, ...] = ("supervised",)
    """What the networks are pre-trained for: ``"supervised"``, ``"contrastive"`` or ``"masked_token"``."""
    architectures: tuple[str, ...] = ("mlp",)
    """Networks: built-in ones by name, others as ``"timm:resnet18"``."""
    seeds: tuple[int, ...] = tuple(range(7000, 7008))
    """One repetition each: pictures, initial values, order and noise all follow from it."""
    noise_kinds: tuple[str, ...] = ("symmetric",)
    """What is wrong in pre-training. Each objective runs with each architecture and kind that fits it."""
    noise_rates: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3)
    """Shares of pre-training labels (pairs, tokens) that are wrong, ascending; 0 must be among them: it is what others
    compare with."""
    methods: tuple[str, ...] = ()
    """Names of methods, or of groups: ``"default"``, ``"neighbours"``, ``"whitebox"``, ``"all"``; empty for the default
    ones, which see frozen features alone."""
    method_options: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """Per method, settings that replace those of the table, such as ``{"nmtune_tuned": {"learning_rate": 0.001}}``."""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Methods of one's own: a name, and ``{"method": ..., setting: value, ...}``, run beside the named ones."""
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
        distinct = len(set(self.seeds)) == len(self.seeds) > 0 and min(self.seeds) >= 0
        _demand(distinct, "seeds", "distinct integers of at least 0", list(self.seeds))
        for key in ("objectives", "architectures", "noise_kinds"):
            named = getattr(self, key)
            _demand(len(set(named)) == len(named) > 0, key, "distinct names", list(named))
        _demand(len(set(self.tasks)) == len(self.tasks), "tasks", "distinct names", list(self.tasks))
        rates = list(self.noise_rates)
        ascending = rates == sorted(set(rates)) and rates[:1] == [0.0] and rates[-1] <= 1
        _demand(ascending, "noise_rates", "ascending numbers from 0 to at most 1, the first of them 0", rates)
        _demand(len(set(self.methods)) == len(self.methods), "methods", "distinct names", list(self.methods))
        _demand(len(set(self.shifts)) == len(self.shifts), "shifts", "distinct names", list(self.shifts))
        positive = len(set(self.shots)) == len(self.shots) > 0 and min(self.shots) >= 0
        _demand(positive, "shots", "distinct integers of at least 0 (0: all there are)", list(self.shots))
        _demand(bool(self.suite) == (self.data == "suite"), "suite", 'a table where `data` is "suite"', self.suite)

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


def unknown_name(key: str, name: str, known: Sequence[str]) -> ConfigError:
    """The error for a name that is not in a list, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"config key `{key}`: expected one of {', '.join(map(repr, known))}, got {name!r}{hint}")


_PLURALS = {"objective": "objectives", "architecture": "architectures", "noise_kind": "noise_kinds", "task": "tasks"}
"""Keys of lists may be given in the singular, with a lone value."""


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same, a lone value as a list of one where a list is meant."""
    lists = {*_PLURALS, *_PLURALS.values(), "shots"}
    return {
        key: [value] if key in lists and isinstance(value, str | int | float) else value
        for key, value in values.items()
    }


def _demand(holds: bool, key: str, expected: str, got: object) -> None:
    if not holds:
        raise ConfigError(f"config key `{key}`: expected {expected}, got {_shown(got)}")


def _shown(value: object) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 100 else text[:97] + "..."


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
        raise ConfigError(f"config file {str(path)!r}: expected keys with values, got {_shown(values)}")
    return {str(key): value for key, value in values.items()}


def _parse(path: Path, text: str) -> object:
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"config file {str(path)!r}: expected the ending .toml, .yaml, .yml or .json")
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("pyyaml", extra="study", purpose="configurations in YAML") from None
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def build(cls: type[Config], values: Mapping[str, Any], prefix: str) -> Config:
    """A dataclass from the keys of a configuration; errors name the key, after ``prefix``.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    hints = get_type_hints(cls)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            hint = f"did you mean `{prefix}{near[0]}`?" if near else f"known keys: {', '.join(hints)}"
            raise ConfigError(f"config key `{prefix}{key}` is unknown; {hint}")
    return cls(**{key: _convert(value, hints[key], prefix + key) for key, value in values.items()})


def _convert(value: Any, kind: Any, key: str) -> Any:
    """``value`` as the annotated type ``kind``; the few types that configurations are made of."""
    if dataclasses.is_dataclass(kind):
        _demand(isinstance(value, Mapping), key, "a table of keys", value)
        return build(kind, value, f"{key}.")  # pyright: ignore[reportArgumentType] # a dataclass type, as asked above
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        value = value.tolist() if hasattr(value, "tolist") else value
        _demand(isinstance(value, list | tuple | range), key, f"a list of {_NOUNS[element]}s", value)
        return tuple(_convert(item, element, f"{key}[{index}]") for index, item in enumerate(value))
    if get_origin(kind) is not None:  # Mapping[str, ...]
        element = get_args(kind)[1]
        _demand(isinstance(value, Mapping), key, "a table of keys", value)
        return {str(name): _convert(item, element, f"{key}.{name}") for name, item in value.items()}
    if kind is Any:
        return _plain(value, key)
    if kind is bool:
        _demand(isinstance(value, bool), key, "true or false", value)
        return value
    if kind is str:
        _demand(isinstance(value, str), key, "a string", value)
        return value
    known = numbers.Integral if kind is int else numbers.Real
    _demand(isinstance(value, known) and not isinstance(value, bool), key, f"{_ARTICLES[kind]} {_NOUNS[kind]}", value)
    if kind is float:
        _demand(math.isfinite(value), key, "a finite number", value)
    return kind(value)


def _plain(value: Any, key: str) -> Any:
    """A value of any type that JSON knows; arrays become lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{key}.{name}") for name, item in cast(Mapping[Any, Any], value).items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        items = enumerate(cast("Sequence[Any]", value))
        return [_plain(item, f"{key}[{index}]") for index, item in items]
    if isinstance(value, float):
        _demand(math.isfinite(value), key, "a finite number", value)
    _demand(isinstance(value, str | int | float | None), key, "a value that JSON knows", value)
    return value


def check_types(config: Any, prefix: str) -> None:
    """Every field as its annotation says it, however the dataclass was made: lists become tuples, integers floats.

    Raises:
        ConfigError: a value of another type, or a number that is not finite.
    """
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not dataclasses.is_dataclass(value):
            object.__setattr__(config, name, _convert(value, kind, prefix + name))


_NOUNS: Mapping[Any, str] = {int: "integer", float: "number", str: "string"}
_ARTICLES: Mapping[Any, str] = {int: "an", float: "a"}
