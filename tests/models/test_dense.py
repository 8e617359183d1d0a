"""Dense features: the rule, masks, sizes, draws; against loops over pixels and tokens."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from noisymodel import LinearProbe, NMTune, TunedModel
from noisymodel.losses import covariance_loss
from noisymodel.models import RowSampler, channels_last
from noisymodel.models.dense import FeatureRows
from reference import losses as naive

B, D, H, W, K = 2, 6, 4, 5, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def values(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


class Same(nn.Module):
    """A backbone whose features are its inputs."""

    def forward(self, values, attention_mask=None):
        return values


def dense(head=None, **options):
    head = NMTune(D, K, generator=generator(1), input_noise=0.0) if head is None else head
    return TunedModel(Same(), head, freeze=True, pooling=None, **options).eval()


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((2, 3), (2, 3)), ((2, 3, 4), (2, 3, 4)), ((2, 3, 4, 5), (2, 4, 5, 3)), ((2, 3, 4, 5, 6), (2, 4, 5, 6, 3))],
)
def test_the_rule(shape, wanted):
    assert channels_last(torch.zeros(shape)).shape == wanted
    with pytest.raises(ValueError, match=r"`features` must be \(B, D\), \(B, T, D\) or \(B, D, H, W\), got \(3,\)"):
        channels_last(torch.zeros(3))


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple), masked=st.booleans(), seed=st.integers(0, 99)
)
def test_rows_spread_to_where_they_came_from(shape, masked, seed):
    features = values(*shape, seed=seed)
    mask = (values(*shape[:2], seed=seed) > 0) if masked and len(shape) == 3 else None
    rows = FeatureRows.of(features, mask)
    wanted = features if mask is None else features * mask[..., None]
    assert torch.equal(rows.spread(rows.rows), wanted)
    assert torch.equal(rows.same_rows_of(features, "reference"), rows.rows)


def test_maps_are_classified_pixel_by_pixel():
    tuned, features = dense(), values(B, D, H, W)
    targets = torch.randint(K, (B, H, W), generator=generator())
    output = tuned(features, targets=targets)
    assert output.logits.shape == (B, K, H, W)
    assert output.tuned.shape == output.features.shape == (B, D, H, W)
    for b, i, j in np.ndindex(B, H, W):
        torch.testing.assert_close(output.logits[b, :, i, j], tuned.head(features[b, :, i, j]))
    torch.testing.assert_close(output.terms.task, functional.cross_entropy(output.logits, targets))
    rows = np.stack([output.tuned[b, :, i, j].detach().numpy() for b, i, j in np.ndindex(B, H, W)]).astype(float)
    of_features = np.stack([features[b, :, i, j].numpy() for b, i, j in np.ndindex(B, H, W)]).astype(float)
    np.testing.assert_allclose(output.terms.covariance.item(), naive.covariance(rows), rtol=1e-5)
    np.testing.assert_allclose(output.terms.dominant.item(), naive.dominant(rows, 1), rtol=1e-5)
    np.testing.assert_allclose(
        output.terms.consistency.item(), naive.consistency(rows, of_features, "batchmean"), rtol=1e-5
    )
    soft = values(B, K, H, W).softmax(1)
    wanted = functional.cross_entropy(output.logits, soft)
    torch.testing.assert_close(tuned(features, targets=soft).terms.task, wanted)


def test_logits_are_resized_to_targets_of_another_size_and_ignored_pixels_do_not_count():
    tuned, features = dense(ignore_index=255), values(B, D, H, W)
    targets = torch.randint(K, (B, 4 * H, 4 * W), generator=generator())
    targets[:, :5] = 255
    output = tuned(features, targets=targets)
    assert output.logits.shape == (B, K, H, W)
    resized = functional.interpolate(output.logits, size=(4 * H, 4 * W), mode="bilinear", align_corners=False)
    torch.testing.assert_close(output.terms.task, functional.cross_entropy(resized, targets, ignore_index=255))
    all_rows = channels_last(output.tuned).reshape(-1, D)
    torch.testing.assert_close(output.terms.covariance, covariance_loss(all_rows))
    with pytest.raises(ValueError, match=r"`targets` must be class ids of shape \(2, 4, 5\).*got shape \(1, 8, 8\)"):
        tuned(features, targets=torch.zeros(1, 8, 8, dtype=torch.long))


def test_tokens_that_the_mask_leaves_out_do_not_pass_the_head():
    features, mask = values(B, 7, D), torch.ones(B, 7)
    mask[0, 4:] = mask[1, :3] = 0
    targets = torch.randint(K, (B, 7), generator=generator())
    kept = mask.bool()
    tuned = dense().train()
    alone = copy.deepcopy(tuned)
    output = tuned(features, attention_mask=mask, targets=targets)
    wanted = alone(features[kept], targets=targets[kept])
    torch.testing.assert_close(output.terms, wanted.terms)
    torch.testing.assert_close(output.logits[kept], wanted.logits)
    assert output.logits.shape == (B, 7, K)
    assert (output.logits[~kept] == 0).all()
    assert (output.tuned[~kept] == 0).all()
    torch.testing.assert_close(tuned.head.state_dict(), alone.head.state_dict())  # BatchNorm saw the same rows
    given = values(B, 7, D, seed=3)
    one, other = (
        m.eval()(x, regularize=True, reference=r, **k)
        for m, x, r, k in (
            (tuned, features, given, {"attention_mask": mask}),
            (alone, features[kept], given[kept], {}),
        )
    )
    torch.testing.assert_close(one.terms, other.terms)


def test_both_views_of_maps_are_pixel_by_pixel():
    tuned, strong, weak = dense(), values(B, D, H, W), values(B, D, H, W, seed=1)
    targets = torch.randint(K, (B, H, W), generator=generator())
    output = tuned(strong, targets=targets, reference_inputs=weak, both_views=True)
    z_strong, z_weak = (
        channels_last(tuned(view, return_features=True).tuned).reshape(-1, D) for view in (strong, weak)
    )
    torch.testing.assert_close(output.terms.covariance, covariance_loss(torch.cat([z_strong, z_weak])))
    logits = torch.cat([tuned(strong), tuned(weak)])
    torch.testing.assert_close(output.terms.task, functional.cross_entropy(logits, torch.cat([targets, targets])))


def test_statistics_of_drawn_rows_task_of_all():
    tuned, features = dense(max_rows=9, seed=3).train(), values(B, D, H, W)
    tuned.head.eval()
    targets = torch.randint(K, (B, H, W), generator=generator())
    given, weak = values(B, D, H, W, seed=4), values(B, D, H, W, seed=5)
    draw = RowSampler(9, seed=3)
    for _ in range(3):
        drawn = draw(B * H * W)
        output = tuned(features, targets=targets, reference=given)
        z, f = (channels_last(x).reshape(-1, D)[drawn].detach().double().numpy() for x in (output.tuned, given))
        np.testing.assert_allclose(output.terms.covariance.item(), naive.covariance(z), rtol=1e-5)
        np.testing.assert_allclose(output.terms.dominant.item(), naive.dominant(z, 1), rtol=1e-5)
        np.testing.assert_allclose(output.terms.consistency.item(), naive.consistency(z, f, "batchmean"), rtol=1e-5)
        torch.testing.assert_close(output.terms.task, functional.cross_entropy(output.logits, targets))
    drawn = draw(B * H * W)
    output = tuned(features, targets=targets, reference_inputs=weak, both_views=True)
    views = [channels_last(tuned(view, return_features=True).tuned).reshape(-1, D)[drawn] for view in (weak, features)]
    torch.testing.assert_close(output.terms.covariance, covariance_loss(torch.cat(views)))


def test_sampler_draws_anew_in_training_stands_still_in_evaluation_and_goes_on_where_it_was():
    sampler = RowSampler(10, seed=0)
    first, second = sampler(100), sampler(100)
    assert len(first) == len(first.unique()) == 10
    assert torch.equal(first, first.sort().values)
    assert not torch.equal(first, second)
    other = RowSampler(10, seed=0)
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(other(100), sampler(100))
    assert not torch.equal(RowSampler(10, seed=1)(100), first)
    sampler.eval()
    assert torch.equal(sampler(100), sampler(100))
    assert sampler(10) is None
    assert "max_rows=10, seed=0" in repr(sampler)
    with pytest.raises(ValueError, match="`max_rows` must be at least 1, got 0"):
        RowSampler(0)
    counts = torch.zeros(20)
    train = RowSampler(5, seed=7)
    for _ in range(400):
        counts[train(20)] += 1
    assert counts.min() > 60  # 100 expected, standard deviation 8.7
    assert counts.max() < 140


def test_maps_with_channels_last_are_an_error_that_says_the_rule():
    with pytest.raises(ValueError, match=r"shape \(2, 4, 5, 6\), that is 4 features by the rule of `channels_last`"):
        dense(LinearProbe(D, K, generator=generator()))(values(B, H, W, D))
