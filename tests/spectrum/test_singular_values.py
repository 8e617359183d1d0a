"""SVE, LSVR and effective rank of singular values: golden values, the naive reference, laws, kinds, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.spectrum import effective_rank, largest_singular_value_ratio, singular_value_entropy
from reference import spectrum as naive

FUNCTIONS = pytest.mark.parametrize(
    ("function", "reference"),
    [
        (singular_value_entropy, naive.entropy),
        (largest_singular_value_ratio, naive.largest_ratio),
        (effective_rank, lambda values: math.exp(naive.entropy(values))),
    ],
    ids=["entropy", "largest_ratio", "effective_rank"],
)
values = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


def test_known_values() -> None:
    assert singular_value_entropy([4.0, 3.0, 2.0, 1.0]) == pytest.approx(1.2798542258336674, rel=1e-12)
    assert largest_singular_value_ratio([4.0, 3.0, 2.0, 1.0]) == pytest.approx(math.log(10 / 4), rel=1e-12)
    assert effective_rank([4.0, 3.0, 2.0, 1.0]) == pytest.approx(3.5961154666243216, rel=1e-12)


@FUNCTIONS
@settings(deadline=None, max_examples=25)
@given(singular_values=values)
def test_equals_the_naive_reference(function, reference, singular_values: list[float]) -> None:
    expected = reference(singular_values)
    assert function(singular_values) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert function(np.array(singular_values)) == function(singular_values)
    assert function(torch.tensor(singular_values, dtype=torch.float64)).item() == function(singular_values)


@FUNCTIONS
@settings(deadline=None, max_examples=25)
@given(singular_values=values, scale=st.sampled_from([1e-280, 1e-3, 7.0, 1e280]))
def test_scale_order_and_zeros_change_nothing(function, reference, singular_values: list[float], scale: float) -> None:
    expected = pytest.approx(function(singular_values), rel=1e-9, abs=1e-12)
    assert function([scale * value for value in singular_values]) == expected
    assert function(singular_values[::-1]) == expected
    assert function([0.0, *singular_values, 0.0, 0.0]) == expected


@settings(deadline=None, max_examples=50)
@given(singular_values=values)
def test_bounds(singular_values: list[float]) -> None:
    ratio, entropy = largest_singular_value_ratio(singular_values), singular_value_entropy(singular_values)
    slack = 1e-12
    assert 0 <= ratio <= entropy + slack <= math.log(len(singular_values)) + 2 * slack
    assert effective_rank(singular_values) == pytest.approx(math.exp(entropy), rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 32])
def test_equal_values_are_the_upper_end(count: int) -> None:
    assert singular_value_entropy([3.0] * count) == pytest.approx(math.log(count), abs=1e-12)
    assert largest_singular_value_ratio([3.0] * count) == pytest.approx(math.log(count), abs=1e-12)
    assert effective_rank([3.0] * count) == pytest.approx(count, rel=1e-12)


def test_one_direction_is_the_lower_end() -> None:
    assert singular_value_entropy([5.0]) == largest_singular_value_ratio([5.0, 0.0]) == 0.0
    assert effective_rank([5.0, 0.0]) == 1.0


def test_the_ratio_keeps_its_accuracy_where_one_value_dominates() -> None:
    tail = 1e-20  # 1 + tail rounds to 1, so that -log(p) would be 0
    assert largest_singular_value_ratio([1.0, tail]) == pytest.approx(tail, rel=1e-12)


@FUNCTIONS
@pytest.mark.parametrize("zeros", [[0.0], [0.0, 0.0, 0.0]])
def test_zero_values_have_no_metric(function, reference, zeros: list[float]) -> None:
    assert math.isnan(function(zeros))
    assert math.isnan(function(torch.tensor(zeros)))


@FUNCTIONS
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)],
    ids=str,
)
def test_tensors_keep_dtype_and_device(function, reference, dtype, tolerance, device: torch.device) -> None:
    tensor = torch.tensor([4.0, 3.0, 2.0, 1.0], device=device, dtype=dtype)
    result = function(tensor)
    assert (result.dtype, result.device.type, result.shape) == (dtype, device.type, ())
    assert result.item() == pytest.approx(reference([4.0, 3.0, 2.0, 1.0]), rel=tolerance)
    assert tensor.tolist() == [4.0, 3.0, 2.0, 1.0]


def test_half_precision_is_computed_in_double() -> None:
    many = torch.ones(100_000, dtype=torch.float16)  # their sum overflows float16
    assert singular_value_entropy(many).item() == pytest.approx(math.log(100_000), rel=1e-3)


@FUNCTIONS
def test_gradients_are_right_where_values_are_positive(function, reference) -> None:
    tensor = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (tensor,))


@FUNCTIONS
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_bad_values_are_refused(function, reference, kind) -> None:
    with pytest.raises(ValueError, match=r"`singular_values` must have shape \(Q,\) with Q >= 1, got \(0,\)"):
        function(kind([]))
    with pytest.raises(ValueError, match=r"must have shape \(Q,\) with Q >= 1, got \(2, 2\)"):
        function(kind([[1.0, 2.0], [3.0, 4.0]]))
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="`singular_values` must be finite and not negative"):
            function(kind([1.0, bad]))


@FUNCTIONS
def test_integer_tensors_are_refused(function, reference) -> None:
    with pytest.raises(TypeError, match=r"`singular_values` must be floating point, got torch.int64"):
        function(torch.tensor([2, 1]))
    assert function([2, 1]) == function([2.0, 1.0])
