"""Checks at the public boundary: what passes, and what the messages say."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from noisymodel._checks import (
    check_array,
    check_attention,
    check_choice,
    check_device,
    check_flag,
    check_generator,
    check_integer,
    check_number,
    check_rows,
    check_seed,
    check_sequence,
)


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


def test_flags_are_booleans() -> None:
    assert check_flag(np.True_, "edge") is True
    for value in ("False", "", 0, 1, None, [], torch.tensor(True)):
        with pytest.raises(TypeError, match="`edge` must be True or False, got "):
            check_flag(value, "edge")


def test_numbers_of_unusual_kinds() -> None:
    assert check_number(Fraction(1, 4), "rate") == check_number(np.array(0.25), "rate") == 0.25
    for value in (np.True_, 1j, np.datetime64("2020"), np.ma.masked, torch.tensor(True), torch.zeros(1), object()):
        with pytest.raises(TypeError, match="`rate` must be a number, got "):
            check_number(value, "rate")
    with pytest.raises(ValueError, match="`rate` must be in"):
        check_number(10**400, "rate")
    with pytest.raises(ValueError, match="`count` must be at most 9223372036854775807, got 9223372036854775808"):
        check_integer(2**63, "count")


def test_arrays() -> None:
    assert check_array([1, 2], "labels", kinds="iu").dtype == np.int64
    plain = np.ma.masked_array([1.0, 2.0], [False, False])
    assert type(check_array(plain, "rows")) is np.ndarray
    cases = [
        (np.ma.masked_array([1.0, 2.0], [False, True]), "must not hold masked values, got 1"),
        ([1.0, np.ma.masked], "a sequence of numbers, got list"),
        (torch.eye(2).to_sparse(), "must be a dense tensor"),
        (torch.empty(2, device="meta"), 'the device "meta"'),
        (np.array([1j]), "got complex128"),
        (np.array(["1"]), "got <U1"),
        ([1, None], "got object, with None in it"),
        ((number for number in range(3)), r"got generator; list\(...\) makes one"),
        ([[1], [1, 2]], "inhomogeneous"),
        ("12", "must be an array or a sequence, got str"),
    ]
    for value, message in cases:
        with pytest.raises(TypeError, match=f"`rows` .*{message}"):
            check_array(value, "rows")


def test_masks_devices_generators_and_sequences() -> None:
    assert check_attention([1, 0], "mask", (2,)).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"`mask` must hold 0 .padding. and 1 .token., got nan"):
        check_attention([1.0, math.nan], "mask", (2,))
    assert check_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"`device` must be the name of a device"):
        check_device("gpu")
    with pytest.raises(TypeError, match=r"`device` must be a torch.device or its name, got 1.5"):
        check_device(1.5)
    with pytest.raises(TypeError, match=r"`generator` must be a torch.Generator, got 3"):
        check_generator(3)
    for value in ("ab", {1: 2}, {1}, 3, np.array(1)):
        with pytest.raises(TypeError, match="`names` must be a sequence of names, got "):
            check_sequence(value, "names", "names")
