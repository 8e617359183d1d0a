"""The configuration of a saved model: the backbone's configuration, the head's arguments, the pooling."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ..._checks import check_choice
from ...heads import HEADS, settings_of

_WEIGHTS = {"consistency_weight": 1.0, "covariance_weight": 1.0, "dominant_weight": 1.0, "reduction": "mean"}
_BEFORE: dict[str, dict[str, Any]] = {
    "nmtune": {"normalize": None, "input_noise": 0.0, "residual": True, **_WEIGHTS},
    "mlp": {"normalize": None, "residual": True},
    "linear": {"normalize": None},
    "spectral": {"normalize": None, **_WEIGHTS},
}
"""The heads' defaults before ``normalize`` existed, for configurations of that time; later ones name every setting."""
POOLINGS = ("mean", "cls", "last")
REFERENCES = ("features", "pretrained", "none")
_WIDTHS = ("hidden_size", "d_model", "hidden_sizes", "num_features")


class NMTuneConfig(PretrainedConfig):
    """The configuration of `NMTuneForSequenceClassification`, written as ``config.json``.

    Args:
        backbone_config: the backbone's configuration, of any kind that `AutoModel` knows, or its dictionary.
        head: ``"nmtune"``, or ``"spectral"`` (the terms on the backbone's own features), ``"mlp"``, ``"linear"``.
        head_arguments: keyword arguments of the head, such as ``covariance_weight`` or ``norm``.
        pooling: the reduction of token features to one row: ``"mean"`` over the tokens that the attention mask keeps,
            ``"cls"`` (the first token), or ``"last"`` (the last token that the mask keeps).
        reference: the features that the consistency term compares Z with. ``"features"``: F itself, detached;
            ``"pretrained"``: the features of the backbone with its adapters switched off (none in evaluation once they
            are merged); ``"none"``: no consistency term.
        freeze_backbone: no gradient for the backbone, which stays in evaluation mode.
        kwargs: keywords of `PretrainedConfig`: ``num_labels``, ``id2label`` and so on.

    Raises:
        ValueError: for an unknown choice, and for a ``problem_type`` other than one class for each row.
    """

    model_type = "nmtune"
    has_no_defaults_at_init = True
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["features", "tuned", "terms", "hidden_states", "attentions"]

    def __init__(
        self,
        backbone_config: PretrainedConfig | Mapping[str, Any] | None = None,
        *,
        head: str = "nmtune",
        head_arguments: Mapping[str, Any] | None = None,
        pooling: str = "mean",
        reference: str = "features",
        freeze_backbone: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice(head, "head", HEADS)
        check_choice(pooling, "pooling", POOLINGS)
        check_choice(reference, "reference", REFERENCES)
        if kwargs.get("problem_type") not in (None, "single_label_classification"):
            raise ValueError(
                f"`problem_type` must be 'single_label_classification', got {kwargs['problem_type']!r}: "
                "for another task take the head's regularization() beside a loss of your own"
            )
        self.backbone_config = None if backbone_config is None else fresh(backbone_config)
        known = inspect.signature(HEADS[head]).parameters
        defaults = {name: known[name].default for name in settings_of(HEADS[head])}
        self.head, self.head_arguments = head, {**defaults, **(head_arguments or {})}
        self.pooling, self.reference, self.freeze_backbone = pooling, reference, freeze_backbone
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make the configuration from a dictionary; one of an earlier version keeps its meaning."""
        given = config_dict.get("head_arguments")
        if given is not None and "normalize" not in given and config_dict.get("head", "nmtune") in _BEFORE:
            before = _BEFORE[config_dict.get("head", "nmtune")]
            config_dict = {**config_dict, "head_arguments": {**before, **given}}
            config = super().from_dict(config_dict, **kwargs)
            made: NMTuneConfig = config[0] if isinstance(config, tuple) else config
            if made.head_arguments.get("hidden_features", 0) is None:
                made.head_arguments["hidden_features"] = 4 * made.in_features
            return config
        return super().from_dict(config_dict, **kwargs)

    @property
    def in_features(self) -> int:
        """D, the width of the backbone's features."""
        for name in _WIDTHS:
            width = getattr(self.backbone_config, name, None)
            if width is not None:
                return width[-1] if isinstance(width, (list, tuple)) else width
        raise ValueError(f"the width of {type(self.backbone_config).__name__} is not known: it has none of {_WIDTHS}")


def fresh(config: PretrainedConfig | Mapping[str, Any]) -> PretrainedConfig:
    """A copy of the configuration, without the notes of a model made from it (its attention implementation)."""
    fields = config.to_dict() if isinstance(config, PretrainedConfig) else dict(config)
    kind: Any = type(config) if isinstance(config, PretrainedConfig) else CONFIG_MAPPING[fields["model_type"]]
    return kind.from_dict({name: value for name, value in fields.items() if not name.startswith("_attn")})
