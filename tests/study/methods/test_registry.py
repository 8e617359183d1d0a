"""The table of methods: every entry builds, trains, and says what it does."""

from __future__ import annotations

import pytest
import torch

from noisymodel.errors import ConfigError
from noisymodel.heads import MLPProbe, NMTune, fit_kernel_probe, fit_linear_probe
from noisymodel.study import StudyConfig, TuningConfig
from noisymodel.study.methods import ALIASES, KNOWN, chosen_methods, method_notes
from noisymodel.study.methods.base import Material, SolvedMethod
from noisymodel.study.methods.frozen import ON_FEATURES

METHODS = {name: method for name, method in ON_FEATURES.items() if not isinstance(method, SolvedMethod)}


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
    assert METHODS["linear_probe"].build is METHODS["linear_probe_long"].build


def test_configuration_chooses_in_the_order_of_the_table() -> None:
    config = StudyConfig(methods=("nmtune_tuned", "linear_probe"))
    assert list(chosen_methods(config)) == ["linear_probe", "nmtune_tuned"]
    assert list(chosen_methods(StudyConfig())) == list(ON_FEATURES)
    assert [note.name for note in method_notes(chosen_methods(config))] == ["linear_probe", "nmtune_tuned"]


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
    chosen = chosen_methods(StudyConfig.from_mapping({"methods": ["mlp"], "variants": given}))
    notes = method_notes(chosen)
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
        ({"x": {"method": "mlp", "top_k": 2}}, "`variants.x`: expected one of 'learning_rate', .*, got 'top_k'"),
        ({"x": {"method": "mlp", "learning_rate": -1}}, "`variants.x.learning_rate`: expected a positive number"),
        ({"x": {"method": "mlp", "epochs_factor": 0}}, "`variants.x.epochs_factor`: expected a positive number, got 0"),
        ({"x": {"method": "mlp", "batch_size": 2.5}}, "`variants.x.batch_size`: expected an integer of at least 2"),
        ({"x": {"method": "mlp", "label_smoothing": 2}}, "`variants.x.label_smoothing`: expected a number from 0 to 1"),
    ],
)
def test_wrong_variants_are_config_errors(variant: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_methods(StudyConfig.from_mapping({"variants": variant}))


def material(shots: int, seed: int = 3) -> Material:
    """Rows of three classes, each around a place of its own; the network and the pictures are not looked at."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(shots)
    rows = torch.randn(3 * shots, 6, generator=generator) + 4 * torch.eye(3, 6)[labels]
    return Material(None, None, rows, labels, 3, seed, TuningConfig())  # pyright: ignore[reportArgumentType]


def test_solved_methods_are_the_convex_probes_of_the_library() -> None:
    data = material(10)
    for name, fit in (("linear", fit_linear_probe), ("kernel", fit_kernel_probe)):
        expected = fit(data.features, data.labels, num_classes=3, seed=3).head
        head = KNOWN[name].fitted(data)
        torch.testing.assert_close(head.state_dict(), expected.state_dict(), rtol=0, atol=0)
        assert not head.training
        assert KNOWN[name].epochs(30) == 1
        assert (head(data.features).argmax(1) == data.labels).float().mean() > 0.9
        assert KNOWN[name].fitted(material(1))(data.features).shape == (30, 3), "one row of a class is enough"
    assert set(ON_FEATURES) - set(METHODS) == {"linear", "kernel"}, "a default study has converged baselines"


def test_solved_methods_have_no_settings_of_a_training() -> None:
    given = {
        "methods": ["linear", "kernel"],
        "method_options": {"linear": {"standard_errors": 0}, "kernel": {"gamma": 2}},
    }
    methods = chosen_methods(StudyConfig.from_mapping(given))
    assert methods["kernel"].fitted(material(10)).gamma == 2
    assert methods["linear"].record != KNOWN["linear"].record
    for options in ({"learning_rate": 0.1}, {"epochs_factor": 2}, {"batch_size": 8}, {"gamma": 1}):
        given = {"methods": ["linear"], "method_options": {"linear": options}}
        with pytest.raises(ConfigError, match=r"`method_options.linear`: expected one of 'folds'"):
            chosen_methods(StudyConfig.from_mapping(given))
    with pytest.raises(ConfigError, match=r"`method_options.linear.folds`: expected an integer of at least 2, got 1"):
        chosen_methods(StudyConfig.from_mapping({"methods": ["linear"], "method_options": {"linear": {"folds": 1}}}))


def test_another_name_is_the_same_method() -> None:
    config = {"methods": ["linear_adamw"], "method_options": {"linear_adamw": {"label_smoothing": 0.1}}}
    ((name, method),) = chosen_methods(StudyConfig.from_mapping(config)).items()
    assert (name, method.settings["label_smoothing"]) == ("linear_probe", 0.1)
    assert not set(ALIASES) & set(KNOWN)


def test_no_two_builders_share_a_name() -> None:
    builders = {method.build for method in KNOWN.values()}
    assert len({build.__qualname__ for build in builders}) == len(builders), "identities hold the name"


def test_heads_do_not_follow_the_defaults_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `NMTune` and the probes do by default has no say in a study."""
    before = {name: method.head(8, 3, 0).config() for name, method in METHODS.items()}
    for kind in (NMTune, MLPProbe):
        changed = {"residual": True, "norm": None, "hidden_features": 5, "dropout": 0.5, "label_smoothing": 0.3}
        kept = {name: value for name, value in changed.items() if name in kind.__init__.__kwdefaults__}
        monkeypatch.setattr(kind.__init__, "__kwdefaults__", kind.__init__.__kwdefaults__ | kept)
    assert {name: method.head(8, 3, 0).config() for name, method in METHODS.items()} == before
