"""A dataset or stream seen through a change of its samples, made when they are read."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from torch.utils.data import Dataset, IterableDataset

from .._checks import check_integer
from .samples import Name, Sample, check_name, read_field

DEFAULT_KEY = "__key__"


def is_stream(source: Any) -> bool:
    """Whether samples come one after the other, and not by index.

    Raises:
        TypeError: an iterator, such as a generator: it can be read once, so a second epoch would be empty, and every
            worker of a loader would read all of it.
    """
    if isinstance(source, Iterator) and not isinstance(source, IterableDataset):
        raise TypeError(
            f"`source` must be a stream that can be read again, got an iterator ({type(source).__name__}), which is "
            "empty after one epoch: give what iter() was called on, or an IterableDataset whose __iter__ begins anew"
        )
    return isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__"))


class View(Dataset[Any]):
    """The base of both datasets: of a stream, making one gives its ``stream_class``."""

    stream_class: ClassVar[type[View]]

    def __init__(  # pyright: ignore[reportInconsistentConstructor] # __new__ looks at the source only
        self, source: Any, key: Name | None, keep: str | None, **names: Name
    ) -> None:
        if key is not None:
            check_name(key, "key")
        if keep is not None and not isinstance(keep, str):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`keep` must be a str, the key to keep the clean value under, got {keep!r}")
        for argument, name in names.items():
            check_name(name, argument)
        self.source, self.key, self.keep = source, key, keep

    def __new__(cls, source: Any = None, *_: Any, **__: Any) -> View:
        """Streams are another class, since PyTorch's loader tells them apart by class."""
        if getattr(source, "ndim", 1) == 0 or hasattr(source, "toarray"):
            raise TypeError(f"`source` must hold samples, got {type(source).__name__} without places")
        wanted = cls.stream_class if source is not None and is_stream(source) and not cls._streams() else cls
        return object.__new__(wanted)

    @classmethod
    def _streams(cls) -> bool:
        return issubclass(cls, IterableDataset)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return ()  # unpickling calls __new__ of the class that it was

    def changed(self, sample: Sample, index: int | None) -> Sample:
        """What the view shows of a sample; ``index`` is None in a stream."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        index = self._index(index)
        return self.changed(self.source[index], index)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several samples at once: what PyTorch's loader asks for, by one read where the source can."""
        indices = [self._index(index) for index in indices]
        several = getattr(self.source, "__getitems__", None)
        samples = several(indices) if several is not None else [self.source[index] for index in indices]
        return [self.changed(sample, index) for sample, index in zip(samples, indices, strict=True)]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _index(self, index: Any) -> int:
        try:
            number = operator.index(index)
        except TypeError:
            raise TypeError(f"`index` must be an integer, got {index!r}") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"`index` must be in [0, {len(self)}), got {number}")
        return number % len(self)

    def keyless(self, sample: Sample) -> bool:
        """Whether the key of a sample of a map-style source is its index."""
        return self.key is None or (self.key == DEFAULT_KEY and not (hasattr(sample, "keys") and DEFAULT_KEY in sample))

    def key_of(self, sample: Sample, index: int | None) -> Any:
        """The key of a sample: its field; by index where ``key`` is None or, by default, the sample has none."""
        if index is not None and self.keyless(sample):
            return index
        if self.key is None:
            raise ValueError("`key` must be given for a stream: its samples have no index")
        value = read_field(sample, self.key, "key")
        return (
            value if isinstance(value, str | bytes) else check_integer(getattr(value, "item", lambda: value)(), "key")
        )


class StreamView(View, IterableDataset[Any]):
    """A view of a stream, read by the source's own iterator in whichever worker reads: sharding stays the source's."""

    _PASSED = frozenset({"set_epoch", "state_dict", "load_state_dict", "num_shards", "n_shards"})

    def __iter__(self) -> Iterator[Sample]:
        return (self.changed(sample, None) for sample in self.source)

    def __getitem__(self, index: int) -> Sample:
        raise TypeError(f"a stream has no sample {index!r}: iterate over it")

    def __getattr__(self, name: str) -> Any:
        if name in StreamView._PASSED and "source" in self.__dict__:
            return getattr(self.source, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def with_kept(sample: Sample, keep: str | None, value: Any) -> Sample:
    """The clean value beside the noisy one, where that was asked for."""
    if keep is None:
        return sample
    if not hasattr(sample, "keys"):
        raise ValueError(
            f"`keep` must be None where samples are no dictionaries, got {keep!r} for {type(sample).__name__}"
        )
    if keep in sample:
        raise ValueError(f"`keep` must be a new key, got {keep!r}, which samples have")
    sample[keep] = value
    return sample
