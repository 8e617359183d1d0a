"""The regularizers of a batch that is spread over processes: each rank's gradient, averaged, is the one process's."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

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


def means(rank: int, world: int) -> list[float]:
    """Errors of the mean that the task's loss takes, of all rows and of those that count, and of the gradients."""
    found: list[float] = []
    whole = [torch.arange(r + 1.0) + r for r in range(world)]
    for keep in (lambda values: torch.ones_like(values, dtype=torch.bool), lambda values: values % 2 == 0):
        counted = [keep(values) for values in whole]
        values = (whole[rank] * counted[rank]).requires_grad_()
        mean = global_mean(values, dist.group.WORLD, counted[rank])
        mean.backward()
        count = sum(int(part.sum()) for part in counted)
        wanted = sum(float((part * of).sum()) for part, of in zip(whole, counted, strict=True)) / count
        found += [abs(float(mean) - wanted), float((values.grad - world / count).abs().max())]
    none = torch.zeros(2, requires_grad=True)
    nothing = global_mean(none, dist.group.WORLD, torch.zeros(2, dtype=torch.bool))
    nothing.backward()
    return [*found, abs(float(nothing))]


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


def combinations(rank: int, sizes: tuple[int, ...], features: int) -> list[float]:
    """Relative errors of each term alone and of all combinations, and of their gradients by this rank's rows."""
    rows, reference = batch(sum(sizes), features), batch(sum(sizes), features + 1)[:, :features]
    own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    found: list[float] = []
    for asked in itertools.product([False, True], repeat=len(WEIGHTS)):
        if not any(asked):
            continue
        weights = {name: weight * is_asked for (name, weight), is_asked in zip(WEIGHTS.items(), asked, strict=True)}
        whole, part = rows.clone().requires_grad_(), rows[own].clone().requires_grad_()
        wanted = nmtune_regularization(whole, reference, **weights)
        got = nmtune_regularization(part, reference[own], gather=True, **weights)
        wanted.total.backward()
        got.total.backward()
        found.append(relative(torch.stack(got).detach(), torch.stack(wanted).detach()))
        found.append(float((part.grad - len(sizes) * whole.grad[own]).norm() / whole.grad.norm()))
    alone = {
        "covariance": (lambda z, f, **o: covariance_loss(z, **o)),
        "dominant": (lambda z, f, **o: dominant_singular_value_loss(z, top_k=2, **o)),
        "consistency": (lambda z, f, **o: consistency_loss(z, f, **o)),
    }
    for function in alone.values():
        whole, part = rows.clone().requires_grad_(), rows[own].clone().requires_grad_()
        wanted, got = function(whole, reference), function(part, reference[own], gather=True)
        wanted.backward()
        got.backward()
        found.append(relative(got.detach(), wanted.detach()))
        found.append(float((part.grad - len(sizes) * whole.grad[own]).norm() / whole.grad.norm()))
    return found


def everything(rank: int, world: int) -> dict[str, object]:
    cases = list(itertools.product(BATCHES[world], FEATURES, KINDS))
    return {
        "gathered": [compare(rank, *case, gather=True) for case in cases],
        "by group": [compare(rank, *cases[0], gather=dist.group.WORLD)],
        "wrapped": [compare(rank, *cases[4], gather=True, wrap=True)] if world == 2 else [],
        "combinations": [combinations(rank, sizes, d) for sizes in BATCHES[world] for d in FEATURES],
        "local": [compare(rank, *cases[2], gather=False)],
        "subgroup": subgroup_errors(rank, world),
        "means": means(rank, world),
        "messages": messages(rank),
    }


@pytest.fixture(scope="module", params=sorted(BATCHES))
def ranks(request: pytest.FixtureRequest, on_ranks: Ranks) -> list[dict[str, object]]:
    """What each rank of a world of 2 and of 4 processes found."""
    return on_ranks(everything, request.param, world=request.param)


def test_gathered_terms_and_averaged_gradients_are_those_of_one_process(ranks) -> None:
    for rank in ranks:
        for errors in [*rank["gathered"], *rank["by group"], *rank["wrapped"]]:
            assert errors["terms"] < 1e-5
            assert errors["gradient"] < 1e-5


def test_the_comparison_sees_statistics_of_the_local_batch(ranks) -> None:
    assert ranks[0]["local"][0]["gradient"] > 1e-2


def test_a_subgroup_has_its_own_statistics(ranks) -> None:
    assert all(rank["subgroup"] < 1e-6 for rank in ranks)


def test_every_term_alone_and_every_combination_is_that_of_one_process(ranks) -> None:
    for rank in ranks:
        for errors in rank["combinations"]:
            assert len(errors) == 2 * (7 + 3)
            assert max(errors) < 1e-5


def test_a_mean_is_over_all_rows_that_count(ranks) -> None:
    assert all(error < 1e-6 for rank in ranks for error in rank["means"])


def test_errors_are_raised_on_every_rank(ranks) -> None:
    for rank in ranks:
        assert "two rows for a covariance, got 1" in rank["messages"]["covariance"]
        assert "`top_k` must be at most min(N, D) = 1" in rank["messages"]["top_k"]
        assert "at least one row" in rank["messages"]["consistency"]
