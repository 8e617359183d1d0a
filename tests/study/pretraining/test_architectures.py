"""The built-in networks: what they compute, and that their initial values follow from the seed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisymodel import fit
from noisymodel._random import tensor_generator
from noisymodel.errors import ConfigError
from noisymodel.study.methods.tuned_network import TunedNetwork, towards_the_start, with_lora
from noisymodel.study.pretraining import Network, untrained
from noisymodel.study.pretraining.pictures import SmallVisionTransformer, small_resnet
from noisymodel.study.pretraining.texts import SmallTransformer
from study.pretraining.tiny_requests import LENGTH, SIDE, VOCABULARY, pictures, request, texts

BUILT_IN = {
    "mlp": ("mlp-64-12-6", 6),
    "resnet": ("resnet-4-6", 6),
    "vit": ("vit-4-8x1", 8),
    "transformer": ("transformer-8x1", 8),
}


def inputs_of(architecture: str, count: int = 12) -> Tensor:
    return torch.from_numpy(np.asarray((texts if architecture == "transformer" else pictures)(count).inputs))


def rows(inputs: Tensor) -> Tensor:
    return inputs.flatten(1).float()


def used(network: Network, architecture: str) -> Network:
    """With running statistics of its own, frozen."""
    network.train()
    network.features(inputs_of(architecture, 30))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("architecture", BUILT_IN)
def test_network_contract(architecture: str) -> None:
    network = used(untrained(request(architecture=architecture)), architecture)
    inputs = inputs_of(architecture)
    assert (network.name, network.num_features) == BUILT_IN[architecture]
    assert network.num_inputs == rows(inputs).shape[1]
    features = network.features(inputs)
    assert features.shape == (12, network.num_features)
    assert torch.equal(network.backbone(rows(inputs)), features)
    assert network(inputs).shape == (12, 3)
    alone = torch.cat([network.features(one[None]) for one in inputs])
    torch.testing.assert_close(alone, features, atol=1e-5, rtol=1e-4)
    assert features.std(0).max() > 0


@pytest.mark.parametrize("architecture", BUILT_IN)
def test_initial_values_follow_from_the_seed(architecture: str) -> None:
    one, again, other = (untrained(request(architecture=architecture, seed=seed)) for seed in (1, 1, 2))
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    different = [not torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()]
    assert any(different)
    for objective in ("contrastive", "masked_token"):
        if (objective == "masked_token") == (architecture == "transformer"):
            first, second = (untrained(request(objective, architecture, seed=seed)) for seed in (1, 2))
            weight = next(value for name, value in first.named_parameters() if value.ndim > 1)
            assert not torch.equal(weight, next(value for value in second.parameters() if value.ndim > 1)), objective


def test_residual_network_as_written_out() -> None:
    with torch.random.fork_rng():
        network = small_resnet((2, 7, 6), (4, 6))
    for index, value in enumerate(network.parameters()):
        nn.init.normal_(value, std=0.3, generator=tensor_generator(index))
    maps = torch.randn(5, 2, 7, 6, generator=tensor_generator(0))

    def norm(maps: Tensor, module: nn.BatchNorm2d) -> Tensor:
        mean, var = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), keepdim=True, unbiased=False)
        scale, shift = module.weight[:, None, None], module.bias[:, None, None]
        return (maps - mean) / (var + 1e-5).sqrt() * scale + shift

    def averages(maps: Tensor) -> Tensor:
        height, width = ((side + 1) // 2 for side in maps.shape[2:])
        parts = [maps[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i in range(height) for j in range(width)]
        return torch.stack([part.mean((2, 3)) for part in parts], dim=2).unflatten(2, (height, width))

    conv = nn.functional.conv2d
    _, first, first_norm, _, one, two, _, _ = network
    hidden = norm(conv(maps, first.weight, padding=1), first_norm).relu()
    for block, stride in ((one, 1), (two, 2)):
        inner = norm(conv(hidden, block.first.weight, stride=stride, padding=1), block.first_norm).relu()
        inner = norm(conv(inner, block.second.weight, padding=1), block.second_norm)
        skipped = hidden if stride == 1 else norm(conv(averages(hidden), block.shortcut[1].weight), block.shortcut[2])
        hidden = (inner + skipped).relu()
    assert hidden.shape == (5, 6, 4, 3)
    torch.testing.assert_close(network(maps.flatten(1)), hidden.mean((2, 3)), atol=1e-5, rtol=1e-4)


def attention(tokens: Tensor, block: nn.Module, keys: Tensor | None = None) -> Tensor:
    """One head after the other, one query after the other."""
    inner = block.attention_norm(tokens)
    width = tokens.shape[2]
    query, key, value = (inner @ weight.T for weight in block.attention.inputs.weight.split(width))
    size = width // block.attention.heads
    mixed = torch.zeros_like(tokens)
    for head in range(block.attention.heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[..., part] @ key[..., part].mT / size**0.5
        if keys is not None:
            scores = scores.masked_fill(~keys[:, None, :], -torch.inf)
        mixed[..., part] = scores.softmax(2) @ value[..., part]
    tokens = tokens + block.attention.output(mixed)
    return tokens + block.hidden(block.hidden_norm(tokens))


def test_vision_transformer_as_written_out() -> None:
    with torch.random.fork_rng():
        network = SmallVisionTransformer((2, 5, 6), patch=4, width=8, depth=2, heads=2)
    images = torch.randn(3, 2, 5, 6, generator=tensor_generator(0))
    padded = torch.zeros(3, 2, 8, 8)
    padded[:, :, :5, :6] = images
    patches = [padded[:, :, top : top + 4, left : left + 4] for top in (0, 4) for left in (0, 4)]
    tokens = torch.stack([network.embed(patch.flatten(1)) for patch in patches], dim=1) + network.positions
    for block in network.blocks:
        tokens = attention(tokens, block)
    expected = network.norm(tokens).mean(1)
    torch.testing.assert_close(network(images.flatten(1)), expected, atol=1e-5, rtol=1e-4)


def test_transformer_does_not_look_at_padding() -> None:
    with torch.random.fork_rng():
        network = SmallTransformer(10, 6, width=8, depth=2, heads=2)
    tokens = torch.tensor([[3, 4, 5, 0, 0, 0], [7, 1, 2, 9, 3, 4], [0, 0, 0, 0, 0, 0]])
    hidden = network.embed(tokens) + network.positions
    for block in network.blocks:
        hidden = attention(hidden, block, torch.where(tokens.any(1, keepdim=True), tokens != 0, True))
    states = network.norm(hidden)
    torch.testing.assert_close(network.states(tokens), states, atol=1e-5, rtol=1e-4)
    expected = torch.stack([states[0, :3].mean(0), states[1].mean(0), torch.zeros(8)])
    torch.testing.assert_close(network(tokens.float()), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["resnet", "vit", "transformer"])
@pytest.mark.parametrize("method", ["fine-tuning", "l2_sp", "lora"])
def test_white_box_methods_tune_every_network(architecture: str, method: str) -> None:
    network = used(untrained(request(architecture=architecture)), architecture)
    before = copy.deepcopy(network.state_dict())
    inputs = rows(inputs_of(architecture))
    backbone, penalty = None, None
    if method == "lora":
        pytest.importorskip("peft")
        backbone = with_lora(network, rank=2, alpha=2, generator=tensor_generator(0))
    if method == "l2_sp":
        penalty = towards_the_start(network, alpha=0.1, beta=0.1)
    head = TunedNetwork(network, 3, backbone=backbone, penalty=penalty, generator=tensor_generator(0)).eval()
    torch.testing.assert_close(head.tune(inputs), network.features(inputs_of(architecture)))
    start = copy.deepcopy(head.state_dict())
    trained = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    head.loss(inputs, torch.arange(12) % 3).total.backward()
    fit(head, inputs, torch.arange(12) % 3, epochs=2, batch_size=6, learning_rate=0.05, seed=0)
    changed = {name for name, value in head.state_dict().items() if not torch.equal(value, start[name])}
    assert trained <= changed | {name for name, value in head.named_parameters() if value.grad is None}
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    if method == "lora":
        assert changed <= trained, "neither weights nor BatchNorm's statistics of the network move"
        assert any("lora_A" in name for name in trained)
        assert not any("out_proj" in name for name in trained)
    elif architecture == "resnet":
        assert any("running_mean" in name for name in changed)


def test_lora_leaves_the_last_layer_of_multihead_attention_alone() -> None:
    pytest.importorskip("peft")
    network = untrained(request(architecture="vit"))
    with torch.random.fork_rng():
        network.backbone = nn.Sequential(nn.Linear(64, 8), nn.TransformerEncoderLayer(8, 2, 8))
    backbone = with_lora(network, rank=2, alpha=2, generator=tensor_generator(0))
    adapted = {name.split(".lora_")[0] for name, _ in backbone.named_parameters() if "lora_" in name}
    assert adapted == {"module.0", "module.1.linear1", "module.1.linear2"}
    assert backbone.eval()(torch.zeros(4, 64)).shape == (4, 8)


def test_architectures_that_do_not_go_with_the_inputs() -> None:
    with pytest.raises(ConfigError, match=r"`architectures`: expected one of 'mlp', .*'resnet18'.*mean 'resnet'"):
        request(architecture="resnet18")
    with pytest.raises(ConfigError, match="open_clip's models are for the objective 'contrastive'"):
        request(architecture="open_clip:RN50")
    with pytest.raises(ConfigError, match="'transformer' is not for pictures"):
        untrained(request(architecture="transformer", examples=pictures()))
    with pytest.raises(ConfigError, match="'vit' is not for texts"):
        untrained(request("masked_token", "vit"))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_with_channels(channels: int) -> None:
    for architecture in ("mlp", "resnet", "vit"):
        asked = request(architecture=architecture, examples=pictures(channels=channels))
        network = untrained(asked)
        assert network.num_inputs == channels * SIDE**2
        assert network.features(torch.from_numpy(asked.examples.inputs)).shape[0] == 20
    assert VOCABULARY > LENGTH
