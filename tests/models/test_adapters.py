"""Models of transformers as backbones, tiny ones; those of timm and open_clip: test_vision_models.py."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from noisymodel import NMTune, NMTuneLoss, TunedModel
from noisymodel._random import seeded
from noisymodel.models import open_clip_backbone, timm_backbone, transformers_backbone

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
WIDTH, K = 16, 3


def bert():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    with seeded(0):
        return BertModel(config)


def vit():
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8
    )
    with seeded(0):
        return ViTModel(config, add_pooling_layer=False)


def texts(count=12, seed=0):
    """Token ids that say the class, among random ones, with padding on the right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, 30, (count, 8), generator=generator)
    targets = torch.arange(count) % K
    ids[:, 1] = targets + 3
    mask = (torch.arange(8) < torch.randint(3, 9, (count, 1), generator=generator)).long()
    return {"input_ids": ids * mask, "attention_mask": mask}, targets


def pictures(count=12, seed=0):
    """Noise, brighter in the channel of the class."""
    targets = torch.arange(count) % K
    values = 0.3 * torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    values[torch.arange(count), targets] += 1
    return {"pixel_values": values}, targets


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_hidden_states_are_pooled_where_the_mask_is(pooling):
    model, (inputs, _) = bert().eval(), texts()
    backbone = transformers_backbone(model, pooling=pooling, example=inputs)
    assert backbone.num_features == WIDTH
    features = backbone(**inputs)
    for row, ids, mask in zip(features, inputs["input_ids"], inputs["attention_mask"], strict=True):
        alone = model(input_ids=ids[mask.bool()][None]).last_hidden_state[0]  # without padding
        wanted = {"mean": alone.mean(0), "cls": alone[0], "last": alone[-1]}[pooling]
        torch.testing.assert_close(row, wanted, atol=1e-5, rtol=1e-4)


def test_widths_that_configurations_name():
    from transformers import DistilBertConfig, DistilBertModel, ResNetConfig, ResNetModel

    with seeded(0):
        small = DistilBertModel(DistilBertConfig(dim=8, n_layers=1, n_heads=2, hidden_dim=16, vocab_size=20))
        net = ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4, 12], depths=[1, 1], layer_type="basic"))
    assert transformers_backbone(small).num_features == 8
    backbone = transformers_backbone(net, example={"pixel_values": torch.zeros(1, 3, 32, 32)})
    assert backbone.num_features == 12
    with pytest.raises(ValueError, match=r"the backbone gives \(1, 12\), expected \(1, 7\)|expected \(B, 7\)"):
        transformers_backbone(net, num_features=7, example={"pixel_values": torch.zeros(1, 3, 32, 32)})


@pytest.mark.parametrize(("make", "data"), [(bert, texts), (vit, pictures)])
@pytest.mark.parametrize("freeze", [True, False])
def test_loss_falls_and_a_checkpoint_gives_the_same_logits(make, data, freeze):
    """Frozen under NMTune; fine-tuned with the terms on the backbone's own features, as published, from its start."""

    def build():
        backbone = transformers_backbone(make())
        weights = {"consistency_weight": 0.1, "covariance_weight": 0.1}
        head = NMTune(WIDTH, K, generator=torch.Generator().manual_seed(1), input_noise=0.0, **weights)
        objective = None if freeze else NMTuneLoss(covariance_weight=0.04, dominant_weight=0.001)
        return TunedModel(backbone, head, freeze=freeze, reference="frozen", objective=objective)

    inputs, targets = data()
    model = build().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    history = []
    with seeded(0):  # the backbone's dropout
        for _ in range(12):
            terms = model(**inputs, targets=targets).terms
            terms.total.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.append({name: value.item() for name, value in terms._asdict().items()})
    assert history[-1]["task"] < 0.5 * history[0]["task"]
    assert history[-1]["total"] < history[0]["total"]
    assert all(entry["consistency"] > 0 and entry["covariance"] > 0 and entry["dominant"] < 0 for entry in history)
    logits = model.eval()(**inputs)
    assert (logits.argmax(1) == targets).float().mean() > 0.7
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = build()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.eval()(**inputs), logits)


def test_two_views_of_texts_by_token_dropout():
    inputs, targets = texts()
    dropped = dict(inputs, attention_mask=inputs["attention_mask"] * (torch.arange(8) != 2))
    model = TunedModel(
        transformers_backbone(bert()),
        NMTune(WIDTH, K, generator=torch.Generator().manual_seed(1), input_noise=0.0),
        freeze=True,
    ).eval()
    strong, weak = (model(**view, return_features=True) for view in (dropped, inputs))
    output = model(**dropped, targets=targets, reference_inputs=inputs, both_views=True)
    wanted = model.objective.regularization(strong.tuned, weak.features).consistency
    torch.testing.assert_close(output.terms.consistency, wanted)
    wanted = model.objective.regularization(torch.cat([weak.tuned, strong.tuned]), None)
    torch.testing.assert_close(output.terms.covariance, wanted.covariance)


def test_what_is_not_used_asks_for_no_gradient():
    backbone = transformers_backbone(bert())
    assert not any(p.requires_grad for p in backbone.model.pooler.parameters())
    model = TunedModel(
        backbone, NMTune(WIDTH, K, generator=torch.Generator().manual_seed(1), input_noise=0.0), freeze=True
    )
    model.unfreeze_backbone().train()
    inputs, targets = texts()
    with seeded(0):
        model(**inputs, targets=targets).terms.total.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad == (".pooler." not in name), name


class Restless(nn.Module):
    """A model that is random in evaluation mode."""

    config = type("Config", (), {"hidden_size": 4})()

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, values):
        self.calls += 1
        return values + self.calls


def test_wrong_models():
    with pytest.raises(ValueError, match="not the same when `example` is passed twice"):
        transformers_backbone(Restless(), example=(torch.zeros(1, 4),))
    with pytest.raises(TypeError, match="`model` must be a model of transformers with a config, got Identity"):
        transformers_backbone(nn.Identity())
    with pytest.raises(TypeError, match="`model` must be a timm model with forward_features and forward_head, got Id"):
        timm_backbone(nn.Identity())
    with pytest.raises(TypeError, match="`model` must be a model of open_clip with two towers, got Identity"):
        open_clip_backbone(nn.Identity())
    with pytest.raises(ValueError, match="`tower` must be one of 'image', 'text', got 'audio'"):
        open_clip_backbone(nn.Identity(), tower="audio")
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'mean', 'cls', 'last', .*got 'median'"):
        transformers_backbone(Restless(), pooling="median")
    unnamed = Restless()
    unnamed.config = object()
    with pytest.raises(ValueError, match="`num_features` must be given: object does not name the width"):
        transformers_backbone(unnamed)
    towers = Restless()
    towers.vision_model, towers.text_model = nn.Identity(), nn.Identity()
    with pytest.raises(ValueError, match=r"`model` has two towers: give model\.vision_model or model\.text_model"):
        transformers_backbone(towers)
    with pytest.raises(ValueError, match="`head` must be for the backbone's 16 features, got in_features=8"):
        TunedModel(
            transformers_backbone(vit()), NMTune(8, K, generator=torch.Generator().manual_seed(1), input_noise=0.0)
        )
