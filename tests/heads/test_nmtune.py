from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune, NMTuneLoss
from noisymodel.heads import PRESETS
from reference import heads as reference


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(count=9, features=6, seed=1):
    return torch.randn(count, features, generator=generator(seed), dtype=torch.float64)


SETTINGS = [
    {"depth": 1, "norm": "batch", "residual": True, "normalize": None},
    {"depth": 2, "norm": "layer", "residual": False},
    {"depth": 1, "norm": None, "residual": True, "hidden_features": 3, "normalize": "l2"},
]
PLAIN = {"consistency_weight": 1.0, "covariance_weight": 1.0, "dominant_weight": 1.0, "reduction": "mean"}
OBJECTIVES = [
    {"consistency_weight": 1.0, "covariance_weight": 0.04, "dominant_weight": 0.001, "top_k": 5},
    {"consistency_weight": 0.5, "covariance_weight": 2.0, "dominant_weight": 3.0, "reduction": "batchmean"},
    {"label_smoothing": 0.3, "top_k": 2},
]


@pytest.mark.parametrize("network", SETTINGS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_against_the_definition(network, objective):
    head = NMTune(6, 4, **network, **{**PLAIN, **objective}, input_noise=0.0, generator=generator()).double()
    features, labels = rows(), torch.arange(9) % 4
    with torch.no_grad():
        for parameter in head.parameters():  # away from the start, where scales are one and biases zero
            parameter.add_(torch.randn(parameter.shape, generator=generator(2), dtype=torch.float64), alpha=0.1)
    state = {name: tensor.numpy() for name, tensor in head.state_dict().items() if tensor.ndim}
    for name in [name for name in state if "running" in name]:
        del state[name]
    names = ("depth", "norm", "residual")
    seen = features.numpy()
    if network.get("normalize", "l2"):
        seen = seen * 6**0.5 / np.linalg.norm(seen, axis=1, keepdims=True)
    tuned = reference.tune(seen, state, **{name: network[name] for name in names})
    logits = tuned @ state["classifier.weight"].T + state["classifier.bias"]
    task = reference.cross_entropy(logits, labels.numpy(), objective.get("label_smoothing", 0.0))
    parts = reference.terms(
        features.numpy(), tuned, top_k=objective.get("top_k", 1), reduction=objective.get("reduction", "mean")
    )
    weights = [objective.get(f"{name}_weight", 1.0) for name in ("consistency", "covariance", "dominant")]

    output = head(features, return_features=True)
    np.testing.assert_allclose(output.tuned.detach().numpy(), tuned, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(output.logits.detach().numpy(), logits, rtol=1e-9, atol=1e-12)
    got = [term.item() for term in head.loss(features, labels)]
    np.testing.assert_allclose(got, [task + np.dot(weights, parts), task, *parts], rtol=1e-8)


def test_reference_is_the_input_detached_unless_given():
    head = NMTune(6, 4, input_noise=0.0, generator=generator()).double()
    features = rows().requires_grad_()
    other = rows(seed=5)
    own = head.regularization(features)
    assert head.regularization(features, reference=features.detach()).consistency == own.consistency
    given = head.regularization(features, reference=other)
    assert given.consistency != own.consistency
    torch.testing.assert_close((given.covariance, given.dominant), (own.covariance, own.dominant))
    assert head.loss(features, torch.arange(9) % 4, reference=other).consistency == given.consistency

    only_consistency = NMTune(
        6, 4, input_noise=0.0, covariance_weight=0, dominant_weight=0, generator=generator()
    ).double()
    (through_tuned,) = torch.autograd.grad(only_consistency.regularization(features).consistency, features)
    frozen = features.detach().clone()
    (expected,) = torch.autograd.grad(only_consistency.regularization(features, reference=frozen).consistency, features)
    torch.testing.assert_close(through_tuned, expected)


def test_presets():
    paper = NMTune.from_preset("paper", 8, 3, generator=generator()).config()
    official = NMTune.from_preset("official", 8, 3, generator=generator()).config()
    shared = {"in_features": 8, "num_classes": 3, "hidden_features": 32, "depth": 1, "norm": "batch", "dropout": 0.0}
    shared |= {"reduction": "mean", "label_smoothing": 0.0, "gather": False, "normalize": None, "input_noise": 0.0}
    weights = ("consistency_weight", "covariance_weight", "dominant_weight")
    assert paper == {**shared, **dict.fromkeys(weights, 0.01), "top_k": 1, "residual": False} | {
        "classifier_init": "linear"
    }
    assert official == {
        **shared,
        **dict(zip(weights, (1.0, 0.04, 0.001), strict=True)),
        "top_k": 5,
        "residual": True,
    } | {"classifier_init": "kaiming"}


def test_presets_can_be_overridden():
    head = NMTune.from_preset("official", 8, 3, top_k=2, norm=None, generator=generator())
    assert (head.objective.top_k, head.network.norm, head.objective.covariance_weight) == (2, None, 0.04)
    assert PRESETS["official"]["top_k"] == 5
    with pytest.raises(ValueError, match="`preset` must be one of 'paper', 'official', got 'pape'"):
        NMTune.from_preset("pape", 8, 3)
    for unhashable in (["paper"], {"paper"}, np.array(["paper", "official"])):
        with pytest.raises(ValueError, match="`preset` must be one of 'paper', 'official', got"):
            NMTune.from_preset(unhashable, 8, 3)
    with pytest.raises(TypeError, match="lambda_"):
        NMTune.from_preset("paper", 8, 3, lambda_=1)


@pytest.mark.parametrize("settings", [{}, {"depth": 2, "norm": "layer", "hidden_features": 5, "residual": False}])
def test_nmtune_and_mlp_begin_alike(settings):
    one, other = (head(6, 4, generator=generator(3), **settings) for head in (NMTune, MLPProbe))
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    more_classes = MLPProbe(6, 9, generator=generator(3), **settings)
    torch.testing.assert_close(one.network.state_dict(), more_classes.network.state_dict(), rtol=0, atol=0)


def test_top_k_beyond_the_features():
    with pytest.raises(ValueError, match="`top_k` must be at most `in_features` = 4, got 5"):
        NMTune.from_preset("official", 4, 3)


def test_weights_may_change_while_training():
    head = NMTune(6, 4, input_noise=0.0, covariance_weight=1.0, generator=generator()).double()
    before = head.loss(rows(), torch.arange(9) % 4)
    head.objective.covariance_weight = 3.0
    after = head.loss(rows(), torch.arange(9) % 4)
    torch.testing.assert_close(after.total - before.total, 2 * before.covariance)


def parameters_of(function):
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def test_signatures_agree():
    """One name and one default for the same thing, whichever head or criterion it belongs to."""
    nmtune, loss = parameters_of(NMTune), parameters_of(NMTuneLoss)
    assert loss.keys() <= nmtune.keys()
    mlp = parameters_of(MLPProbe)
    assert {**mlp, "input_noise": nmtune["input_noise"]}.items() <= nmtune.items()
    assert nmtune.keys() - mlp.keys() == {*loss} - {"label_smoothing", "gather"}
    assert parameters_of(LinearProbe).items() <= mlp.items()


def test_config_has_every_argument():
    for head in (NMTune, MLPProbe, LinearProbe):
        expected = set(inspect.signature(head).parameters) - {"generator"}
        assert set(head(6, 4, generator=generator()).config()) == expected


def test_config_says_true_for_a_process_group(tmp_path):
    for head in (NMTune(6, 4, generator=generator()), LinearProbe(6, 4, generator=generator())):
        head.objective.gather = object()  # stands for a group, which no file can hold
        assert head.config()["gather"] is True
        head.save_pretrained(tmp_path)
        assert type(head).from_pretrained(tmp_path).objective.gather is True


def test_compiles_in_one_graph():
    head = NMTune(6, 4, generator=generator(), input_noise=0.0)
    compiled = torch.compile(head, backend="eager", fullgraph=True)
    features = rows().float()
    torch.testing.assert_close(compiled(features), head(features))
