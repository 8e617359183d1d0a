"""Classifiers on the Hub, which is a folder here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from noisymodel import NMTuneClassifier


class Folder:
    """What of ``huggingface_hub.HfApi`` is called, on a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        assert exist_ok
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return f"{repo_id}: {commit_message}"


def test_up_and_down_again(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((30, 4)), np.arange(30) % 2
    classifier = NMTuneClassifier(random_state=0).fit(features, labels)
    assert classifier.push_to_hub("me/model", api=Folder(tmp_path)) == "me/model: NMTuneClassifier"
    loaded = NMTuneClassifier.from_pretrained(tmp_path / "me" / "model")
    np.testing.assert_array_equal(loaded.predict_proba(features), classifier.predict_proba(features))
    classifier.save_pretrained(tmp_path / "local")
    assert NMTuneClassifier.from_pretrained(tmp_path / "local").explanation_ == classifier.explanation_
    with pytest.raises(FileNotFoundError, match="neither a folder nor the name of a repository"):
        NMTuneClassifier.from_pretrained(tmp_path / "nothing")
