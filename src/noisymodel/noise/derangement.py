"""Reassignment of captions to other images: by construction, no caption goes to an image that it is right for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from .inputs import Mask

Places = npt.NDArray[np.signedinteger[Any]]

_FEW = 1000  # up to this many captions the whole order is drawn again, so that the law is exactly uniform
_TRIES = 1000
_PROGRESS = 0.75  # random proposals go on while a round leaves at most this share of the misfits
_MATCHED = 2000  # up to this many captions an exact matching is affordable


@dataclass(frozen=True, eq=False)
class Matches:
    """Which caption is right for which image.

    Caption j is right for the image of pair i if it belongs to that image, or has the key of such a caption.

    Attributes:
        images: (N,) codes in [0, number of images); None: every pair has an image of its own.
        keys: (N,) codes of the captions' keys; None: all captions differ.
    """

    images: Places | None
    keys: Places | None

    def right(self, places: Places, captions: Places) -> Mask:
        """(M,): whether caption ``captions[k]`` is right for the image of pair ``places[k]``."""
        if self.images is None:
            return places == captions if self.keys is None else self.keys[places] == self.keys[captions]
        if self.keys is None:
            return self.images[places] == self.images[captions]
        wanted = self.images[places] * self._width + self.keys[captions]
        order = np.argsort(wanted)  # sorted lookups read memory in order
        wanted = wanted[order]
        found = self._own[np.minimum(np.searchsorted(self._own, wanted), self._own.size - 1)] == wanted
        right = np.empty_like(found)
        right[order] = found
        return right

    @cached_property
    def _width(self) -> np.int64:
        return np.int64(0 if self.keys is None else int(self.keys.max()) + 1)

    @cached_property
    def _own(self) -> npt.NDArray[np.int64]:
        """The (image, key) of all pairs as sorted numbers."""
        assert self.images is not None  # noqa: S101 - for the type checker: `right` asks first
        assert self.keys is not None  # noqa: S101 - likewise
        return np.unique(self.images * self._width + self.keys)


def derange(matches: Matches, places: Places, generator: np.random.Generator) -> Places:
    """Order the captions of ``places`` so that none goes to an image that it is right for.

    A uniformly random order is repaired: a caption that landed on its own image changes places with a random other
    caption, if both are then wrong. If no image owns more than half of the captions, such a partner always exists. Of
    m captions let c belong to the image, and let b of these have landed on it; then m − 2c + b ≥ b places neither
    belong to the image nor hold one of its captions.
    """
    for _ in range(_TRIES if places.size <= _FEW else 0):
        captions = generator.permutation(places)
        if not matches.right(places, captions).any():
            return captions
    captions = generator.permutation(places)
    bad = np.flatnonzero(matches.right(places, captions))
    before = np.inf
    while bad.size and bad.size <= _PROGRESS * before:
        before, bad = bad.size, _exchange_at_random(matches, places, captions, bad, generator)
    while bad.size:
        if not _exchange_by_search(matches, places, captions, bad, generator):
            return _matched(matches, places, captions[bad[0]], generator)
        bad = bad[matches.right(places[bad], captions[bad])]
    return captions


def _exchange_at_random(
    matches: Matches, places: Places, captions: Places, bad: Places, generator: np.random.Generator
) -> Places:
    """Propose one exchange for every bad place, in place; return the places that are still bad."""
    partners, proposing = _proposals(bad, places.size, generator)
    good = ~matches.right(places[proposing], captions[partners]) & ~matches.right(places[partners], captions[proposing])
    partners, proposing = partners[good], proposing[good]
    captions[proposing], captions[partners] = captions[partners], captions[proposing]
    return bad[matches.right(places[bad], captions[bad])]


def _proposals(bad: Places, count: int, generator: np.random.Generator) -> tuple[Places, Places]:
    """Draw different partners that are not bad themselves, and the bad place that proposes to each."""
    partners, index = np.unique(generator.integers(count, size=bad.size), return_index=True)
    free = ~np.isin(partners, bad)
    return partners[free], bad[index[free]]


def _exchange_by_search(
    matches: Matches, places: Places, captions: Places, bad: Places, generator: np.random.Generator
) -> bool:
    """Exchange the first bad place, and bad places with a like caption, with places that suit it; in place."""
    place, caption = (np.broadcast_to(array[bad[0]], places.shape) for array in (places, captions))
    suitable = np.flatnonzero(~matches.right(place, captions) & ~matches.right(places, caption))
    alike = bad[_alike(matches, captions[bad])]
    count = min(alike.size, suitable.size)
    partners, alike = generator.choice(suitable, count, replace=False), alike[:count]
    captions[alike], captions[partners] = captions[partners], captions[alike]
    return count > 0


def _alike(matches: Matches, captions: Places) -> Mask:
    """Which captions are right for the same images as the first."""
    codes = matches.images if matches.keys is None else matches.keys
    return captions == captions[0] if codes is None else codes[captions] == codes[captions[0]]


def _matched(matches: Matches, places: Places, stuck: Places, generator: np.random.Generator) -> Places:
    """Order by a maximum matching of places and captions, which finds an order if one exists.

    ``stuck`` is a caption without a place; the error names it.
    """
    if places.size > _MATCHED:
        raise ValueError(_refusal(matches, places, stuck))
    shuffled = generator.permutation(places)
    rows, columns = np.meshgrid(shuffled, shuffled, indexing="ij")
    allowed = ~matches.right(rows.ravel(), columns.ravel()).reshape(rows.shape)
    found = maximum_bipartite_matching(csr_array(allowed), perm_type="column")
    if (found < 0).any():
        raise ValueError(_refusal(matches, places, stuck))
    captions = np.empty_like(places)
    captions[np.argsort(places)] = shuffled[found][np.argsort(shuffled)]
    return captions


def _refusal(matches: Matches, places: Places, stuck: Places) -> str:
    """Say why no order exists, by the example of a caption that found no place."""
    alike = np.count_nonzero(_alike(matches, np.r_[stuck, places])[1:])
    wrong = np.count_nonzero(~matches.right(places, np.broadcast_to(stuck, places.shape)))
    return (
        f"the {places.size} captions selected have no order that is wrong for every image: {alike} of them are like "
        f"caption {stuck}, for which {wrong} of the images selected have no caption like it; try another `rate`, or "
        "mode='resample'"
    )


def pair_off(matches: Matches, places: Places, generator: np.random.Generator) -> tuple[Places, Places]:
    """Pair an even number of places, (M/2,) each, so that both captions of a pair are wrong for the other's image.

    A uniformly random pairing is repaired: a bad pair and a random other pair exchange a partner. If no image owns
    more than half of the places, there are always enough pairs without that image.
    """
    shuffled = generator.permutation(places)
    first, second = shuffled[::2].copy(), shuffled[1::2].copy()
    bad = np.flatnonzero(_clash(matches, first, second))
    before = np.inf
    while bad.size and bad.size <= _PROGRESS * before:
        before, (partners, proposing) = bad.size, _proposals(bad, first.size, generator)
        _cross(matches, first, second, proposing, partners)
        bad = bad[_clash(matches, first[bad], second[bad])]
    while bad.size:
        if not _cross_by_search(matches, first, second, bad, generator):
            raise ValueError(_refusal(matches, shuffled, first[bad[0]]))
        bad = bad[_clash(matches, first[bad], second[bad])]
    return first, second


def _clash(matches: Matches, one: Places, other: Places) -> Mask:
    return matches.right(one, other) | matches.right(other, one)


def _cross(matches: Matches, first: Places, second: Places, bad: Places, other: Places) -> int:
    """(a, b), (c, d) -> (a, c), (b, d), or else (a, d), (b, c), if both new pairs are good; in place.

    Return the number of pairs mended.
    """
    done = np.zeros(bad.size, dtype=np.bool_)
    for turned in (False, True):
        a, b, c, d = first[bad], second[bad], first[other], second[other]
        c, d = (d, c) if turned else (c, d)
        good = ~done & ~_clash(matches, a, c) & ~_clash(matches, b, d)
        second[bad[good]], first[other[good]], second[other[good]] = c[good], b[good], d[good]
        done |= good
    return int(np.count_nonzero(done))


def _cross_by_search(
    matches: Matches, first: Places, second: Places, bad: Places, generator: np.random.Generator
) -> bool:
    """Cross the first bad pair, and bad pairs like it, with pairs that suit; in place."""
    a, b = (np.broadcast_to(array[bad[0]], first.shape) for array in (first, second))
    straight = ~_clash(matches, a, first) & ~_clash(matches, b, second)
    turned = ~_clash(matches, a, second) & ~_clash(matches, b, first)
    suitable = np.flatnonzero(straight | turned)
    alike = bad[_alike(matches, first[bad]) & _alike(matches, second[bad])]
    count = min(alike.size, suitable.size)
    others = generator.choice(suitable, count, replace=False)
    return _cross(matches, first, second, alike[:count], others) > 0


def resample(matches: Matches, places: Places, pairs: int, generator: np.random.Generator) -> Places:
    """Draw a caption for each place, uniformly among the captions of all pairs that are wrong for it."""
    captions = generator.integers(pairs, size=places.size, dtype=places.dtype.type)
    bad = np.flatnonzero(matches.right(places, captions))
    before = np.inf
    while bad.size and bad.size <= _PROGRESS * before:
        before = bad.size
        captions[bad] = generator.integers(pairs, size=bad.size, dtype=places.dtype.type)
        bad = bad[matches.right(places[bad], captions[bad])]
    everything = cast(Places, np.arange(pairs, dtype=places.dtype))
    while bad.size:
        codes = matches.keys if matches.images is None else matches.images
        alike = bad[:1] if codes is None else bad[codes[places[bad]] == codes[places[bad[0]]]]
        place = np.broadcast_to(places[bad[0]], everything.shape)
        wrong = np.flatnonzero(~matches.right(place, everything))
        if not wrong.size:
            raise ValueError(
                f"all {pairs} captions are right for the image of pair {places[bad[0]]}: it can get no other"
            )
        captions[alike] = generator.choice(wrong, alike.size)
        bad = bad[matches.right(places[bad], captions[bad])]
    return captions
