"""Models of transformers from a configuration in a local folder: pictures, texts, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")

from noisymodel.errors import ConfigError, MissingExtraError  # noqa: E402 - after the check
from noisymodel.study.methods.tuned_network import with_lora  # noqa: E402 - after the check
from noisymodel.study.pretraining import measures, pretrain, untrained  # noqa: E402 - after the check
from study.pretraining.tiny_requests import LENGTH, SIDE, VOCABULARY, pictures, request, texts  # noqa: E402 - as above

BERT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 99}
VIT = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12, "image_size": 12,
    "patch_size": 4,
}  # fmt: skip


@pytest.fixture
def bert(tmp_path: Path) -> str:
    transformers.BertConfig(**BERT, max_position_embeddings=16).save_pretrained(tmp_path / "bert")
    return f"transformers:{tmp_path / 'bert'}"


@pytest.fixture
def vit(tmp_path: Path) -> str:
    transformers.ViTConfig(**VIT).save_pretrained(tmp_path / "vit")
    return f"transformers:{tmp_path / 'vit'}"


@pytest.mark.parametrize("objective", ["masked_token", "supervised"])
def test_texts(bert: str, objective: str) -> None:
    asked = request(objective, bert, examples=texts(), rates=(0.0, 0.3))
    trained = pretrain(asked)
    again = pretrain(asked)
    for one, other in zip(trained.states, again.states, strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items()), "dropout follows from the seed"
    network = trained.one(1)
    assert network.name == bert
    assert (network.num_inputs, network.num_features) == (LENGTH, 8)
    model = network.backbone.model
    assert model.get_input_embeddings().weight.shape[0] == VOCABULARY + 1
    tokens = torch.from_numpy(texts().inputs)
    hidden = model(input_ids=tokens, attention_mask=(tokens != 0).long()).last_hidden_state
    expected = torch.stack([part[row != 0].mean(0) for part, row in zip(hidden, tokens, strict=True)])
    torch.testing.assert_close(network.features(tokens), expected)
    assert set(measures(asked, 0.3, network, texts(30, seed=5))) <= {
        "masked_token_accuracy",
        "noisy_label_fit",
        "clean_accuracy",
    }
    trained_weight = trained.states[0]["backbone.model.embeddings.word_embeddings.weight"]
    assert not torch.equal(
        trained_weight, trained.network.state_dict()["backbone.model.embeddings.word_embeddings.weight"]
    )


@pytest.mark.parametrize("objective", ["supervised", "contrastive"])
def test_pictures_are_repeated_and_resized(vit: str, objective: str) -> None:
    asked = request(objective, vit)
    network = pretrain(asked).one(0)
    assert (network.num_inputs, network.num_features) == (SIDE**2, 8)
    images = torch.from_numpy(pictures().inputs)[:, None]
    resized = torch.nn.functional.interpolate(images, (12, 12), mode="bilinear", antialias=True).repeat(1, 3, 1, 1)
    hidden = network.backbone[1].model(pixel_values=(resized - 0.5) / 0.5).last_hidden_state
    torch.testing.assert_close(network.features(images), hidden.mean(1))
    colour = request(objective, vit, examples=pictures(channels=3), image_size=8)
    other = untrained(colour)
    assert other.backbone[0].size == (8, 8)
    assert other.features(torch.from_numpy(colour.examples.inputs)).shape == (20, 8)
    if objective == "supervised":
        pytest.importorskip("peft")
        assert with_lora(network, rank=2, alpha=2, generator=torch.Generator()).eval()(images.flatten(1)).shape == (
            20,
            8,
        )


def test_initial_values_follow_from_the_seed(bert: str, vit: str) -> None:
    for architecture, examples in ((bert, texts()), (vit, pictures())):
        one, again, other = (
            untrained(request(architecture=architecture, examples=examples, seed=seed)) for seed in (1, 1, 2)
        )
        weight = next(name for name, value in one.named_parameters() if value.ndim > 1 and value.std() > 0)
        assert torch.equal(one.state_dict()[weight], again.state_dict()[weight])
        assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])


def test_what_cannot_be_made(bert: str, vit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"transformers:.*bert is a BertModel, which is not for pictures"):
        untrained(request(architecture=bert, examples=pictures()))
    with pytest.raises(ConfigError, match=r"transformers:.*vit is a ViTModel, which is not for texts"):
        untrained(request("masked_token", vit, examples=texts()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"`architectures`: transformers:.*nowhere cannot be made: "):
        untrained(request(architecture=f"transformers:{tmp_path / 'nowhere'}"))
    long = texts()._replace(inputs=np.ones((4, 17), dtype=np.int64))
    with pytest.raises(ConfigError, match="takes 16 tokens, and the texts have 17"):
        untrained(request("masked_token", bert, examples=long))
    with pytest.raises(ConfigError, match="takes 3 channels, not 2"):
        untrained(request(architecture=vit, examples=pictures(channels=2)))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"`transformers` is needed for pre-training models.*noisymodel\[hf\]"):
        untrained(request(architecture=vit))
