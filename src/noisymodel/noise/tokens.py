"""Noise in token sequences: substitute, mask, delete, swap; special tokens and padding do not change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch

from .._checks import check_attention, check_choice, check_flag, check_integer, check_seed, check_sequence
from .._random import array_generator
from .inputs import Array, Mask, as_numpy, like, read_numbers
from .selection import earlier_equals, exact_rate, half_up

TokenMode: TypeAlias = Literal["substitute", "mask", "delete", "swap"]

TOKEN_MODES = ("substitute", "mask", "delete", "swap")
TOKEN_SELECTIONS = ("exact", "bernoulli")

_MOST_TOKENS = 1 << 30  # a larger vocabulary would exhaust the memory of the machine
_STREAM = 0x746F6B65  # "toke": no other use of the same seed draws these numbers

Tokens = npt.NDArray[np.integer[Any]]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class NoisyTokens:
    """Token sequences after noise, with their record.

    Attributes:
        tokens: the noisy tokens: shape, dtype, kind and device of the clean ones (shorter, where a sequence without
            padding lost tokens).
        attention_mask: the mask of ``tokens``; 0 where deletions left padding.
        changed: shape of the **clean** tokens, bool: where the token was replaced by another, or deleted.
        requested_rate: the rate that was asked for, in [0, 1].
        realized_rate: the share of the eligible tokens that changed, in [0, 1]; 0 where none is eligible.
        num_eligible: how many tokens are attended to and not special.
        seed: the seed of the draw.
    """

    tokens: Array
    attention_mask: Array
    changed: Array
    requested_rate: float
    realized_rate: float
    num_eligible: int
    seed: int


def corrupt_tokens(
    tokens: Array | Sequence[int] | Sequence[Sequence[int]],
    rate: float,
    *,
    mode: TokenMode = "substitute",
    vocabulary_size: int | None = None,
    mask_token: int | None = None,
    pad_token: int | None = None,
    special_tokens: Collection[int] = (),
    attention_mask: Array | None = None,
    include_true: bool = False,
    selection: Literal["exact", "bernoulli"] = "exact",
    seed: int,
) -> NoisyTokens:
    """Noise in token sequences.

    Eligible are the tokens that are attended to, and are neither special, nor ``pad_token``, nor ``mask_token``. Of
    these E, floor(rate·E + 1/2) of the whole batch are selected (``"exact"``), or each by itself with probability
    ``rate`` (``"bernoulli"``). A selected token

    - ``"substitute"``: becomes a uniform draw from the vocabulary, without the ineligible tokens above and, unless
      ``include_true``, without the token itself;
    - ``"mask"``: becomes ``mask_token``;
    - ``"delete"``: is removed; the rest of its sequence closes the gap, and padding is added at the end, or at the
      start if the sequence is padded there;
    - ``"swap"``: changes places with another token of its sequence. The eligible tokens of each sequence are paired at
      random, and ⌊rate·E/2 + 1/2⌋ pairs (at most all) are selected, or each with probability ``rate``. Every sequence
      keeps its multiset of tokens; a swap of equal tokens changes nothing.

    All modes are **nested**: with the same seed, a token that is selected at a lower rate is selected at a higher rate
    and gets the same noise. ``realized_rate`` counts only tokens that differ.

    Args:
        tokens: (L,) or (B, L) integers.
        rate: in [0, 1].
        mode: ``"substitute"``, ``"mask"``, ``"delete"`` or ``"swap"``.
        vocabulary_size: V, for ``"substitute"``: all tokens are in [0, V).
        mask_token: for ``"mask"``.
        pad_token: for ``"delete"`` in a batch; without it a single sequence gets shorter.
        special_tokens: tokens that never change and are never drawn.
        attention_mask: of the shape of ``tokens``, nonzero for attended tokens; None: all but ``pad_token``.
        include_true: whether a substitute may be the token itself.
        selection: ``"exact"`` or ``"bernoulli"``.
        seed: integer in [0, 2**63).

    Returns:
        :class:`NoisyTokens`.

    Raises:
        TypeError: tokens that are not integers; no argument that the mode needs.
        ValueError: shapes that differ or are empty; tokens outside [0, V); fewer than two tokens to draw from; ...

    >>> text = [101, 7, 8, 9, 10, 102]
    >>> noisy = corrupt_tokens(text, 0.5, mode="mask", mask_token=103, special_tokens={101, 102}, seed=0)
    >>> noisy.tokens, noisy.realized_rate
    (array([101,   7, 103, 103,  10, 102]), 0.5)
    """
    check_choice(mode, "mode", TOKEN_MODES)
    check_choice(selection, "selection", TOKEN_SELECTIONS)
    include_true, seed = check_flag(include_true, "include_true"), check_seed(seed)
    clean = read_numbers(tokens, "tokens", kinds="iu")
    if clean.ndim not in {1, 2} or clean.size == 0:
        raise ValueError(f"`tokens` must have shape (L,) or (B, L) and not be empty, got {clean.shape}")
    reserved = _reserved(pad_token, mask_token, special_tokens)
    if attention_mask is not None:
        attended = check_attention(attention_mask, "attention_mask", clean.shape)
    else:
        attended = np.ones(clean.shape, dtype=np.bool_) if pad_token is None else clean != pad_token
    eligible = attended & ~np.isin(clean, reserved)
    share = exact_rate(rate)
    places = np.flatnonzero(eligible)
    order, later = (array_generator(seed, _STREAM, use) for use in (1, 2))
    partners = None
    if mode == "swap":
        places, partners = _pair_up(places, clean.shape[-1], order)
    if selection == "exact":
        count = half_up(share / (1 if partners is None else 2), int(eligible.sum()))
        chosen = np.zeros(places.size, dtype=np.bool_)
        chosen[later.permutation(places.size)[:count]] = True
    else:
        chosen = later.random(places.size) < float(share)
    noisy, changed, mask = clean.copy(), np.zeros(clean.shape, dtype=np.bool_), attended
    if partners is not None:
        one, other = places[chosen], partners[chosen]
        noisy.flat[one], noisy.flat[other] = clean.flat[other], clean.flat[one]
    elif mode == "mask":
        noisy.flat[places[chosen]] = _needed(mask_token, "mask_token", mode)
    elif mode == "substitute":
        size = _needed(vocabulary_size, "vocabulary_size", mode)
        allowed = _vocabulary(size, clean, pad_token, reserved)
        drawn = _substitutes(clean.flat[places], allowed, include_true, order)
        noisy.flat[places[chosen]] = drawn[chosen]
    else:
        changed.flat[places[chosen]] = True
        noisy, mask = _without(clean, attended, changed, pad_token)
    changed = changed if mode == "delete" else noisy != clean
    wrong, total = int(np.count_nonzero(changed)), int(eligible.sum())
    given_mask = attention_mask if attention_mask is not None else tokens
    mask = mask.astype(np.int64 if attention_mask is None else as_numpy(attention_mask).dtype)
    return NoisyTokens(
        like(tokens, noisy), like(given_mask, mask), like(tokens, changed),
        float(share), wrong / total if total else 0.0, total, seed,
    )  # fmt: skip


def _reserved(pad_token: int | None, mask_token: int | None, special: Collection[int]) -> Places:
    if not isinstance(special, AbstractSet):
        check_sequence(special, "special_tokens", "integers, or a set of them")
    if isinstance(special, np.ndarray | torch.Tensor) and special.ndim != 1:
        raise ValueError(f"`special_tokens` must be one-dimensional, got shape {tuple(special.shape)}")
    named = {check_integer(token, "special_tokens", minimum=0) for token in special}
    if pad_token is not None:
        named.add(check_integer(pad_token, "pad_token"))
    if mask_token is not None:
        named.add(check_integer(mask_token, "mask_token", minimum=0))
    return np.array(sorted(named), dtype=np.intp)


def _needed(value: int | None, name: str, mode: str) -> int:
    if value is None:
        raise TypeError(f"`{name}` must be given for mode={mode!r}")
    return check_integer(value, name, minimum=0, maximum=_MOST_TOKENS)


def _vocabulary(size: int, clean: Tokens, pad_token: int | None, reserved: Places) -> Mask:
    """(V,): the tokens that may be drawn."""
    lowest, highest = int(clean.min()), int(clean.max())
    if highest >= size or (lowest < 0 and lowest != pad_token):
        raise ValueError(f"`tokens` must be in [0, vocabulary_size = {size}), got {lowest} to {highest}")
    if size - 1 > np.iinfo(clean.dtype).max:
        raise ValueError(f"`tokens` are {clean.dtype}, which cannot hold a vocabulary of {size}")
    allowed = np.ones(size, dtype=np.bool_)
    allowed[reserved[(reserved >= 0) & (reserved < size)]] = False
    if np.count_nonzero(allowed) < 2:
        raise ValueError(f"`vocabulary_size` must leave at least 2 tokens that are not special, got {allowed.sum()}")
    return allowed


def _substitutes(clean: Tokens, allowed: Mask, include_true: bool, generator: np.random.Generator) -> Places:
    choices = np.flatnonzero(allowed)
    drawn = generator.integers(choices.size - (not include_true), size=clean.size)
    if not include_true:
        drawn += drawn >= (np.cumsum(allowed) - 1)[clean]  # skips the token itself
    return choices[drawn]


def _pair_up(places: Places, width: int, generator: np.random.Generator) -> tuple[Places, Places]:
    """Draw disjoint random pairs of places, each in one row."""
    places = generator.permutation(places)
    places = places[np.argsort(places // width, kind="stable")]
    rows = places // width
    first = np.flatnonzero((earlier_equals(rows)[:-1] % 2 == 0) & (rows[1:] == rows[:-1]))
    return places[first], places[first + 1]


def _without(clean: Tokens, attended: Mask, deleted: Mask, pad_token: int | None) -> tuple[Tokens, Mask]:
    """Remove the deleted tokens and close the gaps."""
    if pad_token is None:
        if clean.ndim == 2:
            raise TypeError("`pad_token` must be given for mode='delete' of a batch: its sequences keep one length")
        return clean[~deleted], attended[~deleted]
    padded_first = ~attended[..., :1] & attended[..., -1:]
    order = np.argsort(deleted != padded_first, axis=-1, kind="stable")
    gone = np.take_along_axis(deleted, order, axis=-1)
    left = np.where(gone, np.array(pad_token, dtype=clean.dtype), np.take_along_axis(clean, order, axis=-1))
    return cast(Tokens, left), np.take_along_axis(attended, order, axis=-1) & ~gone
