"""The methods of other papers in the study: each runs from the table, says what it does, and does it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch

from noisymodel._random import tensor_generator
from noisymodel.baselines import WhitenedProbe, interpolate, whitening
from noisymodel.errors import ConfigError, MissingExtraError
from noisymodel.study import StudyConfig, plan
from noisymodel.study.analysis.summary import BASELINES, COUNTERPARTS, is_variant
from noisymodel.study.cell import Cell
from noisymodel.study.collect import collect
from noisymodel.study.methods import ALL_METHODS, GROUPS, chosen_methods, method_notes
from noisymodel.study.methods.base import Material, MaterialMethod, Method
from noisymodel.study.methods.finetuning import IN_THE_NETWORK
from noisymodel.study.methods.frozen import ON_FEATURES as METHODS
from noisymodel.study.methods.frozen import OTHERS
from noisymodel.study.part_cache import PartCache
from noisymodel.study.plan import Part
from study import tiny

NEIGHBOURS = {**OTHERS, **IN_THE_NETWORK}
TRAINED = [name for name, method in NEIGHBOURS.items() if isinstance(method, MaterialMethod)]


def needs_peft(name: str) -> object:
    missing = bool(NEIGHBOURS[name].packages) and importlib.util.find_spec("peft") is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason="needs peft"))


each_method = pytest.mark.parametrize("name", [needs_peft(name) for name in TRAINED])


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return Cell(plan(tiny.glyphs()), tiny.cell_name(1), PartCache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def material(cell: Cell) -> Material:
    features = cell.frozen(0.3, "fine").training[4]
    return cell.material(cell.pretrained().one(1), features, Part("tuning", "fine", 4, "linear_probe"))


@each_method
def test_every_method_trains_from_its_seed(name: str, material: Material) -> None:
    method = NEIGHBOURS[name]
    network = {key: value.clone() for key, value in material.network.state_dict().items()}
    head, again, other = (method.fitted(material._replace(seed=seed)) for seed in (1, 1, 2))
    rows = material.pixels if method.sees_pictures else material.features
    assert not head.training
    assert head(rows).shape == (len(rows), material.classes)
    assert head.tune(rows).shape == material.features.shape
    assert torch.equal(head(rows), again(rows))
    assert not torch.equal(head(rows), other(rows))
    torch.testing.assert_close(material.network.state_dict(), network, rtol=0, atol=0)
    assert method.description.endswith(".")
    assert method.role in {"method", "baseline", "control"}


@each_method
def test_every_setting_changes_the_result(name: str, material: Material) -> None:
    method = NEIGHBOURS[name]
    rows = material.pixels if method.sees_pictures else material.features
    logits = method.fitted(material)(rows)
    for setting, value in method.settings.items():
        changed = replace(method, settings={**method.settings, setting: value * 0.5 if value < 1 else value * 3})
        assert not torch.equal(changed.fitted(material)(rows), logits), setting
        assert changed.record != method.record


def test_a_study_of_all_methods_has_a_number_for_each(cell: Cell) -> None:
    pytest.importorskip("peft")
    planned = plan(tiny.glyphs(methods=["linear_probe", "neighbours", "whitebox"], seeds=[1]))
    assert Cell(planned, tiny.cell_name(1), cell.cache).compute() == []
    rows = collect(planned, cell.cache).table
    for name in ("linear_probe", *NEIGHBOURS):
        accuracies = [row.value for row in rows if row.method == name and row.metric == "accuracy"]
        assert len(accuracies) == 2 * 3
        assert all(0 <= value <= 1 for value in accuracies)
        reshaped = {row.metric for row in rows if row.method == name} & {"effective_rank"}
        assert bool(reshaped) is (name != "linear_probe")


def test_accuracy_is_that_of_the_fitted_head_on_pictures(cell: Cell, material: Material) -> None:
    planned = plan(tiny.glyphs(methods=["full_fine_tuning"], seeds=[1]))
    single = Cell(planned, tiny.cell_name(1), cell.cache)
    single.compute()
    head = NEIGHBOURS["full_fine_tuning"].fitted(material)
    pictures = single.tasks["fine"].shifted("salt")
    correct = head(torch.from_numpy(pictures.inputs).flatten(1)).argmax(1).numpy() == pictures.labels
    (found,) = [
        row.value
        for row in collect(planned, cell.cache).table
        if (row.method, row.noise_rate, row.shift, row.metric) == ("full_fine_tuning", 0.3, "salt", "accuracy")
    ]
    assert found == correct.mean()


def test_lp_ft_begins_from_the_linear_probe(material: Material) -> None:
    method = NEIGHBOURS["lp_ft"]
    start = method.build(material, generator=tensor_generator(material.seed, 2), **method.keywords).eval()
    probe = METHODS["linear_probe"]
    assert method.keywords == {"probe_learning_rate": probe.learning_rate}
    classifier = probe.fitted(material).classifier
    torch.testing.assert_close(start.classifier.state_dict(), classifier.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(start.tune(material.pixels), material.features)


def test_wise_ft_lies_half_way_between_the_probe_and_lp_ft(material: Material) -> None:
    method = NEIGHBOURS["wise_ft"]
    assert method.settings == {**NEIGHBOURS["lp_ft"].settings, "interpolation": 0.5}
    begin, half, end = (
        replace(method, settings={**method.settings, "interpolation": alpha}).fitted(material).state_dict()
        for alpha in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, interpolate(begin, end, 0.5))
    torch.testing.assert_close(end, NEIGHBOURS["lp_ft"].fitted(material).state_dict(), rtol=0, atol=0)
    for name, value in material.network.backbone.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(begin[f"network.backbone.{name}"], value)


def test_whitened_probe_is_fitted_on_the_training_features(material: Material) -> None:
    head = NEIGHBOURS["whitened_probe"].fitted(material)
    assert isinstance(head, WhitenedProbe)
    mean, matrix = whitening(material.features, shrinkage=0.1)
    torch.testing.assert_close(head.tune(material.features), (material.features - mean) @ matrix)


def test_gradient_matching_keeps_the_running_statistics_of_the_mlp(material: Material) -> None:
    method = NEIGHBOURS["local_gradient_matching"]
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    head = method.build(material, generator=generators[0], **method.keywords)
    mlp = METHODS["mlp"].build(material.features.shape[1], material.classes, generator=generators[1])
    with torch.random.fork_rng(devices=[]):
        terms = head.loss(material.features, material.labels)
    plain = mlp.loss(material.features, material.labels)
    assert terms.task == plain.task
    assert terms.total > terms.task
    for (name, ours), theirs in zip(head.named_buffers(), mlp.buffers(), strict=True):
        assert torch.equal(ours, theirs) or name.endswith("num_batches_tracked")


def test_nmtune_terms_as_in_the_published_code(material: Material) -> None:
    pytest.importorskip("peft")
    for name in ("nmtune_fine_tuning", "nmtune_lora", "nmtune_fine_tuning_mlp", "nmtune_lora_mlp"):
        method = NEIGHBOURS[name]
        head = method.build(material, generator=torch.Generator().manual_seed(0), **method.keywords)
        objective, on_top = head.objective, name.endswith("mlp")
        assert (objective.covariance_weight, objective.dominant_weight, objective.top_k) == (0.04, 0.001, 5)
        terms = head.loss(material.pixels, material.labels)
        assert (terms.consistency > 0).item() is on_top
        assert terms.covariance > 0 > terms.dominant
        assert any("lora" in parameter for parameter, _ in head.named_parameters()) is ("lora" in name)


def test_default_study_runs_the_default_methods_alone() -> None:
    assert list(chosen_methods(StudyConfig())) == list(METHODS) == list(GROUPS["default"])
    assert not any(method.sees_pictures for method in METHODS.values())
    assert set(ALL_METHODS) == {*METHODS, *NEIGHBOURS} == set(GROUPS["all"])


def test_groups_stand_for_their_methods() -> None:
    pytest.importorskip("peft")
    assert list(chosen_methods(StudyConfig(methods=("neighbours",)))) == list(OTHERS)
    mixed = chosen_methods(StudyConfig(methods=("whitebox", "mlp", "lora")))
    assert list(mixed) == ["mlp", *GROUPS["whitebox"]]
    assert [note.name for note in method_notes(chosen_methods(StudyConfig(methods=("all",))))] == list(ALL_METHODS)
    with pytest.raises(ConfigError, match=r"got 'white_box'; did you mean 'whitebox'\?"):
        chosen_methods(StudyConfig(methods=("white_box",)))


def test_options_of_a_neighbour_are_its_settings() -> None:
    options = {"wise_ft": {"interpolation": 0.2, "epochs_factor": 2}}
    method = chosen_methods(StudyConfig(methods=("wise_ft",), method_options=options))["wise_ft"]
    assert method.epochs(10) == 20
    assert "Changed in this study: interpolation 0.2, epochs_factor 2." in method.description
    for name in ("full_fine_tuning", "nmtune_lora"):
        if name == "nmtune_lora":
            pytest.importorskip("peft")
        with pytest.raises(ConfigError, match=rf"`method_options.{name}`: expected one of .*got 'dropout'"):
            chosen_methods(StudyConfig(methods=(name,), method_options={name: {"dropout": 0.5}}))


def test_missing_peft_is_known_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisymodel.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"noisymodel\[peft\]"):
        chosen_methods(StudyConfig(methods=("nmtune_lora",)))
    assert list(chosen_methods(StudyConfig(methods=("full_fine_tuning",)))) == ["full_fine_tuning"]


def test_every_neighbour_has_counterparts_that_exist() -> None:
    assert set(COUNTERPARTS) == {*NEIGHBOURS, "linear", "kernel"}
    assert {name for pair in COUNTERPARTS.values() for name in pair} <= set(ALL_METHODS)
    assert all(pair[0] == BASELINES[0] for pair in COUNTERPARTS.values())
    assert {name for name in NEIGHBOURS if is_variant(name)} == {
        name for name, method in NEIGHBOURS.items() if method.role == "method"
    }


def test_methods_on_features_know_nothing_of_pictures() -> None:
    assert Method.sees_pictures is False
    assert [name for name, method in NEIGHBOURS.items() if not method.sees_pictures] == list(GROUPS["neighbours"])
