"""A plan: which cells and parts there are, what their identities hold, and that sources are opened once."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisymodel.errors import ConfigError
from noisymodel.study import PretrainingConfig, StudyConfig, plan
from noisymodel.study.identity import STAGES
from noisymodel.study.plan import CellName, Part, Plan
from study import tiny

TUNED = Part("tuning", "fine", 4, "nmtune_tuned")


def keys(changes: dict[str, Any], part: Part = TUNED, cell: CellName | None = None) -> list[str]:
    """Of the networks, their features and a method."""
    planned = plan(tiny.glyphs(**changes))
    own = part._replace(shots=planned.config.shots[0])
    cell = cell or tiny.cell_name(1)
    identities = [planned.pretraining(cell), planned.identity(cell, Part("features", "fine"))]
    return [one.key for one in (*identities, planned.identity(cell, own))]


def test_the_default_study_has_a_cell_per_seed() -> None:
    planned = plan(StudyConfig())
    assert planned.cells == tuple(CellName("supervised", "mlp", "symmetric", seed) for seed in range(7000, 7008))
    assert str(planned.cells[0]) == "supervised mlp, symmetric noise, seed 7000"
    assert [planned.spoken(part) for part in planned.parts[:3]] == ["pretraining", "features", "linear_probe"]


def test_names_that_go_with_nothing_are_refused() -> None:
    for values, message in (
        ({"objectives": ["supervise"]}, "`objectives`: expected one of 'supervised'.*did you mean 'supervised'"),
        ({"noise_kinds": ["pair"]}, "`noise_kinds`: expected one of 'symmetric'"),
        ({"architectures": ["mlp", "mpl"]}, "`architectures`: .*got 'mpl'"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan(StudyConfig.from_mapping(values))


def test_overrides_of_names_that_there_are_not() -> None:
    for name in ("resnett", "contrastive/vitt"):
        pretraining = PretrainingConfig(overrides={name: {"epochs": 3}})
        with pytest.raises(ConfigError, match=rf"`pretraining\.overrides`: expected one of .*, got '{name}'"):
            plan(StudyConfig(pretraining=pretraining))
    for name in ("vit", "contrastive", "contrastive/vit", "timm:resnet18", "supervised/transformers:a/b"):
        assert plan(StudyConfig(pretraining=PretrainingConfig(overrides={name: {"epochs": 3}})))


PRETRAINING = tiny.GLYPHS["pretraining"]
CHANGES: dict[int, list[dict[str, Any]]] = {
    0: [
        {"data_options": {**tiny.GLYPHS["data_options"], "moved_strokes": 3}},
        {"noise_rates": [0, 0.2]},
        {"pretraining": PRETRAINING | {"epochs": 3}},
        {"pretraining": PRETRAINING | {"overrides": {"mlp": {"weight_decay": 0.3}}}},
    ],
    1: [{"shifts": ["small"]}],
    2: [{"shots": 5}, {"tuning": {"epochs": 3}}, {"method_options": {"nmtune_tuned": {"covariance_weight": 9}}}],
    3: [
        {"seeds": [1, 2, 3]},
        {"methods": ["nmtune_tuned"]},
        {"tasks": ["fine", "coarse"]},
        {"architectures": ["resnet", "mlp"]},
        {"method_options": {"linear_probe": {"label_smoothing": 0.1}}},
        {"method_options": {"nmtune_tuned": {"width": 4}}},  # as it is by default
        {"learning_curves": True},
        {"pretraining": PRETRAINING | {"patch_size": 2, "resnet_widths": [8], "temperature": 0.5}},
        {"pretraining": PRETRAINING | {"checkpoint_seconds": 5, "checkpoint_steps": 7, "device": "cuda"}},
        {"pretraining": PRETRAINING | {"overrides": {"vit": {"epochs": 9}}}},
    ],
}
"""First stage whose identity changes (of networks, features, method; 3: none) -> changes of the configuration."""


def test_an_identity_holds_what_values_depend_on_and_nothing_else() -> None:
    before = keys({})
    for first, changes in CHANGES.items():
        for change in changes:
            same = [one == other for one, other in zip(before, keys(change), strict=True)]
            assert same == [stage < first for stage in range(3)], change
    assert not set(before) & set(keys({}, cell=tiny.cell_name(2)))


def test_a_stage_whose_results_change_is_raised_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys({})
    monkeypatch.setitem(STAGES, "tuning", STAGES["tuning"] + 1)  # type: ignore[arg-type]
    assert [one == other for one, other in zip(before, keys({}), strict=True)] == [True, True, False]


def test_methods_with_the_same_settings_are_the_same_part() -> None:
    planned = plan(tiny.glyphs(methods=["mlp", "mlp_tuned"], method_options={"mlp": {"learning_rate": 0.003}}))
    one, other = (planned.identity(tiny.cell_name(1), Part("tuning", "fine", 4, name)) for name in planned.methods)
    assert one.key == other.key


def test_what_the_files_of_an_architecture_hold_is_in_the_identity(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "resnet", "hidden_sizes": [8, 16]}))

    def key(name: str) -> str:
        planned = plan(tiny.glyphs(architectures=[f"transformers:{tmp_path / name}"]))
        return planned.pretraining(planned.cells[0]).key

    before = key("one")
    assert key("two") == before, "the same files in another place"
    (tmp_path / "one" / "config.json").write_text(json.dumps({"model_type": "resnet", "hidden_sizes": [8, 32]}))
    assert key("one") != before


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, rows in (("pre", 40), ("check", 10), ("train", 20), ("test", 10), ("dim", 10)):
        labels = np.arange(rows) % 2
        images = generator.random((rows, 6, 6)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels, classes=np.array(["a", "b"]))
    return tmp_path


def suite(folder: Path, **changes: Any) -> dict[str, Any]:
    task = {"name": "t", "train": {"path": "train.npz"}, "test": {"path": "test.npz"}}
    task["shifts"] = [{"name": "dim", "path": "dim.npz"}]
    own = {"root": str(folder), "pictures": {"size": 6, "channels": 1}, "tasks": [task]}
    own |= {"pretraining": {"path": "pre.npz"}, "pretraining_check": {"path": "check.npz"}}
    return {"data": "suite", "suite": own | changes, "shots": 2, "methods": ["linear_probe"], "noise_rates": [0, 0.3]}


def test_sources_are_opened_once(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisymodel.study import run
    from noisymodel.study.data.suite import source

    opened: list[str] = []
    real = source.open_set
    monkeypatch.setattr(source, "open_set", lambda table, key, own: (opened.append(key), real(table, key, own))[1])
    tuning = {"pretraining": {"epochs": 1, "widths": [8]}, "tuning": {"epochs": 1}, "shifts": []}
    config = StudyConfig.from_mapping(suite(arrays) | tuning | {"seeds": [1, 2, 3]})
    assert len(run(config, workers=1).table) > 0
    assert sorted(opened) == sorted(set(opened))
    assert len(opened) == 5


def test_a_plan_travels_with_its_open_sources(arrays: Path) -> None:
    planned = plan(StudyConfig.from_mapping(suite(arrays) | {"seeds": [1, 2]}))
    first = [planned.identity(planned.cells[1], part).key for part in planned.parts]
    sent: Plan = pickle.loads(pickle.dumps(planned))  # noqa: S301 - our own
    for file in arrays.iterdir():
        file.unlink()
    assert [sent.identity(sent.cells[1], part).key for part in sent.parts] == first
    assert sent.source_of(sent.cells[1]).tasks["t"].test().labels.tolist() == [0, 1] * 5


def test_a_suite_is_known_by_what_its_files_hold(arrays: Path) -> None:
    def found(**changes: Any) -> list[str]:
        planned = plan(StudyConfig.from_mapping(suite(arrays, **changes) | {"seeds": [1]}))
        return [planned.pretraining(planned.cells[0]).key, planned.identity(planned.cells[0], planned.parts[-1]).key]

    before = found()
    assert found(title="another title", description="and words") == before
    np.savez(arrays / "dim.npz", images=np.ones((10, 6, 6), np.float32), labels=np.arange(10) % 2,
             classes=np.array(["a", "b"]))  # fmt: skip
    after = found()
    assert after[0] == before[0]
    assert after[1] != before[1]
