"""Singular values and vectors by either decomposition, and the share that comes from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel.losses.decomposition import leading_share, of_gram, of_rows
from reference import losses as naive
from reference.matrices import conditioned, gaussian


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5)])
def test_values_ascend_and_vectors_are_those_of_the_smaller_side(shape: tuple[int, int]) -> None:
    rows = gaussian(*shape)
    smaller = rows if shape[0] < shape[1] else rows.mT
    gram = smaller @ smaller.mT
    for values, vectors in (of_gram(gram), of_rows(rows)):
        np.testing.assert_allclose(values.flip(0), np.linalg.svd(rows.numpy(), compute_uv=False), rtol=1e-9)
        torch.testing.assert_close((vectors * values.square()) @ vectors.mT, gram)


def test_what_is_noise_is_zero() -> None:
    rows = gaussian(8, 3) @ gaussian(3, 12, 1)
    for values, _ in (of_gram(rows @ rows.mT), of_rows(rows)):
        assert (values[:5] == 0).all()
        assert (values[5:] > 0).all()


def test_small_singular_values_keep_their_digits_where_rows_are_float64() -> None:
    rows = conditioned(20, 8)
    wanted = torch.logspace(0, -4, 8, dtype=torch.float64).flip(0)
    torch.testing.assert_close(of_rows(rows)[0], wanted, rtol=1e-11, atol=0)
    assert (of_gram(rows.mT @ rows)[0] / wanted - 1).abs().max() < 1e-7


@pytest.mark.parametrize("top_k", [1, 3])
def test_the_share_and_its_gradient(top_k: int) -> None:
    rows = gaussian(5, 9)
    share, matrix = leading_share(*of_gram(rows @ rows.mT), top_k, floor=0.0)
    assert -share.item() == pytest.approx(naive.dominant(rows.numpy(), top_k))
    np.testing.assert_allclose(matrix @ rows, naive.dominant_gradient(rows.numpy(), top_k), atol=1e-12)


def test_numbers_that_are_none_are_left_to_the_term() -> None:
    for bad in (torch.nan, torch.inf):
        rows = gaussian(3, 5)
        rows[1, 2] = bad
        assert of_rows(rows)[0].isfinite().all()
        assert of_gram(rows @ rows.mT)[0].isfinite().all()
