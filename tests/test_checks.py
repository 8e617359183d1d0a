"""Checks at the public boundary: what passes, and what the messages say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from noisymodel._checks import check_choice, check_integer, check_number, check_rows, check_seed


@pytest.mark.parametrize("value", [0, 7, np.int64(3), torch.tensor(5)])
def test_integers_pass_as_python_integers(value: object) -> None:
    number = check_integer(value, "count")
    assert type(number) is int
    assert number == value


@pytest.mark.parametrize("value", [True, np.bool_(True), 1.0, "3", None, [1]])
def test_what_is_no_integer_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="`count` must be an integer, got "):
        check_integer(value, "count")


def test_integers_have_a_minimum() -> None:
    assert check_integer(2, "count", minimum=2) == 2
    with pytest.raises(ValueError, match="`count` must be at least 2, got 1"):
        check_integer(1, "count", minimum=2)


def test_seeds() -> None:
    assert check_seed(2**63 - 1) == 2**63 - 1
    for bad in (-1, 2**63):
        with pytest.raises(ValueError, match=rf"`order` must be in \[0, 2\*\*63\), got {bad}"):
            check_seed(bad, "order")


@pytest.mark.parametrize("value", [0, 0.5, np.float32(1), torch.tensor(0.25)])
def test_numbers_pass_as_floats(value: object) -> None:
    number = check_number(value, "rate", minimum=0, maximum=1)
    assert type(number) is float
    assert number == value


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-0.1, {"minimum": 0, "maximum": 1}, r"`rate` must be in \[0, 1\], got -0\.1"),
        (1.1, {"minimum": 0, "maximum": 1}, r"`rate` must be in \[0, 1\], got 1\.1"),
        (0, {"minimum": 0, "exclusive_minimum": True}, r"`rate` must be in \(0, inf\), got 0"),
        (math.nan, {}, r"`rate` must be in \(-inf, inf\), got nan"),
        (math.inf, {}, r"`rate` must be in \(-inf, inf\), got inf"),
    ],
)
def test_numbers_out_of_range(value: float, bounds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_number(value, "rate", **bounds)


@pytest.mark.parametrize("value", ["0.5", b"1", True, None, [0.5]])
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="`rate` must be a number, got "):
        check_number(value, "rate")


def test_choices_are_listed() -> None:
    check_choice(None, "norm", ("batch", None))
    with pytest.raises(ValueError, match="`norm` must be one of 'batch', None, got 'bach'"):
        check_choice("bach", "norm", ("batch", None))


def test_rows() -> None:
    rows = torch.zeros(2, 3, 4)
    assert check_rows(rows) is rows
    assert check_rows(torch.zeros(4), num_features=4).shape == (4,)


@pytest.mark.parametrize(
    ("value", "width", "error", "message"),
    [
        (
            np.zeros((2, 3)),
            None,
            TypeError,
            "`features` must be a torch tensor, got ndarray; torch.as_tensor makes one",
        ),
        (torch.zeros(2, 3, dtype=torch.long), None, TypeError, r"must be floating point, got torch.int64; \.float\(\)"),
        (torch.zeros(3), None, ValueError, r"must have shape \(\.\.\., D\) with rows, got \(3,\)"),
        (torch.zeros(()), 3, ValueError, r"must have shape \(\.\.\., D\) with rows, got \(\)"),
        (torch.zeros(2, 0), None, ValueError, r"must have at least one feature, got shape \(2, 0\)"),
        (torch.zeros(2, 3), 4, ValueError, r"must have 4 features in the last dimension, got shape \(2, 3\)"),
    ],
)
def test_what_are_no_rows(value: object, width: int | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_rows(value, num_features=width)
