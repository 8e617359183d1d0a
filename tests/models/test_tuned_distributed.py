"""`TunedModel` over processes: DDP with a backbone that is trained or frozen, and FSDP2."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import fsdp
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from noisymodel import LinearProbe, NMTune, NMTuneLoss, TunedModel
from ranks import Ranks

if not hasattr(fsdp, "fully_shard"):
    pytest.skip("torch has fully_shard since 2.6", allow_module_level=True)

INPUTS, FEATURES, CLASSES, WORLD = 6, 12, 3, 2
SIZES = [(3, 4), (12, 9), (7, 0)]  # below and above the features, and a rank without rows
WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 0.3, "dominant_weight": 0.5, "label_smoothing": 0.1}
Module = Callable[[nn.Module], nn.Module]


def network(*, batch_norm: bool = False) -> nn.Sequential:
    """Features are the output of part 2; part 3 is a classifier of its own."""
    between = nn.BatchNorm1d(16) if batch_norm else nn.GELU()
    return nn.Sequential(nn.Linear(INPUTS, 16), between, nn.Linear(16, FEATURES), nn.Linear(FEATURES, FEATURES))


def tuned(gather: bool, **options: object) -> TunedModel:
    head = NMTune(FEATURES, CLASSES, norm="layer", top_k=3, gather=gather, **WEIGHTS, input_noise=0.0)
    return TunedModel(network(batch_norm="freeze" in options), head, **options)


def dense(gather: bool) -> TunedModel:
    head = NMTune(FEATURES, CLASSES, norm="layer", gather=gather, **WEIGHTS, input_noise=0.0)
    backbone = nn.Sequential(nn.Conv2d(INPUTS, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, FEATURES, 1))
    return TunedModel(backbone, head, pooling=None, reference="features")


def probe(gather: bool) -> TunedModel:
    """As in the published code: terms of the backbone's own features."""
    return TunedModel(network(), LinearProbe(FEATURES, CLASSES), objective=NMTuneLoss(gather=gather, **WEIGHTS))


CASES: dict[str, tuple[Callable[[bool], TunedModel], Module]] = {
    "trained": (partial(tuned, reference="features"), DistributedDataParallel),
    "frozen copy": (partial(tuned, reference="frozen"), DistributedDataParallel),
    "frozen": (partial(tuned, freeze=True), DistributedDataParallel),
    "frozen, a layer": (partial(tuned, freeze=True, layer="2"), DistributedDataParallel),
    "a layer": (
        partial(tuned, layer="3:input", reference="features"),
        partial(DistributedDataParallel, find_unused_parameters=True),
    ),
    "two views": (tuned, DistributedDataParallel),
    "dense": (dense, DistributedDataParallel),
    "probe": (probe, DistributedDataParallel),
}
SHARDED = ["trained", "frozen copy", "probe"]


def batch(count: int, *, maps: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, another view of them, and targets."""
    generator = torch.Generator().manual_seed(count)
    size = (count, INPUTS, 2, 3) if maps else (count, INPUTS)
    inputs, other = torch.randn(2, *size, generator=generator)
    targets = torch.randint(CLASSES, (count, 2, 3) if maps else (count,), generator=generator)
    if maps:
        targets[: count // 2, 0] = -100
    return inputs, other, targets


def gradient(model: nn.Module) -> Tensor:
    parts = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat([(part.full_tensor() if hasattr(part, "full_tensor") else part).flatten() for part in parts])


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def sharded(model: TunedModel) -> TunedModel:
    fsdp.fully_shard(model.backbone, mesh=init_device_mesh("cpu", (WORLD,)))
    return model


def sharded_whole(model: TunedModel) -> TunedModel:
    fsdp.fully_shard(model, mesh=init_device_mesh("cpu", (WORLD,)))
    return model


def errors(
    rank: int, case: str, sizes: tuple[int, int], wrap: Module | None = None, gather: bool = True
) -> list[float]:
    """Of the logits, of the terms and of the gradient, against one process with all rows."""
    make, ddp = CASES[case]
    everything = batch(sum(sizes), maps=case == "dense")
    alone, model = (seeded(make, own) for own in (False, gather))
    wrapped = (wrap or ddp)(model)
    outputs = []
    for module, (inputs, other, targets) in [
        (alone, everything),
        (wrapped, [torch.split(part, list(sizes))[rank] for part in everything]),
    ]:
        views = {"reference_inputs": other, "both_views": True} if case == "two views" else {}
        outputs.append(module(inputs, targets=targets, **views))
        outputs[-1].terms.total.backward()
    wanted, got = outputs
    if wrap is sharded:
        for parameter in model.head.parameters():  # what DDP of the head does
            dist.all_reduce(parameter.grad)
            parameter.grad /= WORLD
    own = torch.split(wanted.logits.detach(), list(sizes))[rank]
    return [
        relative(got.logits.detach(), own) if own.numel() else 0.0,
        relative(torch.stack(got.terms).detach(), torch.stack(wanted.terms).detach()),
        relative(gradient(model), gradient(alone)),
    ]


def seeded(make: Callable[[bool], TunedModel], gather: bool) -> TunedModel:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return make(gather)


def all_errors(rank: int) -> dict[str, list[list[float]]]:
    found = {case: [errors(rank, case, sizes) for sizes in SIZES] for case in CASES}
    for case in SHARDED:
        found[f"{case}, sharded"] = [errors(rank, case, sizes, sharded) for sizes in SIZES]
    found["a layer, sharded"] = [errors(rank, "a layer", sizes, sharded_whole) for sizes in SIZES]
    with pytest.raises(ValueError, match="'3:input' lies inside the backbone, which fully_shard was called on"):
        errors(rank, "a layer", SIZES[0], sharded)
    found["local"] = [errors(rank, "trained", SIZES[0], gather=False)]
    return found


@pytest.fixture(scope="module")
def ranks(on_ranks: Ranks) -> list[dict[str, list[list[float]]]]:
    """What each rank found."""
    return on_ranks(all_errors, world=WORLD)


@pytest.mark.parametrize("case", [*CASES, *(f"{case}, sharded" for case in [*SHARDED, "a layer"])])
def test_logits_terms_and_gradients_are_those_of_one_process(ranks, case: str) -> None:
    found = [error for rank in ranks for errors in rank[case] for error in errors]
    assert len(found) == WORLD * len(SIZES) * 3
    assert max(found) < 1e-5


def test_without_gather_they_are_not(ranks) -> None:
    assert all(errors[2] > 1e-2 for rank in ranks for errors in rank["local"])
