"""Interpolation over any state dictionaries: values, endpoints, types, what is left alone, and errors."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisymodel import MLPProbe
from noisymodel.baselines import interpolate


def head(seed: int) -> MLPProbe:
    generator = torch.Generator().manual_seed(seed)
    head = MLPProbe(6, 3, generator=generator)
    for _ in range(seed):  # different counts and running statistics
        head.tune(torch.randn(8, 6, generator=generator))
    return head


@pytest.fixture
def states() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return head(1).state_dict(), head(2).state_dict()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_against_the_formula(states, alpha: float) -> None:
    first, second = states
    before = copy.deepcopy(states)
    state = interpolate(first, second, alpha)
    assert list(state) == list(second)
    for name, value in state.items():
        if value.is_floating_point():
            expected = (1 - alpha) * first[name].double().numpy() + alpha * second[name].double().numpy()
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)
        else:
            assert name.endswith("num_batches_tracked")
            assert value == second[name] == 2
    torch.testing.assert_close(states, before, rtol=0, atol=0)
    MLPProbe(6, 3, generator=torch.Generator()).load_state_dict(state)


def test_endpoints_are_the_two_models_to_the_bit(states) -> None:
    first, second = states
    start, end = interpolate(first, second, [0, 1])
    for name, value in second.items():
        assert torch.equal(end[name], value)
        assert torch.equal(start[name], first[name] if value.is_floating_point() else value)


def test_many_alphas_are_as_many_calls(states) -> None:
    alphas = [0, 0.25, 0.9]
    for several in (alphas, tuple(alphas), np.array(alphas), torch.tensor(alphas, dtype=torch.float64)):
        for state, alpha in zip(interpolate(*states, several), alphas, strict=True):
            torch.testing.assert_close(state, interpolate(*states, alpha), rtol=0, atol=0)
    assert interpolate(*states, []) == []
    assert isinstance(interpolate(*states, np.float32(0.5)), dict)


@pytest.mark.parametrize(
    "include",
    [["network"], ("network",), lambda name: name.startswith("network"), iter(["network"])],
    ids=["list", "tuple", "function", "iterator"],
)
def test_the_trained_head_is_kept_and_may_be_missing_or_of_another_shape(states, include) -> None:
    first, second = states
    first = {name: value for name, value in first.items() if not name.startswith("classifier")}
    first["classifier.weight"] = torch.zeros(7, 6)
    first["zero_shot_head"] = torch.zeros(2)
    state = interpolate(first, second, 0.5, include=include)
    assert list(state) == list(second)
    for name, value in state.items():
        kept = name.startswith("classifier") or not value.is_floating_point()
        expected = second[name] if kept else (first[name] + second[name]) / 2
        torch.testing.assert_close(value, expected)


def test_names_stand_for_whole_modules_not_for_beginnings() -> None:
    first = {"a": torch.zeros(1), "a.x": torch.zeros(1), "ab": torch.zeros(1)}
    second = {name: torch.ones(1) for name in first}
    state = interpolate(first, second, 0.25, include=["a"])
    assert {name: value.item() for name, value in state.items()} == {"a": 0.25, "a.x": 0.25, "ab": 1.0}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.complex64])
def test_types_are_kept_and_computed_in_float32_or_better(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(100, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    value = interpolate({"w": a}, {"w": b}, 0.3)["w"]
    assert value.dtype == dtype
    wide = torch.complex128 if dtype.is_complex else torch.float64
    expected = 0.7 * a.to(wide) + 0.3 * b.to(wide)
    assert (value.to(wide) - expected).abs().max() <= torch.finfo(dtype).eps * expected.abs().max()


def test_mixed_types_take_the_second_s() -> None:
    wide, narrow = torch.full((3,), 1 / 3, dtype=torch.float64), torch.ones(3, dtype=torch.bfloat16)
    assert interpolate({"w": wide}, {"w": narrow}, 0.5)["w"].dtype == torch.bfloat16
    assert interpolate({"w": narrow}, {"w": wide}, 0.25)["w"][0].item() == pytest.approx(0.75 + 0.25 / 3, rel=1e-15)


def test_infinite_entries_that_are_equal_stay() -> None:
    mask = torch.tensor([0.0, -math.inf])
    assert torch.equal(interpolate({"mask": mask}, {"mask": mask.clone()}, 0.5)["mask"], mask)


def test_tied_tensors_stay_tied() -> None:
    def tied(seed: int) -> dict[str, Tensor]:
        weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        return {"input": weight, "output": weight, "part": weight[:2]}

    first, second = tied(0), tied(1)
    state = interpolate(first, second, 0.5)
    assert state["input"] is state["output"]
    torch.testing.assert_close(state["part"], (first["part"] + second["part"]) / 2)
    untied = {**second, "output": second["output"] + 1}
    state = interpolate(first, untied, 0.5)
    torch.testing.assert_close(state["output"], (first["output"] + untied["output"]) / 2)
    torch.testing.assert_close(state["input"], (first["input"] + second["input"]) / 2)


def test_results_carry_no_gradient() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))
    state = interpolate({"w": first, "h": first}, {"w": second, "h": second}, 0.5, include=["w"])
    assert not any(value.requires_grad for value in state.values())


def test_errors(states) -> None:
    first, second = states
    less = {name: value for name, value in first.items() if name != "classifier.bias"}
    with pytest.raises(ValueError, match=r"`first` must have the names .*'classifier.bias' missing.*`include`"):
        interpolate(less, second, 0.5)
    with pytest.raises(ValueError, match=r"`second` must have the names .*'classifier.bias' missing"):
        interpolate(second, less, 0.5)
    with pytest.raises(ValueError, match=r"'classifier.bias', 'classifier.weight', 'network.*' and \d+ more missing"):
        interpolate({}, second, 0.5)
    wrong = {**first, "classifier.weight": torch.zeros(4, 6)}
    with pytest.raises(ValueError, match=r"shape \(3, 6\) of `second` under 'classifier.weight', got \(4, 6\)"):
        interpolate(wrong, second, 0.5)
    with pytest.raises(ValueError, match=r"`alpha` must be in \[0, 1\], got 1\.5"):
        interpolate(first, second, [0.5, 1.5])
    with pytest.raises(TypeError, match="`alpha` must be a number, got 'a'"):
        interpolate(first, second, "a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`include` must match a name of `second`, got \['backbone'\]"):
        interpolate(first, second, 0.5, include=["backbone"])
    with pytest.raises(TypeError, match=r"`include` must be a function of a name or a list of names, got 'network'"):
        interpolate(first, second, 0.5, include="network")
    with pytest.raises(TypeError, match="`first` must hold tensors, got list under 'w'"):
        interpolate({"w": [1.0]}, {"w": torch.ones(1)}, 0.5)  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"must be torch\.float32 like `second` under 'w', got torch\.complex64"):
        interpolate({"w": torch.ones(1, dtype=torch.complex64)}, {"w": torch.ones(1)}, 0.5)
