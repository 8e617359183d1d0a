"""Noise in image–caption pairs: an exact number of captions goes to other images."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch

from .. import __version__
from .._checks import check_choice, check_integer, check_seed, check_sequence
from .._random import array_generator
from .derangement import Matches, Places, derange, pair_off, resample
from .inputs import Array, as_numpy, label_checksum, like, read_numbers
from .selection import earlier_equals, exact_rate, given_rate, half_up, random_order, recorded_rate

PairMode: TypeAlias = Literal["derangement", "permutation", "swap", "resample"]
Ids: TypeAlias = Array | Sequence[Hashable]

PAIR_MODES = ("derangement", "permutation", "swap", "resample")

_STREAM = 0x70616972  # "pair": no other use of the same seed draws these numbers


@dataclass(frozen=True, eq=False)
class NoisyPairs:
    """The caption of each image after noise, with the record.

    Attributes:
        permutation: (N,) int64, caption ``permutation[i]`` goes to image i; i itself where the pair is unchanged.
            (With ``mode="resample"`` a caption may occur twice, so it is not a permutation.)
        mismatched: (N,) bool, True where that caption is wrong for the image.
        requested_rate: the requested rate, in [0, 1].
        realized_rate: ``mismatched.mean()``, in [0, 1].
        seed: the seed of the draw.
        record: what :meth:`audit` returns.
    """

    permutation: Array
    mismatched: Array
    requested_rate: float
    realized_rate: float
    seed: int
    record: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def audit(self) -> dict[str, Any]:
        """The record of the noise as a dictionary for JSON.

        ``method``, ``parameters`` and ``seed`` describe the call; ``inputs`` has checksums of the image ids and of the
        caption keys (None if there were none). The rest are ``num_pairs``, ``num_selected``, ``num_mismatched``, both
        rates, the SHA-256 of the permutation as little-endian int64, and the library's version. :func:`verify_pairs`
        draws the noise again and compares.

        >>> audit = shuffle_pairs(10, 0.4, seed=0).audit()
        >>> audit["parameters"], audit["num_mismatched"]
        ({'rate': 0.4, 'mode': 'derangement'}, 4)
        """
        return copy.deepcopy(dict(self.record))


def shuffle_pairs(
    num_pairs_or_image_ids: int | Ids,
    rate: float,
    *,
    mode: PairMode = "derangement",
    caption_keys: Ids | None = None,
    seed: int,
) -> NoisyPairs:
    """Noisy correspondence: a share of the captions goes to other images.

    Of N pairs, m = floor(rate·N + 1/2) are selected at random (in exact arithmetic from the decimal text of ``rate``)
    and get other captions; the others keep theirs. A caption is **right** for an image if it belongs to that image, or
    has the key of such a caption; else the pair is mismatched.

    - ``"derangement"``: the m captions change places, and none goes to an image that it is right for: exactly m pairs
      are mismatched. For m ≤ 1000 all such orders are equally likely (up to 1000 orders are drawn until one fits).
      Above, a uniform order is drawn and its few misfits (on average the mean number of captions of a caption's own
      image) are exchanged at random;
    - ``"permutation"``: the m captions get a uniform order, as in most published code. Some return to their own image:
      m − F pairs are mismatched, where E[F] = Σ_i c_i²/m and image i has c_i selected captions; E[F] is 1 if each
      image has one;
    - ``"swap"``: ⌊m/2⌋ disjoint pairs of captions are exchanged: exactly 2⌊m/2⌋ are mismatched, an involution;
    - ``"resample"``: each selected pair gets a caption drawn uniformly, with replacement, from **all** captions that
      are wrong for it: exactly m pairs are mismatched; some captions repeat and others are lost.

    **Feasible**: a derangement or swap exists if and only if m pairs (in ``"swap"`` 2⌊m/2⌋) can be chosen such that no
    image owns more than half of them. Then it is found, without endless rejection. If the random choice has too many
    pairs of one image, the last of these are replaced by the next pairs of other images. With ``caption_keys`` the same
    holds for every key. A derangement of the chosen pairs is then found in two cases: for m ≤ 2000 whenever one exists
    (by maximum matching), and above if for no caption and image the number of captions right for the image plus the
    number of images that the caption is right for exceeds m. All other requests are refused, with the reason.

    **Nested**: with the same seed and N, all modes select the same pairs, and a higher rate selects all pairs of a
    lower rate and more (unless pairs had to be replaced). 12 million pairs take seconds and about 1 GiB (with both
    image ids and caption keys, half a minute and 1.6 GiB).

    Args:
        num_pairs_or_image_ids: N, if each pair has an image of its own; or (N,) image ids (integers, or a sequence of
            strings or other hashables; integers are faster and smaller), equal if pairs show the same image.
        rate: share of the pairs that is selected, in [0, 1]; 0 changes nothing.
        mode: ``"derangement"``, ``"permutation"``, ``"swap"`` or ``"resample"``.
        caption_keys: (N,) keys of the same types, equal if captions say the same (for example a hash of the normalised
            text).
        seed: integer in [0, 2**63); the only source of randomness.

    Returns:
        :class:`NoisyPairs`; if the image ids are a torch tensor, of tensors on its device, else of numpy arrays.

    Raises:
        TypeError: ids that are neither integers nor hashable.
        ValueError: no pairs; lengths that differ; ``rate`` outside [0, 1]; an unknown mode; a request that cannot be
            met (one pair alone cannot be mismatched; one image owns too many of the captions; ...).

    Sources: Huang et al. 2021 (NCR) define noisy correspondence (``"permutation"`` of the image indices of single
    captions); "randomly swapping text descriptions" in arXiv 2309.17002 is ``"derangement"`` or ``"swap"``.

    >>> noisy = shuffle_pairs([0, 0, 1, 1, 2, 2], 0.5, seed=0)  # three images with two captions each
    >>> noisy.permutation
    array([5, 1, 0, 3, 4, 2])
    >>> noisy.mismatched.sum(), noisy.realized_rate
    (np.int64(3), 0.5)
    """
    check_choice(mode, "mode", PAIR_MODES)
    share, seed = exact_rate(rate), check_seed(seed)
    count, images, keys = _read_ids(num_pairs_or_image_ids, caption_keys)
    matches = Matches(images, keys)
    order = random_order(count, array_generator(seed, _STREAM, 1))
    size = half_up(share, count)
    size = size - size % 2 if mode == "swap" else size
    if mode in {"derangement", "swap"}:
        places = _choose(order, size, matches, (num_pairs_or_image_ids, caption_keys))
    else:
        places = order[:size]
    generator = array_generator(seed, _STREAM, 2, PAIR_MODES.index(mode))
    places, captions = _arrange(matches, places, mode, count, generator)
    permutation, mismatched = np.arange(count), np.zeros(count, dtype=np.bool_)
    permutation[places] = captions
    mismatched[places] = ~matches.right(places, captions)
    wrong = int(np.count_nonzero(mismatched))
    record = {
        "method": "shuffle_pairs",
        "parameters": {"rate": recorded_rate(share), "mode": mode},
        "inputs": {
            "image_ids": None if images is None else {"checksum": ids_checksum(cast("Ids", num_pairs_or_image_ids))},
            "caption_keys": None if caption_keys is None else {"checksum": ids_checksum(caption_keys)},
        },
        "seed": seed,
        "requested_rate": float(share),
        "realized_rate": wrong / count,
        "num_pairs": count,
        "num_selected": size,
        "num_mismatched": wrong,
        "permutation_checksum": label_checksum(permutation),
        "library": "noisymodel",
        "library_version": __version__,
    }
    arrays = [like(num_pairs_or_image_ids, array) for array in (permutation, mismatched)]
    return NoisyPairs(arrays[0], arrays[1], float(share), wrong / count, seed, record)


def verify_pairs(
    audit: Mapping[str, Any], num_pairs_or_image_ids: int | Ids, *, caption_keys: Ids | None = None
) -> NoisyPairs:
    """Draw the noise of an audit again and compare every entry.

    Args:
        audit: the dictionary of :meth:`NoisyPairs.audit`, also after a round trip through JSON.
        num_pairs_or_image_ids: as given to :func:`shuffle_pairs`.
        caption_keys: as given to :func:`shuffle_pairs`.

    Returns:
        The noisy pairs, equal to those of the audit.

    Raises:
        ValueError: an audit of another method; ids or keys other than the audit's; a result that differs.

    >>> audit = shuffle_pairs(10, 0.4, seed=0).audit()
    >>> verify_pairs(audit, 10).realized_rate
    0.4
    """
    if not isinstance(audit, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # callers may err
        raise TypeError(f"`audit` must be a dictionary, as .audit() gives it, got {type(audit).__name__}")
    if audit.get("method") != "shuffle_pairs":
        raise ValueError(f"`audit` must be of `shuffle_pairs`, got {audit.get('method')!r}")
    parameters = {**audit["parameters"], "rate": given_rate(audit["parameters"]["rate"])}
    again = shuffle_pairs(num_pairs_or_image_ids, **parameters, caption_keys=caption_keys, seed=audit["seed"])
    for name, value in again.record.items():
        if name != "library_version" and audit.get(name) != value:
            raise ValueError(f"`audit` does not hold: its {name} is {audit.get(name)!r}, drawn again {value!r}")
    return again


def _read_ids(ids: int | Ids, keys: Ids | None) -> tuple[int, Places | None, Places | None]:
    """Read N, and the codes of the images and captions."""
    if not hasattr(ids, "__len__") or getattr(ids, "ndim", 1) == 0 or hasattr(ids, "toarray"):
        count, images = check_integer(ids, "num_pairs_or_image_ids", minimum=1), None
    else:
        images = codes_of(cast("Ids", ids), "num_pairs_or_image_ids")
        count = images.size
    captions = None if keys is None else codes_of(keys, "caption_keys")
    if captions is not None and captions.size != count:
        raise ValueError(f"`caption_keys` must be one for each of the {count} pairs, got {captions.size}")
    return count, images, captions


def codes_of(ids: Ids, name: str) -> Places:
    """(N,) int64 codes in [0, number of different ids), or in a slightly larger range."""
    check_sequence(ids, name, "ids")
    array = None
    if isinstance(ids, torch.Tensor) or (isinstance(ids, np.ndarray) and ids.dtype.kind != "O"):
        array = read_numbers(ids, name, kinds="iuUST", expected="integers or strings")
    elif _integers(ids):
        array = np.asarray(ids)
    if len(ids) == 0 or (array is not None and array.ndim != 1):
        shape = (len(ids),) if array is None else array.shape
        raise ValueError(f"`{name}` must be one-dimensional with at least one id, got shape {shape}")
    if array is not None and array.dtype.kind in "iu":
        lowest, highest = int(array.min()), int(array.max())
        if highest - lowest < 2 * array.size:
            return (array - array.dtype.type(lowest)).astype(np.int64)
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    known: dict[Hashable, int] = {}
    values = ids if array is None else array.tolist()
    try:
        return np.fromiter((known.setdefault(value, len(known)) for value in values), np.int64, len(ids))
    except TypeError:
        raise TypeError(f"`{name}` must be hashable, got a sequence of {type(values[0]).__name__}") from None


def _integers(ids: Ids) -> bool:
    return len(ids) > 0 and all(type(value) is int for value in ids)


def ids_checksum(ids: Ids) -> str:
    """SHA-256 of integers as little-endian int64, of anything else as its text, each ended by a zero byte."""
    if isinstance(ids, np.ndarray | torch.Tensor) or _integers(ids):
        array = as_numpy(ids)
        if array.dtype.kind in "iu":
            return label_checksum(array)
    digest = hashlib.sha256()
    for value in ids:
        digest.update(str(value).encode() + b"\0")
    return digest.hexdigest()


def _choose(order: Places, size: int, matches: Matches, given: tuple[Any, Any]) -> Places:
    """Choose the first ``size`` pairs of an order such that no image and no caption key owns more than half."""
    if size == 1:
        raise ValueError(
            f"`rate` selects 1 of {order.size} pairs, and one caption alone can go to no other image: "
            f"raise `rate`, or take mode='resample'"
        )
    half = size // 2
    owners = [codes for codes in (matches.images, matches.keys) if codes is not None]
    if all(np.bincount(codes[order[:size]], minlength=1).max() <= half for codes in owners):
        return order[:size]
    allowed = np.ones(order.size, dtype=np.bool_)
    for codes in owners:
        allowed &= earlier_equals(codes[order]) < half
    places = order[allowed][:size]
    if places.size == size:
        return places
    for what, codes, ids in zip(("image", "caption key"), (matches.images, matches.keys), (*given,), strict=True):
        if codes is not None and (counts := np.bincount(codes)).max() > half:
            largest = int(counts.argmax())
            shown = ids[int(np.argmax(codes == largest))]
            raise ValueError(
                f"`rate` asks for {size} mismatched of {order.size} pairs, of which at most {half} may be of one "
                f"{what}, but {what} {shown!s} has {counts[largest]}, so that only {int(allowed.sum())} can be "
                f"chosen: lower `rate`, or take mode='resample'"
            )
    raise AssertionError("unreachable: pairs give way only where an image or a key has more than half")


def _arrange(
    matches: Matches, places: Places, mode: str, count: int, generator: np.random.Generator
) -> tuple[Places, Places]:
    """Return the places in some order, and a caption for each of them."""
    if not places.size or mode == "permutation":
        return places, generator.permutation(places)
    if mode == "swap":
        first, second = pair_off(matches, places, generator)
        return np.concatenate((first, second)), np.concatenate((second, first))
    if mode == "resample":
        return places, resample(matches, places, count, generator)
    return places, derange(matches, places, generator)
