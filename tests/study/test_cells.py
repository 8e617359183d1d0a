"""One seed of a study: what it stores, under which names, and that it measures what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import spectrum
from noisymodel.study.cells import Cell, Part
from noisymodel.study.pretraining.corruption import noisy_labels
from noisymodel.study.record import Row
from noisymodel.study.storage import Storage
from study import tiny


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    cell = Cell(tiny.glyphs(), tiny.cell_name(1), Storage(tmp_path_factory.mktemp("cache")))
    told: list[str] = []
    cell.compute(told.append)
    assert told == ["pretraining", "linear_probe", "nmtune_tuned"]
    return cell


def test_rows_are_complete(cell: Cell) -> None:
    rows = list(cell.rows())
    keys = [(row.noise_rate, row.method, row.shift, row.metric) for row in rows]
    assert len(set(keys)) == len(keys)
    expected = 2 * (2 + 3 * 5 + 3 + (3 + 3))  # per rate: network, features on three tests, probe, NMTune and its Z
    assert len(rows) == expected
    assert {row.seed for row in rows} == {1}
    assert {(row.split, row.shift) for row in rows} == {("id", "none"), ("ood", "small"), ("ood", "salt")}
    assert {row.architecture for row in rows} == {"mlp-256-32-16"}
    assert {row.shots for row in rows if row.metric == "accuracy"} == {4}
    assert all(0 <= row.value <= 1 for row in rows if row.metric == "accuracy")


def value(rows: list[Row], **wanted: object) -> float:
    (found,) = [row.value for row in rows if all(getattr(row, key) == want for key, want in wanted.items())]
    return found


def test_numbers_are_those_of_the_networks(cell: Cell) -> None:
    rows = list(cell.rows())
    pictures, check, test = (
        cell.source.pretraining(),
        cell.source.pretraining_check(),
        cell.tasks["fine"].shifted("salt"),
    )
    for index, rate in enumerate((0.0, 0.3)):
        given = noisy_labels(cell.request, rate)
        network = cell.pretrained().one(index)
        reproduced = network(torch.from_numpy(pictures.inputs)).argmax(1).numpy() == given
        correct = network(torch.from_numpy(check.inputs)).argmax(1).numpy() == check.labels
        assert value(rows, noise_rate=rate, metric="noisy_label_fit") == np.mean(reproduced)
        assert value(rows, noise_rate=rate, metric="clean_accuracy") == np.mean(correct)
        analysis = spectrum.analyze(network.features(torch.from_numpy(test.inputs)))
        salted = value(rows, noise_rate=rate, method="features", shift="salt", metric="singular_value_entropy")
        assert salted == analysis.entropy
        measures = cell.measures()
        assert measures is not None
        assert (
            measures["spectra"]["fine"][f"rate={rate:g}/seed=1/salt"] == np.asarray(analysis.singular_values).tolist()
        )


def test_noise_is_exact_and_nested(cell: Cell) -> None:
    pictures = cell.source.pretraining()
    config = tiny.glyphs(noise_rates=[0, 0.1, 0.3])
    request = Cell(config, tiny.cell_name(1), cell.storage).request
    clean, slight, strong = (noisy_labels(request, rate) for rate in request.noise_rates)
    assert np.array_equal(clean, pictures.labels)
    assert ((slight != clean).sum(), (strong != clean).sum()) == (30, 90)
    assert np.array_equal(slight[slight != clean], strong[slight != clean])


def test_second_time_computes_nothing(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("noisymodel.study.cells.pretrain", never)
    monkeypatch.setattr("noisymodel.study.method.fit", never)
    again = Cell(tiny.glyphs(), tiny.cell_name(1), Storage(cell.storage.folder))
    again.compute(lambda _: None)
    assert list(again.rows()) == list(cell.rows())


def test_other_methods_do_not_pretrain_again(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("pre-trained again")

    monkeypatch.setattr("noisymodel.study.cells.pretrain", never)
    other = Cell(tiny.glyphs(methods=["linear_probe", "mlp"], shots=3), tiny.cell_name(1), Storage(cell.storage.folder))
    other.compute(lambda _: None)
    assert {row.method for row in other.rows()} == {"pretraining", "features", "linear_probe", "mlp"}


def test_stored_networks_are_the_trained_ones_to_the_bit(cell: Cell) -> None:
    loaded = Cell(tiny.glyphs(), tiny.cell_name(1), Storage(cell.storage.folder)).pretrained()
    for state, kept in zip(cell.pretrained().states, loaded.states, strict=True):
        assert set(state) == set(kept)
        assert all(torch.equal(state[name], kept[name]) for name in state)


CHANGES = {
    "pretraining": [
        {"data_options": {**tiny.GLYPHS["data_options"], "moved_strokes": 3}},
        {"noise_rates": [0, 0.2]},
        {"pretraining": {**tiny.GLYPHS["pretraining"], "epochs": 3}},
    ],
    "measures": [{"shifts": ["small"]}],
    "tuning": [{"shots": 5}, {"tuning": {"epochs": 3}}, {"method_options": {"nmtune_tuned": {"covariance_weight": 9}}}],
    "nothing": [
        {"seeds": [1, 2, 3]},
        {"methods": ["nmtune_tuned"]},
        {"method_options": {"linear_probe": {"label_smoothing": 0.1}}},
    ],
}


@pytest.mark.parametrize(
    ("what", "change"), [(what, change) for what, changes in CHANGES.items() for change in changes], ids=str
)
def test_names_of_parts_hold_what_they_depend_on(cell: Cell, what: str, change: dict[str, object]) -> None:
    def keys(cell: Cell) -> list[str]:
        return [
            cell.pretraining_key,
            cell.measures_key,
            cell.tuning_key(Part("fine", cell.config.shots[0], "nmtune_tuned")),
        ]

    other = Cell(tiny.glyphs(**change), tiny.cell_name(1), cell.storage)
    same = [a == b for a, b in zip(keys(cell), keys(other), strict=True)]
    first_changed = {"pretraining": 0, "measures": 1, "tuning": 2, "nothing": 3}[what]
    assert same == [index < first_changed for index in range(3)]
    assert Cell(tiny.glyphs(), tiny.cell_name(2), cell.storage).pretraining_key != cell.pretraining_key
    assert (
        Cell(tiny.glyphs(), tiny.cell_name(1), Storage(cell.storage.folder, code="other")).pretraining_key
        != cell.pretraining_key
    )


def test_unfinished_cell_says_so(cell: Cell, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="supervised mlp, symmetric noise, seed 1 is not complete"):
        list(Cell(tiny.glyphs(), tiny.cell_name(1), Storage(tmp_path)).rows())
