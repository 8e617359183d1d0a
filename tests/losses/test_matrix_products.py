"""The dominant term by matrix products alone, as on a GPU: its precision, its limits, and that nothing waits.

In this file the CPU counts as a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from noisymodel import NMTune, NMTuneLoss
from noisymodel.losses import (
    consistency_loss,
    covariance_loss,
    dominant_singular_value_loss,
    matrix_products,
    nmtune_regularization,
)
from reference import losses as naive
from reference.matrices import conditioned, gaussian, repeated, shifted, value_and_gradient, with_singular_values
from reference.minimax import composition

SHAPES = [(8, 20), (12, 12), (20, 8), (2, 5), (2, 2), (64, 80), (80, 64)]


def flat(rows: int, features: int) -> Tensor:
    """One singular value of 1, the others 1e-3, and the second a hundredth above the others."""
    values = torch.full((min(rows, features),), 1e-3, dtype=torch.float64)
    values[:2] = torch.tensor([1.0, 1.01e-3])
    return with_singular_values(rows, features, values)


KINDS = {"gaussian": gaussian, "condition 1e4": conditioned, "flat": flat}


@pytest.fixture(autouse=True)
def products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_products, "is_taken", lambda _: True)


def shares(features: Tensor, top_k: int) -> matrix_products.Shares:
    rows = features.double()
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    return matrix_products.shares((gram + gram.T) / 2, top_k, floor=0.0)


def assert_close(features: Tensor, top_k: int, tolerance: float, rank: int | None = None) -> None:
    exact = features.double().numpy()
    value, gradient = value_and_gradient(lambda z: dominant_singular_value_loss(z, top_k=top_k), features)
    wanted = naive.dominant_gradient(exact, top_k, rank)
    assert value == pytest.approx(naive.dominant(exact, top_k), rel=2e-7)
    assert np.linalg.norm(gradient - wanted) <= tolerance * np.linalg.norm(wanted) + 1e-8 / np.linalg.norm(exact, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_decomposition(shape: tuple[int, int], kind: str) -> None:
    features = KINDS[kind](*shape).float()
    for top_k in {1, 2, min(shape) // 2, min(shape)} - {0}:
        if kind == "flat" and 2 < top_k < min(shape):
            continue  # the k-th and the next are equal
        assert_close(features, top_k, 1e-4 if kind == "flat" else 1e-6)


@pytest.mark.parametrize("top_k", [1, 3, 10])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (64, 80)])
def test_directions_without_singular_value_have_no_gradient(shape: tuple[int, int], top_k: int) -> None:
    generator = torch.Generator().manual_seed(1)
    factors = [torch.randint(-3, 4, size, generator=generator).float() for size in ((shape[0], 3), (3, shape[1]))]
    if top_k <= 3:
        assert_close(factors[0] @ factors[1], top_k, 1e-6, rank=3)
        return
    top_k = min(shape)  # more than there are
    value, gradient = value_and_gradient(
        lambda z: dominant_singular_value_loss(z, top_k=top_k), factors[0] @ factors[1]
    )
    assert value == pytest.approx(-1 / top_k, rel=1e-6)
    assert np.abs(gradient).max() < 1e-6


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (64, 128)])
def test_a_mean_of_10000_standard_deviations(shape: tuple[int, int]) -> None:
    assert_close(shifted(*shape).float(), 1, 1e-4)


@pytest.mark.parametrize("top_k", [2, 3, 5])
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_equal_singular_values_share_what_is_left_of_the_k_places(shape: tuple[int, int], top_k: int) -> None:
    features = repeated(*shape)
    found = shares(features, top_k)
    gradient = (found.matrix @ features if shape[0] < shape[1] else features @ found.matrix.T).numpy()
    assert found.share.item() == pytest.approx(-naive.dominant(features.numpy(), top_k), rel=1e-9)
    u, values, vh = np.linalg.svd(features.numpy(), full_matrices=False)
    places = np.r_[1.0, np.full(11, (top_k - 1) / 11)]
    wanted = (u * ((values[:top_k].sum() / values.sum() - places) / (top_k * values.sum()))) @ vh
    assert np.linalg.norm(gradient - wanted) < 1e-6 * np.linalg.norm(wanted)


@pytest.mark.parametrize("top_k", [1, 5])
def test_the_diagnosis_tells_a_gap_from_none(top_k: int) -> None:
    values = torch.logspace(0, -1, 12, dtype=torch.float64)
    apart = shares(with_singular_values(12, 20, values), top_k)
    values[top_k] = values[top_k - 1]
    equal = shares(with_singular_values(12, 20, values), top_k)
    assert abs(apart.undecided.item()) < 1e-9
    assert equal.undecided.item() == pytest.approx(0.5, abs=0.01)  # two halves
    assert max(apart.residual.item(), equal.residual.item()) < 1e-12


def test_an_iteration_that_has_not_converged_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_products, "STEPS", matrix_products.STEPS[:9])
    found = shares(conditioned(8, 20), 2)
    assert found.residual > matrix_products.TOLERANCE
    assert found.share.isnan()
    assert dominant_singular_value_loss(conditioned(8, 20).float()).isnan()


def test_the_steps_are_the_minimax_polynomials() -> None:
    best = composition(3e-8, len(matrix_products.STEPS) - 2)
    wanted = [polynomial for polynomial, _ in best[: len(matrix_products.STEPS) - 2]]
    np.testing.assert_allclose(matrix_products.STEPS[:-2], wanted, atol=1e-6)
    x = np.geomspace(3e-8, 1, 10_000)
    for step in matrix_products.STEPS:
        x = np.array(step) @ np.stack([x, x**3, x**5])
    assert np.abs(x - 1).max() < 1e-10


@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_many_heads_at_once_get_what_each_gets_alone(shape: tuple[int, int]) -> None:
    def loss(z: Tensor) -> Tensor:
        return dominant_singular_value_loss(z, top_k=2)

    rows = torch.stack([gaussian(*shape, seed).float() for seed in range(3)])
    gradients = torch.func.vmap(torch.func.grad(loss))(rows)
    for one, gradient in zip(rows, gradients, strict=True):
        np.testing.assert_allclose(gradient, value_and_gradient(loss, one)[1], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_zero_tiny_and_non_finite_features(dtype: torch.dtype) -> None:
    for shape in [(4, 9), (9, 4), (4, 4)]:
        value, gradient = value_and_gradient(dominant_singular_value_loss, torch.zeros(shape, dtype=dtype))
        assert value == 0
        assert not gradient.any()
        tiny = (torch.finfo(dtype).smallest_normal * gaussian(*shape)).to(dtype)
        value, gradient = value_and_gradient(dominant_singular_value_loss, tiny)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        for bad in (torch.nan, torch.inf):
            features = gaussian(*shape).to(dtype)
            features[1, 2] = bad
            assert not dominant_singular_value_loss(features).isfinite()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.slow
def test_compiles_to_one_graph_in_which_it_is_one_operation(top_k: int) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    def loss(features: Tensor) -> Tensor:
        return dominant_singular_value_loss(features, top_k=top_k)

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=keep)
    for rows in (4, 5):
        features = gaussian(rows, 7).float().requires_grad_()
        wanted, got = loss(features), compiled(features)
        torch.testing.assert_close(got, wanted)
        torch.testing.assert_close(torch.autograd.grad(got, features), torch.autograd.grad(wanted, features))
    torch.compiler.reset()
    nodes = sum(
        len(list(module.graph.nodes)) for module in graphs[0].modules() if isinstance(module, torch.fx.GraphModule)
    )
    assert nodes < 150
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_operation_is_registered_as_it_behaves() -> None:
    gram = gaussian(5, 9) @ gaussian(5, 9).T
    torch.library.opcheck(matrix_products._opaque, (gram, 2, 0.0))


WAITING = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim",
    "lift_fresh", "_linalg_check_errors", "_linalg_eigh", "linalg_eig", "_linalg_svd", "linalg_qr",
    "linalg_cholesky_ex", "_linalg_solve_ex", "linalg_inv_ex", "linalg_lu_factor_ex", "linalg_lstsq", "geqrf",
}  # fmt: skip


class NothingWaits(TorchDispatchMode):
    """An error for every operation that waits for a GPU, has a size that depends on data, or is LAPACK's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        masks = [index for index in (args[1] if name in ("index", "index_put_") else ()) if index is not None]
        assert name not in WAITING, f"{name} waits for the device"
        assert all(mask.dtype != torch.bool for mask in masks), "a mask as an index waits for the device"
        device = (kwargs or {}).get("device")
        assert name != "_to_copy" or device in (None, args[0].device), "a copy between devices waits"
        return func(*args, **(kwargs or {}))


def test_the_guard_sees_what_waits() -> None:
    value = torch.ones(3, 3)
    for wait in (
        lambda: value.sum().item(),
        lambda: bool(value.any()),
        lambda: value[value > 0],
        lambda: torch.linalg.eigh(value),
        lambda: torch.linalg.svdvals(value),
        lambda: torch.tensor([1.0]),
    ):
        with pytest.raises(AssertionError, match="waits"), NothingWaits():
            wait()


def test_on_a_cpu_the_guard_sees_the_eigendecomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert matrix_products.is_taken(torch.device("cuda"))
    assert not matrix_products.is_taken(torch.device("cpu"))
    with pytest.raises(AssertionError, match="_linalg_eigh waits"), NothingWaits():
        dominant_singular_value_loss(gaussian(4, 6).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_nothing_in_a_training_step_waits(shape: tuple[int, int], top_k: int, dtype: torch.dtype) -> None:
    features, reference = gaussian(*shape).to(dtype).requires_grad_(), gaussian(*shape, seed=1).to(dtype)
    targets = torch.arange(shape[0]) % 4
    weights = {"consistency_weight": 1.0, "covariance_weight": 0.3, "dominant_weight": 0.5, "top_k": top_k}
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        head = NMTune(shape[1], 4, hidden_features=12, label_smoothing=0.1, input_noise=0.0, **weights).to(dtype)
        layers = torch.nn.ModuleList([torch.nn.Linear(shape[1], shape[1]), torch.nn.Linear(shape[1], 4)]).to(dtype)
    criterion = NMTuneLoss(label_smoothing=0.1, **weights)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    with NothingWaits():
        covariance_loss(features).backward()
        dominant_singular_value_loss(features, top_k=top_k).backward()
        consistency_loss(features, reference, reduction="batchmean").backward()
        nmtune_regularization(features, reference, **weights).total.backward()
        head.loss(features, targets).total.backward()
        head.loss(features, targets, reference=reference).total.backward()
        head.regularization(features).total.backward()
        optimizer.step()
        optimizer.zero_grad()
        tuned = layers[0](features)
        criterion(layers[1](tuned), targets, tuned=tuned, reference=reference).total.backward()
        criterion(layers[1](tuned.detach()), targets, tuned=None).total.backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
