from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune
from noisymodel.heads.normalization import root_mean_square, unit_rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(count=9, features=6, seed=1):
    return torch.randn(count, features, generator=generator(seed), dtype=torch.float64)


def test_rows_get_the_length_of_the_root_of_their_number():
    features = rows()
    expected = features.numpy() * 6**0.5 / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    np.testing.assert_allclose(unit_rows(features).numpy(), expected, rtol=1e-14)
    np.testing.assert_allclose(
        root_mean_square(features)[:, 0].numpy(), np.sqrt((features.numpy() ** 2).mean(1)), rtol=1e-14
    )
    assert unit_rows(features.reshape(3, 3, 6)).shape == (3, 3, 6)
    assert unit_rows(features[:0]).shape == (0, 6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_scale_matters(dtype):
    features = rows().to(dtype)
    expected = unit_rows(features.double())
    scales = [2.0**-10, 2.0**10] if dtype == torch.float16 else [1e-30, 1e30]
    for scale in [1.0, *scales]:
        got = unit_rows(features * scale)
        assert got.dtype == dtype
        torch.testing.assert_close(
            got.double(), expected, atol=4 * torch.finfo(dtype).eps, rtol=2 * torch.finfo(dtype).eps
        )


def test_gradients():
    assert torch.autograd.gradcheck(unit_rows, rows(3).requires_grad_())
    features = rows(4).float()
    features[1] = 0
    for scale in (1e-30, 1.0, 1e30):
        scaled = (features * scale).requires_grad_()
        unit_rows(scaled).square().sum().backward()
        assert torch.isfinite(scaled.grad).all()
    assert torch.equal(unit_rows(features)[1], torch.zeros(6))
    for bad in (torch.nan, torch.inf):
        features[2, 3] = bad
        assert unit_rows(features)[2].isnan().any()
        assert unit_rows(features)[[0, 1, 3]].isfinite().all()


def test_answers_do_not_depend_on_the_scale_unless_told_to():
    for make in (NMTune, MLPProbe, LinearProbe):
        head = make(6, 3, generator=generator()).double().eval()
        expected = head(rows())
        for scale in (1e-100, 100.0, 1e100):
            torch.testing.assert_close(head(rows() * scale), head(rows()))
            torch.testing.assert_close(
                head.loss(rows() * scale, torch.arange(9) % 3), head.loss(rows(), torch.arange(9) % 3)
            )
        assert head.loss(torch.zeros(4, 6).double(), torch.arange(4) % 3).total.isfinite()
        plain = make(6, 3, normalize=None, generator=generator()).double().eval()
        assert not torch.allclose(plain(rows() * 100), plain(rows()))
        torch.testing.assert_close(plain(unit_rows(rows())), expected)


def test_given_references_are_compared_by_direction():
    head = NMTune(6, 3, generator=generator()).eval()
    features, other = rows().float(), rows(seed=3).float()
    expected = head.regularization(features, reference=other)
    assert expected.consistency > 0
    torch.testing.assert_close(head.regularization(features, reference=other * 1e30), expected)
