"""The regularizers of a batch that is spread over processes: each rank's gradient, averaged, is the one process's."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from noisymodel import _gram
from noisymodel._gather import global_mean
from noisymodel.losses import consistency_loss, covariance_loss, dominant_singular_value_loss, nmtune_regularization
from ranks import Ranks

BATCHES = {2: [(8, 8), (13, 3), (16, 0)], 4: [(8, 8, 8, 8), (10, 4, 6, 2), (0, 7, 12, 1)]}
FEATURES = [6, 16, 48]  # below, at and above the number of rows
KINDS = [(torch.float32, 0.0), (torch.float64, 1e3)]  # dtype, and how many standard deviations the mean is away
WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 0.3, "dominant_weight": 0.5}


def batch(rows: int, features: int, kind: tuple[torch.dtype, float] = KINDS[0]) -> torch.Tensor:
    dtype, shift = kind
    generator = torch.Generator().manual_seed(rows * 100 + features)
    mean = shift * torch.randn(features, generator=generator, dtype=dtype)
    return torch.randn(rows, features, generator=generator, dtype=dtype) + mean


def network(features: int) -> torch.nn.Linear:
    layer = torch.nn.utils.skip_init(torch.nn.Linear, features, features)
    generator = torch.Generator().manual_seed(features)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(features) + 0.3 * torch.randn(features, features, generator=generator))
        layer.bias.zero_()
    return layer


def terms_and_gradient(
    layer: torch.nn.Module, rows: torch.Tensor, **options: object
) -> tuple[torch.Tensor, torch.Tensor]:
    terms = nmtune_regularization(layer(rows), rows, top_k=2, **WEIGHTS, **options)  # type: ignore[arg-type]
    terms.total.backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in layer.parameters()])
    return torch.stack(terms).detach(), gradient


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def compare(
    rank: int,
    sizes: tuple[int, ...],
    features: int,
    kind: tuple[torch.dtype, float],
    *,
    gather: object,
    wrap: bool = False,
) -> dict[str, float]:
    """Relative errors of the terms and of the ranks' averaged gradient against one process with all rows."""
    rows = batch(sum(sizes), features, kind)
    own = torch.split(rows, list(sizes))[rank]
    wanted_terms, wanted = terms_and_gradient(network(features).to(kind[0]), rows)
    layer = network(features).to(kind[0])
    terms, gradient = terms_and_gradient(DistributedDataParallel(layer) if wrap else layer, own, gather=gather)
    if not wrap:  # what DDP does
        dist.all_reduce(gradient)
        gradient /= len(sizes)
    return {"terms": relative(terms, wanted_terms), "gradient": relative(gradient, wanted)}


def subgroup_errors(rank: int, world: int) -> float:
    """Two groups of two: the value is that of the pair's rows."""
    pairs = [dist.new_group([first, first + 1]) for first in range(0, world, 2)]
    parts = torch.split(batch(8 * world, 12), 8)
    first = rank // 2 * 2
    wanted = covariance_loss(torch.cat(parts[first : first + 2]))
    return abs(float(covariance_loss(parts[rank], gather=pairs[rank // 2]) / wanted) - 1)


def single_terms(rank: int, world: int) -> dict[str, float]:
    """Each function on its own, and the mean that the task's loss takes."""
    rows, reference = batch(3 * world, 7), batch(3 * world, 8)[:, :7]
    own, other = torch.split(rows, 3)[rank], torch.split(reference, 3)[rank]
    found = {
        "covariance": covariance_loss(own, gather=True) / covariance_loss(rows),
        "dominant": dominant_singular_value_loss(own, gather=True) / dominant_singular_value_loss(rows),
        "consistency": consistency_loss(own, other, gather=True) / consistency_loss(rows, reference),
    }
    values = (torch.arange(rank + 1.0) + rank).requires_grad_()
    count = world * (world + 1) / 2
    mean = global_mean(values, dist.group.WORLD)
    mean.backward()
    everything = torch.cat([torch.arange(r + 1.0) + r for r in range(world)])
    errors = {name: abs(float(ratio) - 1) for name, ratio in found.items()}
    errors["mean"] = abs(float(mean) - float(everything.mean()))
    assert values.grad is not None
    errors["mean_gradient"] = float((values.grad - world / count).abs().max())
    return errors


def messages(rank: int) -> dict[str, str]:
    """What is an error is one on every rank."""
    own = batch(1, 5) if rank == 0 else torch.empty(0, 5)
    found: dict[str, str] = {}
    for name, call in {
        "covariance": lambda: covariance_loss(own, gather=True),
        "top_k": lambda: dominant_singular_value_loss(own, top_k=2, gather=True),
        "consistency": lambda: consistency_loss(own[:0], own[:0], gather=True),
    }.items():
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the parent matches the message
            call()
        found[name] = str(raised.value)
    return found


def in_blocks(rank: int, cases: list[tuple[tuple[int, ...], int, tuple[torch.dtype, float]]]) -> list[dict[str, float]]:
    """The same with statistics that are made in several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gram, "BLOCK", 40)
        return [compare(rank, *case, gather=True) for case in cases]


def everything(rank: int, world: int) -> dict[str, object]:
    cases = list(itertools.product(BATCHES[world], FEATURES, KINDS))
    return {
        "gathered": [compare(rank, *case, gather=True) for case in cases],
        "by group": [compare(rank, *cases[0], gather=dist.group.WORLD)],
        "wrapped": [compare(rank, *cases[4], gather=True, wrap=True)] if world == 2 else [],
        "in blocks": in_blocks(rank, cases[1:6:2]),
        "local": [compare(rank, *cases[2], gather=False)],
        "subgroup": subgroup_errors(rank, world),
        "single": single_terms(rank, world),
        "messages": messages(rank),
    }


@pytest.fixture(scope="module", params=sorted(BATCHES))
def ranks(request: pytest.FixtureRequest, on_ranks: Ranks) -> list[dict[str, object]]:
    """What each rank of a world of 2 and of 4 processes found."""
    return on_ranks(everything, request.param, world=request.param)


def test_gathered_terms_and_averaged_gradients_are_those_of_one_process(ranks) -> None:
    for rank in ranks:
        for errors in [*rank["gathered"], *rank["by group"], *rank["wrapped"], *rank["in blocks"]]:
            assert errors["terms"] < 1e-5
            assert errors["gradient"] < 1e-5


def test_the_comparison_sees_statistics_of_the_local_batch(ranks) -> None:
    assert ranks[0]["local"][0]["gradient"] > 1e-2


def test_a_subgroup_has_its_own_statistics(ranks) -> None:
    assert all(rank["subgroup"] < 1e-6 for rank in ranks)


def test_each_function_gathers(ranks) -> None:
    assert all(error < 1e-6 for rank in ranks for error in rank["single"].values())


def test_errors_are_raised_on_every_rank(ranks) -> None:
    for rank in ranks:
        assert "two rows for a covariance, got 1" in rank["messages"]["covariance"]
        assert "`top_k` must be at most min(N, D) = 1" in rank["messages"]["top_k"]
        assert "at least one row" in rank["messages"]["consistency"]
