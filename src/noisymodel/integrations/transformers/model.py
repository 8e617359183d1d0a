"""A backbone of transformers and a head as one model, saved and loaded like every model of transformers."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils.generic import ModelOutput

from ..._checks import check_choice
from ..._random import seeded
from ...features.extraction.layers import pooled
from ...heads import HEADS, PRESETS, NMTune
from ...heads.nmtune import preset_arguments
from ...losses import NMTuneTerms
from ..terms import batch_terms
from .configuration import NMTuneConfig, fresh

_outside_graphs: Any = torch.compiler.disable  # the compiler cannot switch adapters


@dataclass
class NMTuneClassifierOutput(ModelOutput):
    """The model's output: ``loss`` is ``terms.total``; both are None without labels.

    ``logits`` (N, K); ``features`` F (N, D), the backbone's, pooled; ``tuned`` Z (N, D), the input of the classifier.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    features: Tensor | None = None
    tuned: Tensor | None = None
    terms: NMTuneTerms | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class NMTuneForSequenceClassification(PreTrainedModel):
    """A text backbone of `AutoModel` with pooling and a head of this library.

    ``model(input_ids=..., attention_mask=..., labels=...)`` gives `NMTuneClassifierOutput`. Begin with `from_backbone`.
    ``from_pretrained`` loads a folder that ``save_pretrained`` wrote, including BatchNorm buffers; a missing weight is
    an error, not a warning. The backbone's own pooler is left out, because nothing would train it.

    Args:
        config: an `NMTuneConfig`. The weights are random.
    """

    config_class = NMTuneConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the loss is the mean of a batch, so a Trainer divides it by the accumulation steps
    config: NMTuneConfig

    def __init__(self, config: NMTuneConfig, *, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if config.backbone_config is None:
            raise ValueError(
                "`config` must have a `backbone_config`: a pre-trained backbone comes by from_backbone(...)"
            )
        self.backbone = _random_backbone(config.backbone_config) if backbone is None else backbone
        self.head = HEADS[config.head](config.in_features, config.num_labels, **config.head_arguments)
        made = self.head.config()  # every setting, since defaults differ between versions
        config.head_arguments = {name: made[name] for name in made.keys() - {"in_features", "num_classes"}}
        if config.freeze_backbone:
            self.backbone.requires_grad_(False)
        self.post_init()

    @classmethod
    def from_backbone(
        cls,
        backbone: str | PreTrainedModel,
        num_labels: int,
        *,
        head: str = "nmtune",
        preset: str | None = None,
        pooling: str = "mean",
        reference: str = "features",
        freeze_backbone: bool = False,
        seed: int | None = None,
        backbone_arguments: dict[str, Any] | None = None,
        config_arguments: dict[str, Any] | None = None,
        **head_arguments: Any,
    ) -> Self:
        """Join a pre-trained backbone with a new head.

        Args:
            backbone: a name on the Hub, a folder, or a model, which becomes part of this one.
            num_labels: K.
            head: as in `NMTuneConfig`.
            pooling: as in `NMTuneConfig`.
            reference: as in `NMTuneConfig`.
            freeze_backbone: as in `NMTuneConfig`.
            preset: ``"paper"`` or ``"official"``, for ``head="nmtune"``.
            seed: the seed of the head's first weights; None: torch's global generator draws them.
            backbone_arguments: keywords of ``AutoModel.from_pretrained``.
            config_arguments: keywords of `NMTuneConfig`, such as ``id2label``.
            head_arguments: keywords of the head.

        Raises:
            ValueError: if the checkpoint lacks weights of the backbone, and for unknown choices.
        """
        if preset is not None:
            check_choice(preset, "preset", PRESETS)
            if HEADS.get(head) is not NMTune:
                raise ValueError(f"`preset` is of head='nmtune', got head={head!r}")
        module = (
            _pretrained(backbone, backbone_arguments or {}) if isinstance(backbone, str) else _without_pooler(backbone)
        )
        config = NMTuneConfig(
            module.config,
            head=head,
            head_arguments=head_arguments,
            pooling=pooling,
            reference=reference,
            freeze_backbone=freeze_backbone,
            num_labels=num_labels,
            **(config_arguments or {}),
        )
        if preset is not None:
            config.head_arguments = preset_arguments(preset, config.in_features, **head_arguments)
        with seeded(seed):
            model = cls(config, backbone=module)
        nn.Module.to(model.head, module.dtype)
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *arguments: Any, **keywords: Any) -> Any:
        """Load as every `PreTrainedModel` does, but raise a ``ValueError`` for a missing or unfit weight."""
        wanted = keywords.pop("output_loading_info", False)
        keywords["output_loading_info"] = True
        given: Any = super().from_pretrained(pretrained_model_name_or_path, *arguments, **keywords)
        loaded, info = given
        wrong = sorted({*map(str, info["missing_keys"]), *map(str, info["mismatched_keys"])})
        if wrong:
            raise ValueError(
                f"{pretrained_model_name_or_path} lacks weights of this model: {', '.join(wrong[:5])}"
                f"{' and more' if len(wrong) > 5 else ''}; a backbone without a head comes by from_backbone(...)"
            )
        return (loaded, info) if wanted else loaded

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        reference: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> NMTuneClassifierOutput | tuple[Any, ...]:
        """Logits, features and, with ``labels``, the terms.

        ``labels``: class ids (N,), or class probabilities (N, K). ``reference`` (N, D): cached features of the frozen
        model, instead of the configuration's ``reference``.
        """
        inputs: dict[str, Any] = {
            "input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids,
            "position_ids": position_ids, "inputs_embeds": inputs_embeds, "pixel_values": pixel_values,
            "output_hidden_states": output_hidden_states, "output_attentions": output_attentions,
        }  # fmt: skip
        inputs = {name: value for name, value in inputs.items() if value is not None}
        if labels is not None and reference is None and self.config.reference == "pretrained":
            reference = self._pretrained_features(inputs)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_backbone):
            given = self.backbone(**inputs, return_dict=True)
        features = self._pool(given, inputs)
        logits, tuned = self.head(features, return_features=True)
        terms = None
        if labels is not None:
            if reference is None and self.config.reference == "features":
                reference = features.detach()
            terms = batch_terms(self.head, logits, labels, tuned, reference, training=self.training)
        output = NMTuneClassifierOutput(
            loss=None if terms is None else terms.total,
            logits=logits,
            features=features,
            tuned=tuned,
            terms=terms,
            hidden_states=getattr(given, "hidden_states", None),
            attentions=getattr(given, "attentions", None),
        )
        return output.to_tuple() if return_dict is False else output

    def _pool(self, given: Any, inputs: dict[str, Any]) -> Tensor:
        return pooled(given.last_hidden_state, self.config.pooling, inputs.get("attention_mask"), "last_hidden_state")

    @_outside_graphs
    def _pretrained_features(self, inputs: dict[str, Any]) -> Tensor | None:
        """F of the backbone before tuning, without dropout; None in evaluation if the adapters are merged."""
        # in a layer of peft this is a flag; a whole model of transformers has a method of the same name
        states = [getattr(part, "disable_adapters", None) for part in self.backbone.modules()]
        if not self.training and not any(isinstance(state, bool) for state in states):
            return None
        from ..peft import adapters_disabled

        with torch.no_grad(), adapters_disabled(self.backbone):
            return self._pool(self.backbone(**inputs, return_dict=True), inputs)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.backbone.eval()
        return self

    def _init_weights(self, module: Any) -> None:
        """Do nothing: the head and the backbone initialise their own weights."""


class NMTuneForImageClassification(NMTuneForSequenceClassification):
    """`NMTuneForSequenceClassification` for image backbones: ``model(pixel_values=..., labels=...)``."""

    main_input_name = "pixel_values"


def _pretrained(name: str, arguments: dict[str, Any]) -> PreTrainedModel:
    module, info = AutoModel.from_pretrained(name, output_loading_info=True, **arguments)
    module = _without_pooler(module)
    kept = set(module.state_dict())
    missing = sorted(set(map(str, info["missing_keys"])) & kept)
    if missing:
        raise ValueError(f"{name} lacks weights of its backbone, which would be random: {', '.join(missing[:5])}")
    return module


def _random_backbone(config: PretrainedConfig) -> PreTrainedModel:
    return cast("PreTrainedModel", AutoModel.from_config(fresh(config), **_no_pooler(config)))


def _without_pooler(module: PreTrainedModel) -> PreTrainedModel:
    if _no_pooler(module.config):
        module.register_module("pooler", None)
    return module


def _no_pooler(config: Any) -> dict[str, bool]:
    """The keyword that leaves out the pooler, if the model has one."""
    kind: Any = MODEL_MAPPING[type(config)]
    kind = kind[0] if isinstance(kind, (list, tuple)) else kind
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
