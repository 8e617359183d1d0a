"""Interpolation between two models: any two state dictionaries with the same names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import overload

import torch
from torch import Tensor

from .._checks import check_number

Include = Callable[[str], bool] | Iterable[str]


@overload
def interpolate(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: float, *, include: Include | None = None
) -> dict[str, Tensor]: ...
@overload
def interpolate(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: Iterable[float], *, include: Include | None = None
) -> list[dict[str, Tensor]]: ...
def interpolate(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    alpha: float | Iterable[float],
    *,
    include: Include | None = None,
) -> dict[str, Tensor] | list[dict[str, Tensor]]:
    """The state between two models, θ = (1 − α)·θ₁ + α·θ₂.

    - Floating (and complex) tensors are interpolated in float32, or in float64 if one of the two is; the result has the
      type and the device of ``second``. Equal entries stay unchanged, infinities included.
    - Integer and bool tensors (``num_batches_tracked``, masks, position ids) are those of ``second``.
    - Tensors that are not included are those of ``second``, the fine-tuned model: a head that began at random in
      ``second`` and means nothing in ``first`` must not be interpolated. They may be missing from ``first`` or have
      another shape there.
    - Tensors that are tied in both states are tied in the result.

    Args:
        first: θ₁, the pre-trained model's ``state_dict()``.
        second: θ₂, the fine-tuned model's.
        alpha: α in [0, 1], or several of them: 0 is ``first``, 1 is ``second``, to the bit.
        include: which tensors are interpolated: a function of the name, or names that stand for a tensor or for
            everything under a module (``["backbone"]``, not ``"backbone"``); ``None``: all.

    Returns:
        A dictionary in the order of ``second``, or a list of them for several α. Interpolated tensors are new;
        those taken from ``second`` are its own, shared by all dictionaries and detached.

    Raises:
        ValueError: for α outside [0, 1], for included names that one side lacks or that have another shape there, and
            for an ``include`` that matches nothing.
        TypeError: for an entry that is not a tensor.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT, arXiv 2109.01903), weight-space
    ensembles. BatchNorm's running statistics are interpolated like weights; compute them anew if that is too crude.

    >>> import torch
    >>> first, second = {"a.weight": torch.zeros(2), "head": torch.zeros(3)}, {"a.weight": torch.ones(2)}
    >>> interpolate(first, second, 0.25, include=["a"])
    {'a.weight': tensor([0.2500, 0.2500])}
    >>> [state["a.weight"][0].item() for state in interpolate(first, second, [0, 0.5, 1], include=["a"])]
    [0.0, 0.5, 1.0]
    """
    single = not isinstance(alpha, Iterable)
    alphas = [check_number(one, "alpha", minimum=0, maximum=1) for one in ([alpha] if single else alpha)]
    names = _included(first, second, include)
    kept = {name: tensor.detach() for name, tensor in second.items()}
    states = [dict(kept) for _ in alphas]
    tied: dict[object, list[Tensor]] = {}
    for name in names:
        key = (_identity(first[name]), _identity(second[name]))
        if key not in tied:
            tied[key] = _between(first[name], second[name], alphas, name)
        for state, tensor in zip(states, tied[key], strict=True):
            state[name] = tensor
    return states[0] if single else states


def _included(first: Mapping[str, Tensor], second: Mapping[str, Tensor], include: Include | None) -> list[str]:
    wanted = _predicate(include)
    ours, theirs = ([name for name in state if wanted(name)] for state in (first, second))
    for have, other, side in ((ours, theirs, "first"), (theirs, ours, "second")):
        missing = sorted(set(other) - set(have))
        if missing:
            listed = ", ".join(map(repr, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise ValueError(
                f"`{side}` must have the names that the other state has, {listed} missing: "
                "interpolate what both have by `include`"
            )
    if not theirs:
        raise ValueError(f"`include` must match a name of `second`, got {include!r}; it has {list(second)[:5]}")
    return [name for name in theirs if _interpolates(first, second, name)]


def _predicate(include: Include | None) -> Callable[[str], bool]:
    if include is None:
        return lambda _: True
    if callable(include):
        return include
    if isinstance(include, str):
        raise TypeError(f"`include` must be a function of a name or a list of names, got {include!r}: [{include!r}]")
    chosen = tuple(include)
    return lambda name: any(name == one or name.startswith(f"{one}.") for one in chosen)


def _interpolates(first: Mapping[str, Tensor], second: Mapping[str, Tensor], name: str) -> bool:
    """Whether a tensor has something between; shapes must be the same where it has."""
    pair = {"first": first[name], "second": second[name]}
    for side, tensor in pair.items():
        if not isinstance(tensor, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance] # states come from anywhere
            raise TypeError(f"`{side}` must hold tensors, got {type(tensor).__name__} under {name!r}")
    if first[name].shape != second[name].shape:
        raise ValueError(
            f"`first` must have the shape {tuple(second[name].shape)} of `second` under {name!r}, "
            f"got {tuple(first[name].shape)}: leave it out by `include`"
        )
    return _is_inexact(first[name]) and _is_inexact(second[name])


def _between(first: Tensor, second: Tensor, alphas: Sequence[float], name: str) -> list[Tensor]:
    """The tensor at each α; both are raised once."""
    if first.is_complex() != second.is_complex():
        raise TypeError(f"`first` must be {second.dtype} like `second` under {name!r}, got {first.dtype}")
    precision = torch.promote_types(torch.promote_types(_raised(first), _raised(second)), torch.float32)
    start = first.detach().to(second.device, precision)
    end = second.detach().to(precision)
    return [torch.where(start == end, end, torch.lerp(start, end, alpha)).to(second.dtype) for alpha in alphas]


def _raised(tensor: Tensor) -> torch.dtype:
    """The type to compute in: torch promotes no 8-bit floats."""
    return torch.float32 if tensor.dtype.itemsize == 1 else tensor.dtype


def _is_inexact(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _identity(tensor: Tensor) -> object:
    """The same for tensors that are one in memory."""
    if tensor.is_meta or tensor.numel() == 0:
        return id(tensor)
    place = (tensor.device, tensor.data_ptr(), tensor.dtype)
    return (*place, tuple(tensor.shape), tensor.stride())
