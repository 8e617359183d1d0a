"""The whole objective over processes: a head under DDP, a backbone under FSDP2, gradient accumulation."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import fsdp
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from noisymodel import NMTune
from noisymodel.losses import NMTuneTerms, covariance_loss, matrix_products
from ranks import Ranks

FEATURES, CLASSES = 12, 3
SIZES = {2: [(3, 4), (7, 0), (12, 9)], 4: [(1, 3, 2, 2), (0, 5, 1, 2), (9, 3, 0, 14)]}  # below and above the features
CAN_SHARD = hasattr(fsdp, "fully_shard")  # not in torch 2.4
WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 0.3, "dominant_weight": 0.5, "label_smoothing": 0.1}


class Objective(nn.Module):
    """A module whose output is the loss: what DDP wraps."""

    def __init__(self, gather: bool, top_k: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            self.backbone = nn.Sequential(nn.Linear(FEATURES, 16), nn.GELU(), nn.Linear(16, FEATURES))
            self.head = NMTune(FEATURES, CLASSES, norm="layer", top_k=top_k, gather=gather, **WEIGHTS, input_noise=0.0)

    def forward(self, inputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> NMTuneTerms:
        return self.head.loss(self.backbone(inputs), targets, sample_weight=weights)


def batch(count: int, *, weighted: bool = False) -> tuple[Tensor, ...]:
    """Inputs and targets; if ``weighted`` a third of the rows has no label and the others have weights."""
    generator = torch.Generator().manual_seed(count)
    inputs, targets = torch.randn(count, FEATURES, generator=generator), torch.arange(count) % CLASSES
    if not weighted:
        return inputs, targets
    return inputs, targets.where(torch.arange(count) % 3 > 0, -100), torch.rand(count, generator=generator)


def gradient(module: nn.Module) -> Tensor:
    parts = [parameter.grad for parameter in module.parameters()]
    return torch.cat([(part.full_tensor() if hasattr(part, "full_tensor") else part).flatten() for part in parts])


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def errors(
    rank: int,
    sizes: tuple[int, ...],
    top_k: int,
    *,
    sharded: bool = False,
    gather: bool = True,
    weighted: bool = False,
) -> list[float]:
    """Of the terms and of the gradient, against one process with all rows."""
    rows = batch(sum(sizes), weighted=weighted)
    alone = Objective(False, top_k)
    wanted = alone(*rows)
    wanted.total.backward()
    model = Objective(gather, top_k)
    own = [torch.split(part, list(sizes))[rank] for part in rows]
    if sharded:  # the backbone's parameters lie in pieces on the ranks, the head is replicated
        fsdp.fully_shard(model.backbone, mesh=init_device_mesh("cpu", (len(sizes),)))
        wrapped = model
    else:
        wrapped = DistributedDataParallel(model)  # lives until the backward pass: it is what averages
    terms = wrapped(*own)
    terms.total.backward()
    if sharded:
        for parameter in model.head.parameters():  # what DDP of the head does
            dist.all_reduce(parameter.grad)
            parameter.grad /= len(sizes)
    return [
        relative(torch.stack(terms).detach(), torch.stack(wanted).detach()),
        relative(gradient(model), gradient(alone)),
    ]


def all_errors(rank: int, world: int) -> dict[str, list[list[float]]]:
    result = {
        "replicated": [errors(rank, sizes, top_k) for sizes in SIZES[world] for top_k in (1, 3)],
        "without labels": [errors(rank, sizes, 1, weighted=True) for sizes in SIZES[world]],
        "sharded": [errors(rank, sizes, 3, sharded=True) for sizes in SIZES[world] if CAN_SHARD],
        "local": [errors(rank, SIZES[world][0], 1, gather=False)] if world == 2 else [],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_products, "is_taken", lambda _: True)
        result["by products"] = [errors(rank, sizes, top_k) for sizes in SIZES[world][1:] for top_k in (1, 3)]
    return result


@pytest.fixture(scope="module", params=sorted(SIZES))
def ranks(request: pytest.FixtureRequest, on_ranks: Ranks) -> list[dict[str, list[list[float]]]]:
    """What each rank found."""
    return on_ranks(all_errors, request.param, world=request.param)


SHARDED = pytest.param("sharded", marks=pytest.mark.skipif(not CAN_SHARD, reason="torch 2.4 has no fully_shard"))


@pytest.mark.parametrize("how", ["replicated", "without labels", SHARDED, "by products"])
def test_all_terms_and_gradients_are_those_of_one_process(ranks, how: str) -> None:
    found = [error for rank in ranks for pair in rank[how] for error in pair]
    assert found
    assert max(found) < 1e-5


def test_without_gather_they_are_not(ranks) -> None:
    assert all(pair[1] > 1e-2 for rank in ranks for pair in rank["local"])


def test_gradient_accumulation_does_not_enlarge_the_statistic() -> None:
    """The mean of the micro-batches' losses is the loss of none but the micro-batches."""
    features = batch(16)[0].requires_grad_()
    halves = features.split(8)
    for half in halves:
        (covariance_loss(half) / 2).backward()
    accumulated = features.grad.clone()
    separate = torch.cat([torch.autograd.grad(covariance_loss(half) / 2, half)[0] for half in halves])
    torch.testing.assert_close(accumulated, separate)
    features.grad = None
    covariance_loss(features).backward()
    assert relative(accumulated, features.grad) > 0.1
