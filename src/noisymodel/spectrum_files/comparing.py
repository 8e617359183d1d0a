"""Comparison of a file with the baseline: differences of metrics, angles between subspaces, CKA."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import InputFileError
from ..spectrum import MetricInterval, jackknife_intervals
from ..subspace import SubspaceAccumulator, principal_angles
from .planning import Opened, Plan, noted, renamed
from .result import Comparison, FileSpectrum

TOP_K = 5
_ZERO = 1e-6  # of the largest singular value; smaller ones have no direction to compare


def compared(
    one: Opened,
    base: Opened,
    products: SubspaceAccumulator | None,
    plan: Plan,
    found: Mapping[str, FileSpectrum],
    notes: list[str],
) -> Comparison:
    """Compare two files that have been read; ``products`` are those of their common samples, if they have any."""
    name, other = one.name, base.name
    mine, theirs = found[name].metrics, found[other].metrics
    held: dict[str, MetricInterval] = {}
    if products is None:
        notes.append(f"{name} has {one.count} rows, {other} {base.count}: they have no CKA and no paired intervals")
    elif len(one.blocks) > 1:
        with noted([]):  # each file has given these notes already
            held = jackknife_intervals(one.blocks, plan.measures, against=base.blocks, center=plan.center)
    return Comparison(
        name=name,
        baseline=other,
        differences={metric: mine[metric] - theirs[metric] for metric in plan.measures},
        intervals=held,
        angles=_angles(one, base, plan, notes),
        cka=None if products is None else products.linear_cka(),
        cka_debiased=None if products is None or products.count < 4 else products.linear_cka(debiased=True),
    )


def _angles(one: Opened, base: Opened, plan: Plan, notes: list[str]) -> tuple[float, ...] | None:
    name, other = one.name, base.name
    sizes = one.file.num_features, base.file.num_features
    if sizes[0] != sizes[1]:
        notes.append(f"{name} has {sizes[0]} features, {other} {sizes[1]}: there are no angles between their subspaces")
        return None
    first, second = (_axes(each, plan.center) for each in (one, base))
    k = plan.top_k or min(TOP_K, _rank(first), _rank(second))
    if not k:
        notes.append(f"{name} or {other} is zero: there are no angles between their subspaces")
        return None
    try:
        with noted(notes, a=name, b=other):
            return tuple(principal_angles(first, second, k=k).tolist())
    except ValueError as error:
        raise InputFileError(renamed(str(error), k="top_k", a=name, b=other)) from None


def _axes(one: Opened, center: str) -> Tensor:
    """A small matrix with the same right-singular vectors as the rows."""
    assert one.total is not None  # noqa: S101 - for the type checker: it was read
    state = one.total.state_dict()
    mean = math.sqrt(float(state["count"])) * state["mean"]
    if one.total.method == "gram":
        return state["factor"] if center == "column" else state["factor"] + torch.outer(mean, mean)
    return state["factor"] if center == "column" else torch.cat([state["factor"], mean[None]])


def _rank(axes: Tensor) -> int:
    values = torch.linalg.svdvals(axes)
    return int((values > _ZERO * values[0]).sum())
