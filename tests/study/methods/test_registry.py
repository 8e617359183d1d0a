"""The table of methods: every entry builds, trains, and says what it does."""

from __future__ import annotations

import pytest
import torch

from noisymodel.errors import ConfigError
from noisymodel.heads import LinearProbe, MLPProbe, NMTune
from noisymodel.study import StudyConfig
from noisymodel.study.methods import METHODS, chosen_methods, method_notes


@pytest.mark.parametrize("name", METHODS)
def test_every_method_builds_a_head_from_its_seed(name: str) -> None:
    method = METHODS[name]
    head, again, other = (method.head(8, 3, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(head.state_dict(), again.state_dict(), rtol=0, atol=0)
    assert not torch.equal(head.classifier.weight, other.classifier.weight)
    assert head(torch.ones(4, 8)).shape == (4, 3)
    assert method.label
    assert method.description.endswith(".")
    assert method.role in {"method", "baseline", "control"}
    assert method.learning_rate > 0


def test_weights_are_those_of_the_descriptions() -> None:
    def weights(name: str) -> tuple[float, float, float, int, bool]:
        head = METHODS[name].head(8, 3, 0)
        config = head.config()
        return (
            config["consistency_weight"],
            config["covariance_weight"],
            config["dominant_weight"],
            config["top_k"],
            config["residual"],
        )

    assert weights("nmtune_paper") == (0.01, 0.01, 0.01, 1, False)
    assert weights("nmtune_official") == (1.0, 0.04, 0.001, 5, True)
    assert weights("nmtune_tuned") == (1.0, 3.0, 0.1, 1, False)
    assert METHODS["nmtune_tuned"].learning_rate == METHODS["mlp_tuned"].learning_rate == 3e-3
    assert METHODS["mlp_label_smoothing"].head(8, 3, 0).objective.label_smoothing == 0.1


def test_mlp_starts_as_nmtune_does() -> None:
    mlp, nmtune = (METHODS[name].head(8, 3, 5) for name in ("mlp_tuned", "nmtune_tuned"))
    assert isinstance(mlp, MLPProbe)
    assert isinstance(nmtune, NMTune)
    torch.testing.assert_close(mlp.state_dict(), nmtune.state_dict(), rtol=0, atol=0)


def test_the_long_probe_is_long() -> None:
    assert METHODS["linear_probe_long"].epochs(30) == 120
    assert METHODS["linear_probe"].epochs(30) == 30
    assert METHODS["linear_probe"].build is METHODS["linear_probe_long"].build is LinearProbe


def test_configuration_chooses_in_the_order_of_the_table() -> None:
    config = StudyConfig(methods=("nmtune_tuned", "linear_probe"))
    assert list(chosen_methods(config)) == ["linear_probe", "nmtune_tuned"]
    assert list(chosen_methods(StudyConfig())) == list(METHODS)
    assert [note.name for note in method_notes(config)] == ["linear_probe", "nmtune_tuned"]


def test_configuration_changes_settings_and_says_so() -> None:
    config = StudyConfig(method_options={"nmtune_tuned": {"covariance_weight": 0.5, "learning_rate": 0.01}})
    method = chosen_methods(config)["nmtune_tuned"]
    assert method.learning_rate == 0.01
    assert method.head(8, 3, 0).config()["covariance_weight"] == 0.5
    assert "Changed in this study: covariance_weight 0.5, learning_rate 0.01." in method.description
    assert METHODS["nmtune_tuned"].learning_rate == 3e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"methods": ["nmtuned"]}, r"`methods`: expected one of .*, got 'nmtuned'; did you mean"),
        ({"methods": ["mlp"], "method_options": {"nmtune_tuned": {}}}, "`method_options`: expected one of 'mlp'"),
        (
            {"method_options": {"mlp": {"covariance_weight": 1}}},
            "`method_options.mlp`: expected one of 'learning_rate', .*, got 'covariance_weight'",
        ),
    ],
)
def test_unknown_methods_and_settings_are_config_errors(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_methods(StudyConfig.from_mapping(values))


def test_variants_follow_with_their_base_settings_and_label() -> None:
    given = {
        "slow MLP": {"method": "mlp", "learning_rate": 1e-4, "batch_size": 32},
        "wide": {"method": "nmtune_tuned", "width": 8, "residual": True, "label": "NMTune, wide"},
    }
    methods = chosen_methods(StudyConfig.from_mapping({"methods": ["linear_probe"], "variants": given}))
    assert list(methods) == ["linear_probe", "slow MLP", "wide"]
    assert methods["slow MLP"].settings == {"learning_rate": 1e-4, "batch_size": 32}
    assert [(method.label, method.base) for method in methods.values()] == [
        ("linear probe", ""), ("slow MLP", "mlp"), ("NMTune, wide", "nmtune_tuned"),
    ]  # fmt: skip
    config = methods["wide"].head(8, 3, 0).config()
    assert (config["hidden_features"], config["residual"], config["covariance_weight"]) == (64, True, 3.0)
    assert "Changed in this study: width 8, residual 1." in methods["wide"].description
    notes = method_notes(StudyConfig.from_mapping({"methods": ["mlp"], "variants": given}))
    assert [(note.name, note.role, note.base) for note in notes][1:] == [
        ("slow MLP", "ablation", "mlp"), ("wide", "ablation", "nmtune_tuned"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"mlp": {"method": "mlp"}}, "`variants.mlp`: expected a name that no method has, got 'mlp'"),
        ({"features": {"method": "mlp"}}, "`variants.features`: expected a name that no method has"),
        ({"ablation": {"method": "mlp"}}, "`variants.ablation`: expected a name that no method has"),
        ({"x": {"learning_rate": 1}}, "`variants.x.method`: expected the name of a method to vary, got none"),
        ({"x": {"method": "mpl"}}, r"`variants.x.method`: expected one of .*, got 'mpl'; did you mean 'mlp'\?"),
        ({"x": {"method": "mlp", "label": 3}}, "`variants.x.label`: expected a string, got 3"),
        ({"x": {"method": "mlp", "dropout": "much"}}, "`variants.x.dropout`: expected a number, got 'much'"),
        ({"x": {"method": "mlp", "width": 2}}, "`variants.x`: expected one of 'learning_rate', .*, got 'width'"),
    ],
)
def test_wrong_variants_are_config_errors(variant: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_methods(StudyConfig.from_mapping({"variants": variant}))
