"""The regularizers under autograd's other uses: `torch.func`, `torch.compile`, second derivatives, no host sync."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from noisymodel import NMTune
from noisymodel.losses import covariance_loss, nmtune_regularization

SHAPES = [(4, 7), (7, 4), (5, 5)]


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def total(tuned: Tensor, reference: Tensor, weight: float | Tensor = 0.5) -> Tensor:
    weights = {"consistency_weight": 1.0, "covariance_weight": weight, "dominant_weight": weight}
    return nmtune_regularization(tuned, reference, top_k=2, **weights).total  # type: ignore[arg-type]


def gradient(tuned: Tensor, reference: Tensor, weight: float | Tensor = 0.5) -> Tensor:
    leaf = tuned.clone().requires_grad_()
    return torch.autograd.grad(total(leaf, reference, weight), leaf)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_heads_at_once_get_what_each_gets_alone(shape: tuple[int, int], dtype: torch.dtype) -> None:
    tuned, reference = gaussian(3, *shape, dtype=dtype), gaussian(3, *shape, seed=1, dtype=dtype)
    weights = torch.tensor([0.1, 0.2, 0.3], dtype=dtype)
    values = torch.func.vmap(total)(tuned, reference, weights)
    gradients = torch.func.vmap(torch.func.grad(total))(tuned, reference, weights)
    for i in range(3):
        torch.testing.assert_close(values[i], total(tuned[i], reference[i], weights[i]))
        torch.testing.assert_close(gradients[i], gradient(tuned[i], reference[i], weights[i]))
    leaf = tuned.clone().requires_grad_()
    torch.func.vmap(total)(leaf, reference, weights).sum().backward()
    torch.testing.assert_close(leaf.grad, gradients)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_waits_for_the_device(shape: tuple[int, int]) -> None:
    """Fake tensors have no values: `.item()` or a branch on data is an error with them."""
    with FakeTensorMode():
        tuned, reference = torch.empty(shape, requires_grad=True), torch.empty(shape)
        total(tuned, reference).backward()
        assert tuned.grad is not None
        assert tuned.grad.shape == shape


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.slow
def test_compiles_to_one_graph_for_all_batch_sizes_on_a_side() -> None:
    scale = gaussian(6, seed=2).requires_grad_()
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    def step(features: Tensor) -> Tensor:
        return total(features * scale, features)

    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend=count)
    for rows in (3, 4, 5, 8, 12, 20):
        features = gaussian(rows, 6)
        wanted, got = step(features), compiled(features)
        torch.testing.assert_close(got, wanted)
        torch.testing.assert_close(torch.autograd.grad(got, scale), torch.autograd.grad(wanted, scale))
    assert len(graphs) == 2  # one where N < D, one where N ≥ D
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap])
def test_compiled_transforms_are_refused(transform: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    """The compiler would forget the hand-written gradients, and differentiate what makes the statistics."""
    torch.compiler.reset()
    rows = gaussian(3, 4, 7) if transform is torch.func.vmap else gaussian(4, 7)
    with pytest.raises(Exception, match=r"torch\.compile of torch\.func transforms is not supported"):
        torch.compile(transform(covariance_loss), backend="eager", fullgraph=True)(rows)
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.slow
def test_head_and_loss_compile_to_one_graph_for_all_batch_sizes_on_a_side() -> None:
    head = NMTune(6, 3, generator=torch.Generator().manual_seed(0), top_k=2, input_noise=0.0)
    head.train()
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    def step(features: Tensor, targets: Tensor) -> Tensor:
        return head.loss(features, targets).total

    parameters = list(head.parameters())
    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend=count)
    for rows in (3, 4, 5, 8, 12, 20):
        batch = gaussian(rows, 6), torch.arange(rows) % 3
        wanted, got = step(*batch), compiled(*batch)
        torch.testing.assert_close(got, wanted)
        gradients = torch.autograd.grad(got, parameters), torch.autograd.grad(wanted, parameters)
        torch.testing.assert_close(*gradients)
    assert len(graphs) == 2
    torch.compiler.reset()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_the_gpu_the_values_are_those_of_the_cpu() -> None:
    for shape in SHAPES:
        tuned, reference = gaussian(*shape), gaussian(*shape, seed=1)
        torch.testing.assert_close(total(tuned.cuda(), reference.cuda()).cpu(), total(tuned, reference))
        torch.testing.assert_close(gradient(tuned.cuda(), reference.cuda()).cpu(), gradient(tuned, reference))
