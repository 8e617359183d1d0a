"""Noisy labels on a dataset or a stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from ..noise import LabelNoise, NoiseChain, NoisyLabels, OpenSetLabels
from ..noise.inputs import as_numpy
from .samples import Name, Sample, as_label, class_of, read_field, replace_field
from .view import DEFAULT_KEY, StreamView, View, is_stream, with_kept


class NoisyLabelDataset(View):
    """A dataset or stream with noisy labels: every sample as it is in the source, but for its label.

    Over a **map-style** source (``source[i]`` and ``len``: torch, torchvision, Hugging Face ``Dataset``, a list), with

    - a :class:`~noisymodel.noise.NoisyLabels`: sample i gets ``noise.labels[i]``, so counts are exact. That its clean
      label is the one which the noise was drawn for is checked at every read;
    - a :class:`~noisymodel.noise.LabelNoise` (or a chain of them): ``noise.at(key, label)``, the key being the sample's
      field, or its index where ``key`` is None or samples have no ``"__key__"``.

    Over a **stream** (``for sample in source``: WebDataset, Hugging Face ``IterableDataset``, any torch
    ``IterableDataset``), with a ``LabelNoise``: the result is a :class:`NoisyLabelStream`, a torch ``IterableDataset``.
    The noise of a sample is a pure function of its key and the seed: the same however the data are sharded, shuffled,
    resumed or spread over workers, and the number of wrong labels is Binomial(N, rate).

    Nothing is read or copied before it is asked for; samples of the source are never changed; pickles as its source
    does. A noisy label has the kind of the clean one (int, tensor, numpy number, decimal text as str or bytes).

    Args:
        source: the dataset or stream.
        noise: see above.
        label: where a sample has its label: a dictionary's key or a tuple's index, by default a tuple's last entry.
        key: where it has its key; None: its index.
        keep: a new key of the dictionary, under which the clean label is kept; None: it is not.
        outliers: for the noise of ``open_set``: a map-style dataset whose images replace the originals.
        image: where samples and outliers have their image, of tuples by default the first entry; for outliers alone.

    Attributes:
        targets: of a source with ``targets`` (torchvision's), the noisy ones, of the same kind; samples that have
            keys are read for them.
        classes, class_to_idx: the source's.

    Raises:
        TypeError: a noise of another kind; ``NoisyLabels`` for a stream.
        ValueError: as many noisy labels as there are not samples; when read, a field that the sample lacks, or a clean
            label that is not the noise's.

    >>> import torch
    >>> from noisymodel.noise import LabelNoise, symmetric
    >>> source = [("a", 0), ("b", 1), ("c", 2), ("d", 0)]
    >>> list(NoisyLabelDataset(source, symmetric([0, 1, 2, 0], 0.5, seed=1)))
    [('a', 2), ('b', 0), ('c', 2), ('d', 0)]
    >>> class Stream(torch.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return ({"__key__": name, "label": label} for name, label in source)
    >>> list(NoisyLabelDataset(Stream(), LabelNoise("pair_flip", 1.0, num_classes=3, seed=0)))[0]
    {'__key__': 'a', 'label': 1}
    """

    def __init__(  # pyright: ignore[reportInconsistentConstructor] # __new__ looks at the source only
        self,
        source: Any,
        noise: NoisyLabels | LabelNoise | NoiseChain,
        *,
        label: Name = "label",
        key: Name | None = DEFAULT_KEY,
        keep: str | None = None,
        outliers: Any = None,
        image: Name = "image",
    ) -> None:
        if not isinstance(noise, NoisyLabels | LabelNoise | NoiseChain):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`noise` must be NoisyLabels or a LabelNoise, got {type(noise).__name__}")
        super().__init__(source, key, keep, label=label, image=image)
        if isinstance(noise, OpenSetLabels) != (outliers is not None):
            raise TypeError(
                f"`outliers` must be given for the noise of `open_set` and for no other, got {type(noise).__name__} "
                f"and {'no outliers' if outliers is None else type(outliers).__name__}"
            )
        if isinstance(noise, NoisyLabels):
            if is_stream(source):
                raise TypeError("`noise` must be a LabelNoise for a stream: NoisyLabels are by index, got NoisyLabels")
            if len(noise.labels) != len(source):
                raise ValueError(
                    f"`noise` must have one label for each of the {len(source)} samples, got {len(noise.labels)}"
                )
        self.noise, self.label, self.outliers, self.image = noise, label, outliers, image

    def changed(self, sample: Sample, index: int | None) -> Sample:
        """The sample with its noisy label."""
        clean = read_field(sample, self.label, "label")
        if isinstance(self.noise, NoisyLabels):
            noisy = self._at(self.noise, cast(int, index), clean)
        else:
            noisy = as_label(clean, self.noise.at(self.key_of(sample, index), class_of(clean)))
        shown = replace_field(sample, self.label, "label", noisy)
        if isinstance(self.noise, OpenSetLabels) and (outlier := int(cast(Any, self.noise.outlier)[index])) >= 0:
            read_field(sample, self.image, "image")
            shown = replace_field(shown, self.image, "image", read_field(self.outliers[outlier], self.image, "image"))
        return with_kept(shown, self.keep, clean)

    def _at(self, noise: NoisyLabels, index: int, clean: Any) -> Any:
        noisy = as_numpy(noise.labels[index])
        if noisy.ndim:  # several labels, or a distribution
            return as_label(clean, noisy) if np.ndim(clean) else noise.labels[index]
        if noise.clean is not None and class_of(clean) != (drawn := int(noise.clean[index])):
            raise ValueError(
                f"sample {index} has the label {clean!r}, but the noise was drawn for {drawn}: `source` must have the "
                "order and the labels that it had then"
            )
        return as_label(clean, noisy.item())

    @property
    def targets(self) -> Any:
        """The labels of all samples, noisy, of the source's kind."""
        clean = self._of_source("targets")
        if isinstance(self.noise, NoisyLabels):
            noisy: Any = as_numpy(self.noise.labels)
        else:
            noisy = as_numpy(self.noise.at_many(self._keys(), as_numpy(clean)))
        return as_label(clean, noisy)

    def _keys(self) -> Iterable[Any]:
        """The keys of all samples; samples are read for them where they have any."""
        if self.key is None or not len(self) or self.keyless(self.source[0]):
            return range(len(self))
        return [self.key_of(self.source[index], index) for index in range(len(self))]

    @property
    def classes(self) -> Any:
        """The names of the classes."""
        return self._of_source("classes")

    @property
    def class_to_idx(self) -> Any:
        """The class of each name."""
        return self._of_source("class_to_idx")

    def _of_source(self, name: str) -> Any:
        if not hasattr(self.source, name):
            raise AttributeError(f"`{name}`: the source, a {type(self.source).__name__}, has none")
        return getattr(self.source, name)


class NoisyLabelStream(StreamView, NoisyLabelDataset):
    """What :class:`NoisyLabelDataset` is of a stream: a torch ``IterableDataset``."""


NoisyLabelDataset.stream_class = NoisyLabelStream
