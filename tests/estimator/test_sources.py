"""A classifier on feature stores: their labels, and whose features they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_score

from noisymodel import FeatureStore, NMTuneClassifier
from noisymodel.errors import FeatureStoreError

SETTINGS = {"epochs": 20, "minimum_steps": 0, "batch_size": 16, "random_state": 0, "learning_rate": 1e-2}
HERE = {"backbone": "timm:resnet50", "weights": "abc", "note": "first"}


def rows(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, list[int]]:
    labels = [index % 3 for index in range(count)]
    noise = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return noise + 3 * torch.nn.functional.one_hot(torch.tensor(labels), 4), labels


def store(path: Path, metadata: dict | None = HERE, *, labelled: bool = True, dtype: str = "float32") -> FeatureStore:
    features, labels = rows()
    with FeatureStore.create(path, num_features=4, metadata=metadata, dtype=dtype) as made:
        made.append(features, labels if labelled else None)
    return FeatureStore.open(path)


def test_a_store_is_its_rows_and_labels(tmp_path: Path) -> None:
    features, labels = rows()
    held = store(tmp_path / "store")
    classifier = NMTuneClassifier(**SETTINGS).fit(held)
    from_arrays = NMTuneClassifier(**SETTINGS).fit(features.numpy(), labels)
    np.testing.assert_array_equal(classifier.predict_proba(held), from_arrays.predict_proba(features.numpy()))
    assert classifier.score(held) == from_arrays.score(features.numpy(), labels)
    assert classifier.backbone_ == {"backbone": "timm:resnet50", "weights": "abc"}
    assert from_arrays.backbone_ is None
    other = NMTuneClassifier(**SETTINGS).fit(held, np.array(list("abc"))[labels])
    assert set(other.predict(held)) == set("abc")


def test_half_precision_stores(tmp_path: Path) -> None:
    assert NMTuneClassifier(**SETTINGS).fit(store(tmp_path / "store", dtype="bfloat16")).n_features_in_ == 4


def test_a_store_of_another_backbone_is_refused(tmp_path: Path) -> None:
    classifier = NMTuneClassifier(**SETTINGS).fit(store(tmp_path / "here"))
    other = store(tmp_path / "there", HERE | {"weights": "xyz"})
    for method in (classifier.predict, classifier.predict_proba, classifier.transform, classifier.score):
        with pytest.raises(FeatureStoreError, match="weights is 'xyz' here and 'abc' there"):
            method(other)
    classifier.save(tmp_path / "model")
    with pytest.raises(FeatureStoreError, match="another backbone"):
        NMTuneClassifier.load(tmp_path / "model").predict(other)
    with pytest.raises(FeatureStoreError, match="does not say which backbone"):
        classifier.predict(store(tmp_path / "unknown", None))
    classifier.predict(store(tmp_path / "again", HERE | {"note": "second"}))


def test_without_provenance_nothing_is_compared(tmp_path: Path) -> None:
    classifier = NMTuneClassifier(**SETTINGS).fit(store(tmp_path / "unknown", None))
    assert classifier.backbone_ is None
    classifier.predict(store(tmp_path / "known"))


def test_labels_that_are_missing(tmp_path: Path) -> None:
    held = store(tmp_path / "store", labelled=False)
    with pytest.raises(ValueError, match=r"`y` is missing, and the store .* has no labels"):
        NMTuneClassifier(**SETTINGS).fit(held)
    with pytest.raises(ValueError, match=r"requires y to be passed"):
        NMTuneClassifier(**SETTINGS).fit(rows()[0].numpy())


def test_unseen_labels_count_as_wrong_with_a_warning() -> None:
    features, labels = rows()
    classifier = NMTuneClassifier(**SETTINGS).fit(features.numpy(), labels)
    with pytest.warns(UserWarning, match="labels that fit has not seen, which count as wrong: 7"):
        assert classifier.score(features[:2].numpy(), [7, 7]) == 0


def test_loaders_and_iterators_and_tensors_of_all_kinds() -> None:
    features, labels = rows()
    plain = NMTuneClassifier(**SETTINGS).fit(features.numpy(), labels)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(features, torch.tensor(labels)), batch_size=7)
    fitted = NMTuneClassifier(**SETTINGS).fit(loader)
    wanted = plain.predict_proba(features.numpy())
    np.testing.assert_array_equal(fitted.predict_proba(features.numpy()), wanted)
    np.testing.assert_array_equal(plain.predict_proba(loader), wanted)
    np.testing.assert_array_equal(plain.predict_proba(iter(features.split(9))), wanted)
    np.testing.assert_array_equal(plain.predict(part.numpy() for part in features.split(9)), plain.predict(features))
    assert plain.score(loader) == plain.score(features, labels)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        given = features.to(dtype).requires_grad_()
        assert NMTuneClassifier(**SETTINGS).fit(given, torch.tensor(labels)).predict(given).shape == (60,)
    with pytest.raises(ValueError, match="got batches without labels"):
        NMTuneClassifier(**SETTINGS).fit(iter(features.split(9)))
    with pytest.raises(ValueError, match="an iterator can be read once only"):
        plain.predict(iter([]))


def test_labels_that_are_none() -> None:
    features, labels = rows()
    for missing in ([None, *labels[1:]], np.array([None, *labels[1:]], dtype=object)):
        with pytest.raises(ValueError, match=r"got None in 1 of 60 rows \(rows 0\): leave those rows out"):
            NMTuneClassifier(**SETTINGS).fit(features.numpy(), missing)


def test_cross_validation_on_a_store(tmp_path: Path) -> None:
    held = store(tmp_path / "store")
    labels = held.labels
    scores = cross_val_score(NMTuneClassifier(method="linear", random_state=0), held, labels, cv=3)
    assert scores.min() > 0.8
    search = GridSearchCV(NMTuneClassifier(method="linear", random_state=0), {"calibrate": [True, False]}, cv=2)
    assert search.fit(held, labels).score(held, labels) > 0.8
