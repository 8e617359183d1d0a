"""A backbone and a head as one `PreTrainedModel`: what it computes, and what a folder keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from noisymodel import NMTuneLoss
from noisymodel.integrations.transformers import (
    HEADS,
    NMTuneConfig,
    NMTuneForImageClassification,
    NMTuneForSequenceClassification,
)

Model = NMTuneForSequenceClassification


def trained(model, batch, steps: int = 3):
    """A few steps, so that BatchNorm statistics and every weight have moved."""
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(steps):
        model.train()(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def manual_features(model, batch, pooling: str) -> torch.Tensor:
    """Row by row, without padding."""
    rows = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        hidden = model.backbone(input_ids=ids[mask.bool()][None]).last_hidden_state[0]
        rows.append({"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling])
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_honours_the_mask(bert, tokens, pooling: str) -> None:
    model = Model.from_backbone(bert(), 3, pooling=pooling).eval()
    batch = tokens()
    with torch.no_grad():
        output = model(**batch)
        torch.testing.assert_close(output.features, manual_features(model, batch, pooling), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.logits, model.head(output.features))
        torch.testing.assert_close(output.tuned, model.head.tune(output.features))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("reference", ["features", "none"])
def test_loss_is_that_of_the_head(bert, tokens, head: str, reference: str) -> None:
    model = Model.from_backbone(bert(), 3, head=head, reference=reference).eval()
    output = model(**tokens())
    criterion = NMTuneLoss()
    tuned = output.tuned if head in ("nmtune", "spectral") else None
    given = output.features if reference == "features" and tuned is not None else None
    wanted = criterion(output.logits, tokens()["labels"], tuned=tuned, reference=given)
    torch.testing.assert_close(output.terms, wanted)
    assert output.loss is output.terms.total
    assert model(input_ids=tokens()["input_ids"]).loss is None


def test_published_lora_terms_reach_the_backbone(bert, tokens) -> None:
    """No network, no consistency: the covariance and top-5 terms of the backbone's own features."""
    weights = {"covariance_weight": 0.04, "dominant_weight": 0.001, "top_k": 5}
    model = Model.from_backbone(bert(), 3, head="spectral", reference="none", **weights)
    output = model(**tokens())
    torch.testing.assert_close(output.tuned, output.features)
    assert output.terms.consistency == 0
    (0.04 * output.terms.covariance + 0.001 * output.terms.dominant).backward()
    assert all(weight.grad is not None for weight in model.backbone.encoder.parameters())
    assert model.head.classifier.weight.grad is None


def test_own_features_are_a_detached_reference(bert, tokens) -> None:
    model = Model.from_backbone(bert(), 3).train()
    output = model(**tokens())
    wanted = torch.autograd.grad(output.loss, model.head.parameters(), retain_graph=True)
    again = model.head.objective(
        output.logits, tokens()["labels"], tuned=output.tuned, reference=output.features.detach()
    )
    for got, expected in zip(torch.autograd.grad(again.total, model.head.parameters()), wanted, strict=True):
        torch.testing.assert_close(got, expected)


def test_cached_reference_comes_first(bert, tokens) -> None:
    model = Model.from_backbone(bert(), 3).eval()
    frozen = torch.randn(12, 16)
    output = model(**tokens(), reference=frozen)
    near = torch.nn.functional.normalize(output.tuned) - torch.nn.functional.normalize(frozen)
    torch.testing.assert_close(output.terms.consistency, near.square().sum(1).mean())


def test_frozen_backbone_gets_no_gradient_and_stays_in_evaluation_mode(bert, tokens) -> None:
    model = Model.from_backbone(bert(), 3, freeze_backbone=True).train()
    assert not model.backbone.training
    assert model.head.training
    model(**tokens()).loss.backward()
    assert all(weight.grad is None for weight in model.backbone.parameters())
    assert all(weight.grad is not None for weight in model.head.parameters())


@pytest.mark.parametrize("head", HEADS)
def test_saved_and_loaded_gives_the_same_logits(bert, tokens, tmp_path: Path, head: str) -> None:
    options = {"norm": "batch", "hidden_features": 20} if head in ("nmtune", "mlp") else {}
    model = trained(Model.from_backbone(bert(), 3, head=head, pooling="cls", **options), tokens())
    model.save_pretrained(tmp_path)
    loaded = Model.from_pretrained(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(**tokens()).logits, model(**tokens()).logits)
    assert model.state_dict().keys() == loaded.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.head.config() == model.head.config()
    if head == "nmtune":
        assert loaded.head.network.layers[1].num_batches_tracked == 3


def test_auto_classes_know_it(bert, tokens, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    model = Model.from_backbone(bert(), 3, config_arguments={"id2label": {0: "a", 1: "b", 2: "c"}}).eval()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), NMTuneConfig)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is Model
    assert loaded.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert torch.equal(loaded(**tokens()).logits, model(**tokens()).logits)


def test_from_a_folder_of_a_backbone(bert, tokens, tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path)
    model = Model.from_backbone(str(tmp_path), 3, seed=4).eval()
    again = Model.from_backbone(bert(), 3, seed=4).eval()
    assert torch.equal(model(**tokens()).logits, again(**tokens()).logits)
    assert not any("pooler" in name for name, _ in model.named_parameters()), "nothing would train it"
    other = Model.from_backbone(bert(), 3, seed=5)
    assert not torch.equal(other.head.classifier.weight, model.head.classifier.weight)


def test_seed_leaves_the_global_state_alone(bert) -> None:
    backbone, before = bert(), torch.random.get_rng_state()
    Model.from_backbone(backbone, 3, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["head.network.layers.1.running_mean", "head.classifier.weight", "backbone.x"])
def test_a_missing_weight_is_an_error(bert, tmp_path: Path, name: str) -> None:
    Model.from_backbone(bert(), 3).save_pretrained(tmp_path)
    name = name.replace("backbone.x", "backbone.encoder.layer.0.output.dense.weight")
    weights = load_file(tmp_path / "model.safetensors")
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"lacks weights of this model: {name}"):
        Model.from_pretrained(tmp_path)


def test_a_backbone_folder_with_missing_weights_is_an_error(bert, tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights of its backbone, .*encoder.layer.1.output.dense.weight"):
        Model.from_backbone(str(tmp_path), 3)


def test_loading_info_is_given_when_asked(bert, tmp_path: Path) -> None:
    Model.from_backbone(bert(), 3).save_pretrained(tmp_path)
    loaded, info = Model.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(loaded, Model)
    assert not info["missing_keys"]


def test_preset(bert) -> None:
    model = Model.from_backbone(bert(), 3, preset="official", top_k=2)
    assert model.head.objective.covariance_weight == 0.04
    assert model.head.objective.top_k == 2
    with pytest.raises(ValueError, match="`preset` is of head='nmtune', got head='linear'"):
        Model.from_backbone(bert(), 3, head="linear", preset="paper")
    with pytest.raises(ValueError, match="`preset` must be one of 'paper', 'official', got 'best'"):
        Model.from_backbone(bert(), 3, preset="best")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "nmt"}, "`head` must be one of 'nmtune'"),
        ({"pooling": "max"}, "`pooling` must be one of 'mean', 'cls', 'last', got 'max'"),
        ({"reference": "frozen"}, "`reference` must be one of 'features', 'pretrained', 'none', got 'frozen'"),
        ({"config_arguments": {"problem_type": "regression"}}, "`problem_type` must be 'single_label_classification'"),
    ],
)
def test_unknown_choices(bert, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model.from_backbone(bert(), 3, **options)


def test_a_configuration_without_backbone() -> None:
    with pytest.raises(ValueError, match=r"`config` must have a `backbone_config`: .*from_backbone"):
        Model(NMTuneConfig(num_labels=3))


def test_pretrained_reference_needs_adapters(bert, tokens) -> None:
    pytest.importorskip("peft")
    model = Model.from_backbone(bert(), 3, reference="pretrained")
    with pytest.raises(ValueError, match=r"needs adapters that can be switched off, .*get_peft_model"):
        model(**tokens())
    assert model(**tokens(), reference=torch.ones(12, 16)).loss.isfinite()


def test_the_loss_of_a_batch_in_half_precision(bert, tokens) -> None:
    model = Model.from_backbone(bert(), 3).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**tokens())
    assert output.loss.dtype == torch.float32
    output.loss.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)
    half = Model.from_backbone(bert().to(torch.bfloat16), 3).train()
    assert half.head.classifier.weight.dtype == torch.bfloat16
    assert half(**tokens()).loss.isfinite()


def test_hidden_states_and_tuples(bert, tokens) -> None:
    model = Model.from_backbone(bert(), 3).eval()
    output = model(**tokens(), output_hidden_states=True)
    assert len(output.hidden_states) == 3
    listed = model(**tokens(), return_dict=False)
    assert torch.equal(listed[0], output.loss)
    assert torch.equal(listed[1], output.logits)


@pytest.mark.parametrize("kind", ["ViT", "ConvNext"])
def test_backbones_of_images(kind: str, tmp_path: Path) -> None:
    import transformers

    if kind == "ViT":
        settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
        backbone = transformers.ViTModel(transformers.ViTConfig(**settings, image_size=16, patch_size=8))
    else:
        settings = {"hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2, "patch_size": 2}
        backbone = transformers.ConvNextModel(transformers.ConvNextConfig(**settings))
    model = NMTuneForImageClassification.from_backbone(backbone, 3)
    batch = {"pixel_values": torch.randn(6, 3, 16, 16), "labels": torch.arange(6) % 3}
    trained(model, batch)
    output = model(**batch)
    assert output.features.shape == (6, model.config.in_features)
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(loaded) is NMTuneForImageClassification
    assert torch.equal(loaded(**batch).logits, output.logits)


def test_the_folder_is_json_and_safetensors(bert, tmp_path: Path) -> None:
    Model.from_backbone(bert(), 3, covariance_weight=0.3).save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "nmtune"
    assert config["backbone_config"]["model_type"] == "bert"
    assert config["head_arguments"]["covariance_weight"] == 0.3
    assert config["head_arguments"]["normalize"] == "l2"
