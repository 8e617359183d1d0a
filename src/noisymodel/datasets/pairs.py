"""Noisy captions on a dataset or a stream of image–caption pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._checks import check_sequence
from ..noise import NoisyPairs, PairNoise
from .samples import Name, Sample, read_field, replace_field
from .view import DEFAULT_KEY, StreamView, View, is_stream, with_kept


class NoisyPairDataset(View):
    """A dataset or stream of image–caption pairs with noisy captions: every sample as it is, but for its caption.

    Over a **map-style** source, with

    - a :class:`~noisymodel.noise.NoisyPairs`: sample i gets the caption of sample ``noise.permutation[i]``. If that is
      another one, only its caption is read where the source is a Hugging Face ``Dataset`` or ``captions`` is given,
      else the whole other sample;
    - a :class:`~noisymodel.noise.PairNoise`: ``noise.at(key, text)``.

    Over a **stream**, with a ``PairNoise``, it is a :class:`NoisyPairStream`, a torch ``IterableDataset``. The caption
    of a sample is a pure function of its key, its own caption and the seed, however the data are sharded, shuffled,
    resumed or spread over workers.

    Args:
        source: the dataset or stream.
        noise: see above.
        image: where a sample has its image, which is passed on as it is: a dictionary's key or a tuple's index, by
            default a tuple's first entry.
        text: where it has its caption, by default a tuple's second entry.
        key: where it has its key; None: its index (by default too, for map-style samples without ``"__key__"``).
        captions: the captions of a map-style source by index, if available.
        keep: a new key of the dictionary, under which the sample's own caption is kept; None: it is not.

    Raises:
        TypeError: a noise of another kind; ``NoisyPairs`` for a stream.
        ValueError: lengths that differ; when read, a field that the sample lacks.

    >>> from noisymodel.noise import shuffle_pairs
    >>> source = [{"image": i, "text": f"picture {i}"} for i in range(4)]
    >>> [pair["text"] for pair in NoisyPairDataset(source, shuffle_pairs(4, 0.5, mode="swap", seed=0))]
    ['picture 2', 'picture 1', 'picture 0', 'picture 3']
    """

    def __init__(  # pyright: ignore[reportInconsistentConstructor] # __new__ looks at the source only
        self,
        source: Any,
        noise: NoisyPairs | PairNoise,
        *,
        image: Name = "image",
        text: Name = "text",
        key: Name | None = DEFAULT_KEY,
        captions: Sequence[Any] | None = None,
        keep: str | None = None,
    ) -> None:
        if not isinstance(noise, NoisyPairs | PairNoise):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
            raise TypeError(f"`noise` must be NoisyPairs or a PairNoise, got {type(noise).__name__}")
        super().__init__(source, key, keep, image=image, text=text)
        if captions is not None:
            check_sequence(captions, "captions", "captions")
        if isinstance(noise, NoisyPairs):
            if is_stream(source):
                raise TypeError("`noise` must be a PairNoise for a stream: NoisyPairs are by index, got NoisyPairs")
            if len(noise.permutation) != len(source):
                raise ValueError(
                    f"`noise` must have one entry for each of the {len(source)} samples, got {len(noise.permutation)}"
                )
            if captions is not None and len(captions) != len(source):
                raise ValueError(f"`captions` must be one for each of the {len(source)} samples, got {len(captions)}")
        elif captions is not None:
            raise TypeError("`captions` must be None with a PairNoise, which has its own")
        self.noise, self.image, self.text, self.captions = noise, image, text, captions

    def changed(self, sample: Sample, index: int | None) -> Sample:
        """The sample with its noisy caption."""
        read_field(sample, self.image, "image")
        own = read_field(sample, self.text, "text")
        if isinstance(self.noise, PairNoise):
            noisy = self.noise.at(self.key_of(sample, index), own)
        else:
            other = int(self.noise.permutation[index])
            noisy = own if other == index else self._caption(other)
        return with_kept(replace_field(sample, self.text, "text", noisy), self.keep, own)

    def _caption(self, index: int) -> Any:
        if self.captions is not None:
            return self.captions[index]
        if hasattr(self.source, "select_columns") and self.source.format["type"] != "custom":
            return self.source.select_columns([self.text])[index][self.text]
        return read_field(self.source[index], self.text, "text")


class NoisyPairStream(StreamView, NoisyPairDataset):
    """What :class:`NoisyPairDataset` is of a stream: a torch ``IterableDataset``."""


NoisyPairDataset.stream_class = NoisyPairStream
