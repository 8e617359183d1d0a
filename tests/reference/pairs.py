"""Noisy pairs as the definitions write them: loops over pairs, and every order tried."""

from __future__ import annotations

from itertools import combinations, permutations


def right(pair: int, caption: int, images: list, keys: list) -> bool:
    """Whether a caption is one of the image's own, or has the key of one of them."""
    return any(images[own] == images[pair] and keys[own] == keys[caption] for own in range(len(images)))


def deranged(chosen: tuple[int, ...], images: list, keys: list) -> list[tuple[int, ...]]:
    """Every order of the chosen captions that is wrong for every image."""
    return [
        order
        for order in permutations(chosen)
        if not any(right(pair, caption, images, keys) for pair, caption in zip(chosen, order, strict=True))
    ]


def feasible(size: int, images: list) -> bool:
    """Whether some ``size`` pairs can be chosen whose captions can all go to other images."""
    keys = list(range(len(images)))
    return any(deranged(chosen, images, keys) for chosen in combinations(range(len(images)), size))


def feasible_swaps(size: int, images: list) -> bool:
    """Whether some ``size`` pairs can be chosen and paired off with other images."""

    def paired(chosen: tuple[int, ...]) -> bool:
        if not chosen:
            return True
        first, *rest = chosen
        return any(
            images[first] != images[other] and paired(tuple(one for one in rest if one != other)) for other in rest
        )

    return any(paired(chosen) for chosen in combinations(range(len(images)), size))
