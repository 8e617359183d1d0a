"""Classifiers that an earlier version saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel import NMTune, NMTuneClassifier
from noisymodel.heads import Head, LinearProbe, MLPProbe

SCALE = 7.5


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("kind", [NMTune, MLPProbe, LinearProbe])
def test_format_1_answers_as_it_did(tmp_path: Path, kind: type[Head], residual: bool) -> None:
    """It divided features by one number before its head; the number goes into the head's weights."""
    generator = torch.Generator().manual_seed(0)
    own = {} if kind is LinearProbe else {"hidden_features": 6, "residual": residual, "input_noise": 0.0}
    head = kind(4, 3, normalize=None, generator=generator, **own).eval()
    head.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    record = json.loads(config.read_text())
    for name in ("normalize", "input_noise"):
        record["arguments"].pop(name, None)
    config.write_text(json.dumps(record))
    method = {NMTune: "nmtune", MLPProbe: "mlp", LinearProbe: "linear"}[kind]
    old = {
        "format": 1, "library_version": "0.1", "classes": {"dtype": "<i8", "labels": [0, 1, 2]},
        "parameters": {"method": method, "scale": "rms", "weights": "fixed", "epochs": 3}, "feature_names": None,
        "history": [{"epoch": 1}], "scale": SCALE, "backbone": None,
    }  # fmt: skip
    (tmp_path / "classifier.json").write_text(json.dumps(old))
    features = 10 * torch.randn(20, 4, generator=generator)
    loaded = NMTuneClassifier.load(tmp_path)
    wanted = head(features / SCALE).softmax(1).detach().numpy()
    np.testing.assert_allclose(loaded.predict_proba(features), wanted, atol=1e-5)
    loaded.save(tmp_path / "again")
    np.testing.assert_allclose(NMTuneClassifier.load(tmp_path / "again").predict_proba(features), wanted, atol=1e-5)


@pytest.mark.parametrize("file", ["classifier.json", "config.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "{}", "null", "1", '"text"'])
def test_json_of_another_shape_is_one_line(tmp_path: Path, file: str, content: str) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    NMTuneClassifier(method="linear", weights="fixed").fit(rows, np.arange(30) % 3).save(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=r"classifier\.json|config\.json") as raised:
        NMTuneClassifier.load(tmp_path)
    assert len(str(raised.value).splitlines()) == 1
