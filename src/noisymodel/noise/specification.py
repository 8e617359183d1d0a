"""Label noise as a value (kind, rate, seed), for whole arrays and for single samples of a stream."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial, reduce
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .._checks import check_choice, check_flag, check_integer, check_seed
from .injection import Subset, read_classes
from .inputs import Array, Floats, Labels, like, read_class_count, read_labels, read_numbers
from .labels import asymmetric, json_mapping, pair_flip, symmetric
from .large_transitions import is_sparse, product, restrict
from .laws import LAWS, Law
from .mappings import read_mapping
from .matrix import from_confusion, from_transition, similarity
from .result import NoisyLabels, Transition
from .selection import SELECTIONS, exact_rate, given_rate, recorded_rate
from .stream_keys import Key, uniforms

RATES = {"rate", "open_share", "missing", "spurious"}
INJECTORS: dict[str, Callable[..., NoisyLabels]] = {
    "symmetric": symmetric,
    "pair_flip": pair_flip,
    "asymmetric": asymmetric,
    "from_transition": from_transition,
    "from_confusion": from_confusion,
    "similarity": similarity,
}
_ARRAYS = {"matrix", "counts", "prototypes"}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LabelNoise:
    """Label noise as a frozen, picklable specification.

    ``LabelNoise("symmetric", 0.2, num_classes=10, seed=0)`` holds the injector :func:`symmetric` with its arguments.
    The arguments are checked at construction. The specification has two uses, which do **not** flip the same samples:

    - :meth:`apply` calls the injector on an array of labels; by default it flips an exact number of labels;
    - :meth:`at` gives the noisy label of one sample of a stream. It is a pure function of (key, seed), so sharding,
      shuffling, resuming and the number of workers change nothing. Each sample flips independently, whatever
      ``selection`` is, so the number of wrong labels among N samples is Binomial(N, rate) (in general a sum of
      Bernoulli(1 − T_ii)). The realised rate is ``rate`` ± 1.96·√(rate·(1 − rate)/N), ± 0.02 points at 20 % of 12
      million. The noise is nested: a key that flips at a lower rate flips to the same class at a higher rate.

    Args:
        kind: ``"symmetric"``, ``"pair_flip"``, ``"asymmetric"``, ``"from_transition"``, ``"from_confusion"`` or
            ``"similarity"``. (Noise that depends on features cannot be drawn from the label alone, so it has no
            specification.)
        rate: as in the injector; None for ``"from_transition"``, optional for ``"from_confusion"``.
        num_classes: K.
        seed: integer in [0, 2**63).
        options: the injector's other keywords: ``include_true``, ``mapping``, ``matrix``, ``counts``, ``prototypes``,
            ``temperature``, ``selection``, ``classes``, ...

    Raises:
        TypeError: an option that the injector does not have.
        ValueError: an unknown kind, or an argument that the injector refuses.

    >>> noise = LabelNoise("symmetric", 0.5, num_classes=10, seed=0)
    >>> [noise.at(key, 3) for key in ("cat-000", "cat-001", "cat-002")]
    [3, 3, 8]
    >>> LabelNoise.from_dict(noise.to_dict()) == noise
    True
    """

    kind: str
    rate: float | Fraction | None
    num_classes: int
    seed: int
    options: Mapping[str, Any]

    def __init__(
        self, kind: str, rate: float | Fraction | None = None, *, num_classes: int, seed: int, **options: Any
    ) -> None:
        check_choice(kind, "kind", LAWS)
        parameters = inspect.signature(LAWS[kind]).parameters.values()
        own = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
        if unknown := sorted(set(options) - {*own, "classes", "selection"}):
            known = ", ".join(sorted({*own, "classes", "selection"}))
            raise TypeError(f"`{unknown[0]}` is no option of {kind!r} noise; it has {known}")
        if rate is None and kind not in {"from_transition", "from_confusion"}:
            raise TypeError(f"`rate` must be given for {kind!r} noise")
        if rate is not None and kind == "from_transition":
            raise TypeError("`rate` must be None for 'from_transition' noise: the matrix says it")
        for name, default in own.items():
            if default is inspect.Parameter.empty and name not in options:
                raise TypeError(f"`{name}` must be given for {kind!r} noise")
        settings = {
            "kind": kind,
            "rate": None if rate is None else given_rate(recorded_rate(exact_rate(rate))),
            "num_classes": read_class_count(num_classes),
            "seed": check_seed(seed),
            "options": {name: _frozen(name, value) for name, value in options.items()},
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        check_choice(self.options.get("selection", "exact"), "selection", SELECTIONS)
        _ = self._chances  # raises errors now

    @cached_property
    def _law(self) -> Law:
        share = None if self.rate is None else exact_rate(self.rate)
        options = {name: value for name, value in self.options.items() if name not in {"classes", "selection"}}
        return LAWS[self.kind](self.num_classes, share, **options)

    @property
    def _classes(self) -> tuple[int, ...] | None:
        """The classes that may change; None for all."""
        classes = self.options.get("classes")
        return None if classes is None else read_classes(classes, self.num_classes)

    @cached_property
    def _chances(self) -> Floats:
        """(K,): how likely a label of each class flips."""
        chances, classes = self._law.chances(), self._classes
        return chances if classes is None else np.where(np.isin(np.arange(len(chances)), classes), chances, 0.0)

    @property
    def transition(self) -> Transition | None:
        """T[i, j] = P(noisy = j | clean = i): (K, K); above 4096 classes in a form that :class:`NoisyLabels` lists."""
        return self._law.transition if self._classes is None else restrict(self._law.transition, self._classes)

    def apply(self, labels: Labels | NoisyLabels, *, subset: Subset | None = None) -> NoisyLabels:
        """Call the injector on an array of labels: the result of ``symmetric(labels, rate, ...)`` and the others."""
        rate = {} if self.kind == "from_transition" else {"rate": self.rate}
        settings = {**rate, **self.options, "num_classes": self.num_classes, "subset": subset, "seed": self.seed}
        return INJECTORS[self.kind](labels, **settings)

    def at(self, key: Key, label: int) -> int:
        """The noisy label of one sample, by its key alone.

        Args:
            key: a str or bytes (the same text is the same key), or an integer, unique in the data.
            label: the clean class, in [0, K).

        Raises:
            TypeError: a key or a label of another type.
            ValueError: a label outside [0, K).
        """
        return self._at(key, label, 0)

    def at_many(self, keys: Iterable[Key], labels: Labels) -> Array:
        """:meth:`at` for many samples: (N,) of the kind and dtype of ``labels``; about a microsecond a sample."""
        return self._at_many(keys, labels, 0)

    def _at(self, key: Key, label: int, depth: int) -> int:
        clean = check_integer(label, "label")
        if not 0 <= clean < self.num_classes:
            raise ValueError(f"`label` must be in [0, num_classes = {self.num_classes}), got {clean}")
        return int(self._flipped(np.array([clean]), uniforms([key], self.seed, depth))[0])

    def _at_many(self, keys: Iterable[Key], labels: Labels, depth: int) -> Array:
        clean, _ = read_labels(labels, self.num_classes)
        if isinstance(keys, str | bytes) or not hasattr(keys, "__iter__") or getattr(keys, "ndim", 1) == 0:
            raise TypeError(f"`keys` must be several keys, one for each label, got {type(keys).__name__}")
        numbers = uniforms(keys, self.seed, depth)
        if len(numbers[0]) != clean.size:
            raise ValueError(f"`keys` must be as many as the {clean.size} labels, got {len(numbers[0])}")
        return like(labels, self._flipped(clean.astype(np.intp), numbers).astype(clean.dtype))

    def _flipped(self, labels: npt.NDArray[np.intp], numbers: tuple[Floats, Floats]) -> npt.NDArray[np.intp]:
        """(N,): one uniform number of a sample decides whether its label flips, an independent one to which class."""
        noisy = labels.copy()
        places = np.flatnonzero(numbers[0] < self._chances[labels])
        noisy[places] = self._law.targets.at(labels[places], numbers[1][places])
        return noisy

    def then(self, *others: LabelNoise) -> NoiseChain:
        """A chain of this noise and ``others``, each applied to the labels of the step before."""
        return NoiseChain((self, *others))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, from which :meth:`from_dict` restores this."""
        options = {name: to_json(value) for name, value in self.options.items()}
        rate = None if self.rate is None else recorded_rate(exact_rate(self.rate))
        return {
            "kind": self.kind, "rate": rate, "num_classes": self.num_classes, "seed": self.seed, "options": options,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> LabelNoise:
        """Make the specification from a dictionary of :meth:`to_dict`.

        Raises:
            ValueError: a key that is missing or unknown.
        """
        expected = {"kind", "rate", "num_classes", "seed", "options"}
        if set(settings) != expected:
            raise ValueError(f"`settings` must have the keys {sorted(expected)}, got {sorted(settings)}")
        rate = given_rate(settings["rate"])
        options = {name: from_json(name, value) for name, value in settings["options"].items()}
        return cls(settings["kind"], rate, num_classes=settings["num_classes"], seed=settings["seed"], **options)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, LabelNoise) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.kind, self.rate, self.num_classes, self.seed))

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(LabelNoise, num_classes=self.num_classes, seed=self.seed, **self.options)
        return make, (self.kind, self.rate)

    def __repr__(self) -> str:
        shown = {name: value if np.ndim(value) == 0 else "..." for name, value in self.options.items()}
        options = "".join(f", {name}={value!r}" for name, value in shown.items())
        return f"LabelNoise({self.kind!r}, {self.rate}, num_classes={self.num_classes}, seed={self.seed}{options})"


@dataclass(frozen=True)
class NoiseChain:
    """A chain of label noises: each specification is applied to the noisy labels of the one before.

    The random numbers of a step also depend on its place in the chain, so steps are independent even if their seeds
    are equal. ``flipped`` and the rates of :meth:`apply` compare with the clean labels; the transition matrix is the
    product T₁·T₂·….

    >>> weak = LabelNoise("symmetric", 0.2, num_classes=10, seed=0)
    >>> both = compose(weak, LabelNoise("symmetric", 0.3, num_classes=10, seed=1))
    >>> round(float(both.transition[0, 0]), 5)
    0.56667
    """

    steps: tuple[LabelNoise, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.steps, tuple):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`steps` must be a tuple of LabelNoise, got {type(self.steps).__name__}")
        if not self.steps:
            raise ValueError("`steps` must hold at least one noise, got none")
        for step in self.steps:
            if not isinstance(step, LabelNoise):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
                raise TypeError(f"`steps` must be LabelNoise, got {type(step).__name__}")
            if step.num_classes != self.steps[0].num_classes:
                raise ValueError(f"`steps` must agree on `num_classes`, got {[one.num_classes for one in self.steps]}")

    @property
    def num_classes(self) -> int:
        """K."""
        return self.steps[0].num_classes

    @property
    def transition(self) -> Transition | None:
        """The product of the matrices; None where it has no compact form (above 4096 classes)."""
        return reduce(product, [step.transition for step in self.steps])

    def apply(self, labels: Labels | NoisyLabels, *, subset: Subset | None = None) -> NoisyLabels:
        """Apply the steps to an array of labels, one after the other."""
        noisy: Any = labels
        for step in self.steps:
            noisy = step.apply(noisy, subset=subset)
        return noisy

    def at(self, key: Key, label: int) -> int:
        """The noisy label of one sample: see :meth:`LabelNoise.at`."""
        for depth, step in enumerate(self.steps):
            label = step._at(key, label, depth)  # pyright: ignore[reportPrivateUsage] # of one file
        return label

    def at_many(self, keys: Iterable[Key], labels: Labels) -> Array:
        """:meth:`at` for many samples."""
        keys = keys if isinstance(keys, str | bytes) or not hasattr(keys, "__iter__") else list(keys)
        noisy = cast(Any, labels)
        for depth, step in enumerate(self.steps):
            noisy = step._at_many(keys, noisy, depth)  # pyright: ignore[reportPrivateUsage] # of one file
        return noisy

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, from which :meth:`from_dict` restores this."""
        return {"steps": [step.to_dict() for step in self.steps]}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> NoiseChain:
        """Make the chain from a dictionary of :meth:`to_dict`."""
        return cls(tuple(LabelNoise.from_dict(step) for step in settings["steps"]))


def compose(*steps: LabelNoise) -> NoiseChain:
    """Join label noises into one chain: see :class:`NoiseChain`."""
    return NoiseChain(steps)


def _frozen(name: str, value: Any) -> Any:
    """An immutable form of an option: arrays are copied and read-only."""
    if name == "mapping" and isinstance(value, Mapping):
        return read_mapping(value)[0]
    if name == "include_true":
        return check_flag(value, name)
    if name == "classes" and value is not None:
        return tuple(check_integer(label, "classes", minimum=0) for label in value)
    if name not in _ARRAYS:
        return value
    if is_sparse(value):
        return sparse.csr_array(value, copy=True)
    array = np.array(read_numbers(value, name, expected="real numbers"))
    array.flags.writeable = False
    return array


def to_json(value: Any) -> Any:
    """An option as JSON holds it."""
    if is_sparse(value):
        cells = value.tocoo()
        columns = {"row": cells.row.tolist(), "column": cells.col.tolist(), "value": cells.data.tolist()}
        return {"shape": list(cells.shape), **columns}
    if isinstance(value, Mapping):
        return json_mapping(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def from_json(name: str, value: Any) -> Any:
    """Read an option, or a rate, from its JSON form."""
    if name == "mapping" and isinstance(value, Mapping):
        return {int(clean): noisy for clean, noisy in value.items()}
    if name == "matrix" and isinstance(value, Mapping):
        return sparse.csr_array((value["value"], (value["row"], value["column"])), shape=tuple(value["shape"]))
    if name in RATES:
        return given_rate(value)
    return np.array(value) if name in _ARRAYS else value
