"""LoRA beside a head: what is trained, saved, loaded, merged, and switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from noisymodel import NMTune
from noisymodel.integrations.transformers import NMTuneForSequenceClassification

peft = pytest.importorskip("peft")

from noisymodel.integrations.peft import adapters_disabled, lora_config  # noqa: E402 - needs peft

# the base models of the tests have no folder; peft's forward asks transformers 5 for a name that is deprecated there
pytestmark = pytest.mark.filterwarnings(
    "ignore:Could not find a config file:UserWarning", "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)


def model_of(bert, seed: int = 1, **options: Any):
    return NMTuneForSequenceClassification.from_backbone(bert(), 3, seed=seed, **options)


def trained(model, batch, steps: int = 4):
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(steps):
        model.train()(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_layers_by_kind(bert) -> None:
    model = model_of(bert)
    blocks = [f"backbone.encoder.layer.{i}" for i in range(2)]
    mlp = {f"{block}.{part}.dense" for block in blocks for part in ("intermediate", "output")}
    inside = ("self.query", "self.key", "self.value", "output.dense")
    attention = {f"{block}.attention.{part}" for block in blocks for part in inside}
    assert set(lora_config(model).target_modules) == mlp
    assert set(lora_config(model, target_modules="attention").target_modules) == attention
    assert set(lora_config(model, target_modules="all").target_modules) == mlp | attention
    assert set(lora_config(model, target_modules=["query"]).target_modules) == {"query"}
    assert lora_config(model, target_modules=r".*query").target_modules == r".*query"


def test_configuration_has_the_published_rank_and_the_head(bert) -> None:
    config = lora_config(model_of(bert), modules_to_save=["pooler"], lora_alpha=4)
    assert (config.r, config.lora_alpha, config.modules_to_save) == (8, 4, ["head", "pooler"])
    assert lora_config(model_of(bert), r=3).r == 3


@pytest.mark.parametrize("head", ["nmtune", "spectral", "mlp", "linear"])
def test_saved_loaded_and_merged_gives_the_same_logits(bert, tokens, tmp_path: Path, head: str) -> None:
    model = peft.get_peft_model(model_of(bert, head=head), lora_config(model_of(bert, head=head)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(model, tokens())
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert all("lora_" in name or "modules_to_save" in name for name in moved)
    assert any("lora_B" in name for name in moved)
    assert any("classifier.weight" in name for name in moved)
    logits = model(**tokens()).logits
    model.save_pretrained(tmp_path / "adapter")

    loaded = peft.PeftModel.from_pretrained(model_of(bert, seed=9, head=head), tmp_path / "adapter").eval()
    assert torch.equal(loaded(**tokens()).logits, logits)
    if head in ("nmtune", "mlp"):
        norm = loaded.get_base_model().head.modules_to_save["default"].network.layers[1]
        assert norm.num_batches_tracked == 4
        assert torch.equal(
            norm.running_mean, model.get_base_model().head.modules_to_save["default"].network.layers[1].running_mean
        )

    merged = loaded.merge_and_unload()
    assert type(merged) is NMTuneForSequenceClassification
    torch.testing.assert_close(merged(**tokens()).logits, logits, atol=1e-5, rtol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    alone = NMTuneForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert torch.equal(alone(**tokens()).logits, merged(**tokens()).logits)


def test_without_the_helper_the_head_would_stay_as_it_began(bert, tokens) -> None:
    """What the helper is for."""
    bare = peft.LoraConfig(r=8, target_modules=["query"])
    model = trained(peft.get_peft_model(model_of(bert), bare), tokens())
    assert torch.equal(model.get_base_model().head.classifier.weight, model_of(bert).head.classifier.weight)


def test_the_frozen_model_is_the_reference(bert, tokens) -> None:
    frozen = model_of(bert).eval()(**tokens()).features.detach()
    model = model_of(bert, reference="pretrained")
    model = trained(peft.get_peft_model(model, lora_config(model)), tokens())
    output = model(**tokens())
    assert not torch.allclose(output.features, frozen, atol=1e-3), "the adapters have moved the features"
    near = torch.nn.functional.normalize(output.tuned) - torch.nn.functional.normalize(frozen)
    torch.testing.assert_close(output.terms.consistency, near.square().sum(1).mean())
    with model.disable_adapter():
        torch.testing.assert_close(model(**tokens()).features, frozen)
    assert model.merge_and_unload().eval()(**tokens()).terms.consistency == 0, "nothing is left to compare with"


def test_the_frozen_model_is_another_reference_than_the_own_features(bert, tokens) -> None:
    model = model_of(bert, reference="pretrained")
    model = trained(peft.get_peft_model(model, lora_config(model)), tokens())
    output = model(**tokens())
    own = model_of(bert)
    again = peft.get_peft_model(own, lora_config(own))
    again.load_state_dict(model.state_dict())
    assert again.eval()(**tokens()).terms.consistency != output.terms.consistency


def test_the_reference_does_not_disturb_training(bert, tokens) -> None:
    model = model_of(bert, reference="pretrained")
    model = peft.get_peft_model(model, lora_config(model)).train()
    wanted = {name for name, weight in model.named_parameters() if weight.requires_grad}
    model(**tokens()).loss.backward()
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == wanted
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == wanted
    assert all(part.training for part in model.modules())


def test_adapters_are_as_they_were_after_an_error(bert, tokens) -> None:
    model = peft.get_peft_model(model_of(bert), lora_config(model_of(bert))).train()
    frozen = [weight for name, weight in model.named_parameters() if "layer.0" in name and "lora_A" in name]
    for weight in frozen:
        weight.requires_grad_(False)
    with pytest.raises(RuntimeError, match="size"), adapters_disabled(model):
        torch.zeros(2) + torch.zeros(3)
    assert model.training
    assert not any(weight.requires_grad for weight in frozen)
    tuners = [part for part in model.modules() if isinstance(part, peft.tuners.lora.Linear)]
    assert tuners
    assert not any(part.disable_adapters for part in tuners)


def test_lora_of_any_module_with_a_head() -> None:
    class Mine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 6))
            self.nmtune = NMTune(6, 3)

        def forward(self, rows):
            return self.nmtune(self.blocks(rows))

    config = lora_config(Mine())
    assert set(config.target_modules) == {"blocks.0", "blocks.2"}
    assert config.modules_to_save == ["nmtune"]
    assert peft.get_peft_model(Mine(), config)(torch.randn(4, 6)).shape == (4, 3)


def test_errors(bert) -> None:
    with pytest.raises(ValueError, match="`model` must hold one head of noisymodel, got 0"):
        lora_config(bert())
    with pytest.raises(ValueError, match="no linear layers of target_modules='attention'"):
        lora_config(
            torch.nn.ModuleDict({"blocks": torch.nn.Sequential(torch.nn.Linear(2, 2)), "head": NMTune(4, 2)}),
            target_modules="attention",
        )
    with pytest.raises(ValueError, match="freeze_backbone=True, and no gradient would reach the adapters"):
        lora_config(model_of(bert, freeze_backbone=True))
    with pytest.raises(ValueError, match="peft would take 'lm_head' for the head 'head'"):
        lora_config(torch.nn.ModuleDict({"lm_head": torch.nn.Linear(2, 2), "head": NMTune(4, 2)}))
