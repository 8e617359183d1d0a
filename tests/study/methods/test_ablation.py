"""The ablation: each differs from the tuned NMTune in one respect, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisymodel.study import StudyConfig
from noisymodel.study.config import TuningConfig
from noisymodel.study.methods import GROUPS, base, chosen_methods, method_notes
from noisymodel.study.methods import KNOWN as METHODS
from noisymodel.study.methods.ablation import ABLATIONS, FULL
from noisymodel.study.methods.base import Material
from noisymodel.study.methods.frozen import TUNED, network


def settings(name: str) -> dict[str, object]:
    """What a head is made of."""
    return ABLATIONS[name].head(8, 3, 0).config()


FULL_CONFIG = METHODS[FULL].head(8, 3, 0).config()


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ablation_no_consistency", {"consistency_weight": 0.0}),
        ("ablation_no_covariance", {"covariance_weight": 0.0}),
        ("ablation_no_dominant", {"dominant_weight": 0.0}),
        ("ablation_only_consistency", {"covariance_weight": 0.0, "dominant_weight": 0.0}),
        ("ablation_only_covariance", {"consistency_weight": 0.0, "dominant_weight": 0.0}),
        ("ablation_only_dominant", {"consistency_weight": 0.0, "covariance_weight": 0.0}),
        (
            "ablation_paper_weights",
            {"consistency_weight": 0.01, "covariance_weight": 0.01, "dominant_weight": 0.01},
        ),
        ("ablation_batch_32", {}),
        ("ablation_batch_128", {}),
        ("ablation_batch_256", {}),
        ("ablation_residual", {"residual": True}),
        ("ablation_no_norm", {"norm": None}),
        ("ablation_width_1", {"hidden_features": 8}),
        ("ablation_width_2", {"hidden_features": 16}),
        ("ablation_width_8", {"hidden_features": 64}),
    ],
)
def test_each_differs_in_one_respect(name: str, changed: dict[str, object]) -> None:
    assert settings(name) == {**FULL_CONFIG, **changed}
    method = ABLATIONS[name]
    assert (method.base, method.role) == (FULL, "ablation")
    assert method.learning_rate == TUNED["learning_rate"]
    assert method.epochs(30) == 30
    assert method.label


def test_all_ablations_are_in_the_table_above() -> None:
    assert len(ABLATIONS) == 15
    assert len({method.label for method in ABLATIONS.values()}) == 15


@pytest.mark.parametrize("size", [32, 128, 256])
def test_batches_are_the_methods_own_and_the_steps_are_said(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def fit(head, rows, labels, *, epochs, batch_size, **_more):
        seen.append((epochs, batch_size))

    monkeypatch.setattr(base, "fit", fit)
    features = np.zeros((4, 8), dtype=np.float32)
    material = Material(None, features, torch.from_numpy(features), torch.zeros(4).long(), 3, 0, TuningConfig(epochs=7))
    ABLATIONS[f"ablation_batch_{size}"].fitted(material)
    METHODS[FULL].fitted(material)
    assert seen == [(7, size), (7, 64)]
    assert "the steps of batches of 64" in ABLATIONS[f"ablation_batch_{size}"].description


def test_the_group_runs_them_beside_the_full_method() -> None:
    config = StudyConfig(methods=("ablation",))
    assert list(chosen_methods(config)) == [FULL, *ABLATIONS] == list(GROUPS["ablation"])
    assert {note.base for note in method_notes(chosen_methods(config))} == {"", FULL}
    assert not set(ABLATIONS) & set(GROUPS["all"])


def test_the_network_takes_numbers() -> None:
    def config(**changes: float) -> dict[str, object]:
        settings = {name: value for name, value in TUNED.items() if name != "learning_rate"} | changes
        return network(8, 3, generator=torch.Generator().manual_seed(0), **settings).config()

    assert config(top_k=2.0)["top_k"] == 2
    assert config(width=0.01)["hidden_features"] == 1
    assert config(batch_norm=0.0)["norm"] is None
    assert config(residual=1.0)["residual"] is True
