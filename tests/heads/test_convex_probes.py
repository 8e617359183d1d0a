"""Linear and kernel probes whose penalties are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from noisymodel.heads import KernelProbe, LinearProbe, convex_probes, fit_kernel_probe, fit_linear_probe


def blobs(count: int = 90, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    ids = np.arange(count) % 3
    noise = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return noise + 2 * torch.eye(6)[ids], ids


@pytest.mark.parametrize("fit", [fit_linear_probe, fit_kernel_probe])
def test_probes_learn_whatever_the_scale(fit) -> None:
    features, ids = blobs()
    test, wanted = blobs(300, seed=1)
    found = fit(features, ids)
    assert (found.head(test).argmax(1).numpy() == wanted).mean() > 0.85
    large = fit(features * 1000, ids)
    torch.testing.assert_close(large.head(test * 1000).softmax(1), found.head(test).softmax(1), atol=1e-3, rtol=1e-3)
    assert not found.head.training
    assert found.out_of_fold.shape == (90, 3)


def test_the_linear_probe_is_logistic_regression_on_unit_rows() -> None:
    features, ids = blobs()
    found = fit_linear_probe(features.double(), ids, penalties=[0.05], calibrate=False)
    assert isinstance(found.head, LinearProbe)
    assert (found.penalty, found.factor, found.out_of_fold) == (0.05, 1.0, None)
    rows = torch.nn.functional.normalize(features.double(), dim=1).numpy() * 6**0.5
    other = LogisticRegression(C=1 / (0.05 * 90), tol=1e-9, max_iter=5000).fit(rows, ids)
    np.testing.assert_allclose(
        found.head(features.double()).softmax(1).detach().numpy(), other.predict_proba(rows), atol=1e-5
    )
    plain = fit_linear_probe(features.double(), ids, penalties=[0.05], calibrate=False, normalize=None)
    rows = features.double().numpy()
    other = LogisticRegression(C=1 / (0.05 * 90), tol=1e-9, max_iter=5000).fit(rows, ids)
    ours = plain.head(features.double()).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, other.predict_proba(rows), atol=1e-5)


def test_the_kernel_probe_is_exact_where_every_row_is_a_landmark() -> None:
    features, ids = blobs(30)
    features = features.double()
    found = fit_kernel_probe(features, ids, penalties=[1e-3], calibrate=False, gamma=2.0)
    unit = torch.nn.functional.normalize(features, dim=1)
    gram = torch.exp(-2.0 * torch.cdist(unit, unit).square())
    root = torch.linalg.cholesky(gram + 1e-12 * torch.eye(30, dtype=torch.float64))
    other = LogisticRegression(C=1 / (1e-3 * 30), tol=1e-10, max_iter=20000).fit(root.numpy(), ids)
    ours = found.head(features).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, other.predict_proba(root.numpy()), atol=1e-3)
    few = fit_kernel_probe(features, ids, landmarks=5, penalties=[1e-3], calibrate=False)
    assert few.head.config()["landmarks"] == 5


def test_weights_are_repeated_rows() -> None:
    features, ids = blobs(60)
    weights = np.random.default_rng(0).integers(1, 4, 60)
    options = {"penalties": [0.1], "calibrate": False}
    weighted = fit_linear_probe(features, ids, sample_weight=weights, **options)
    at = np.repeat(np.arange(60), weights)
    repeated = fit_linear_probe(features[at], ids[at], **options)
    torch.testing.assert_close(weighted.head(features), repeated.head(features), atol=1e-4, rtol=1e-4)


def test_calibration_multiplies_the_logits() -> None:
    features, ids = blobs()
    found, plain = (fit_kernel_probe(features, ids, calibrate=calibrate) for calibrate in (True, False))
    assert found.penalty == plain.penalty
    torch.testing.assert_close(found.head(features), found.factor * plain.head(features), atol=1e-3, rtol=1e-3)


def test_a_saved_kernel_probe_is_the_same(tmp_path: Path) -> None:
    features, ids = blobs()
    head = fit_kernel_probe(features, ids).head
    head.save_pretrained(tmp_path)
    torch.testing.assert_close(KernelProbe.from_pretrained(tmp_path)(features), head(features), atol=0, rtol=0)
    assert head(features.reshape(3, 30, 6)).shape == (3, 30, 3)
    assert head(features, return_features=True).tuned.norm(dim=1).allclose(torch.tensor(6**0.5))
    with pytest.raises(ValueError, match="holds a KernelProbe, not a LinearProbe"):
        LinearProbe.from_pretrained(tmp_path)


def test_bad_arguments() -> None:
    features, ids = blobs(12)
    for change, told in [
        ({"targets": ids[:5]}, "`targets` must have one entry per row"),
        ({"targets": ids + 0.5}, "`targets` must be class ids"),
        ({"num_classes": 2}, r"`targets` must be in \[0, 2\)"),
        ({"penalties": [0.1, 1.0]}, "`penalties` must be at least one number, strongest first"),
        ({"penalties": []}, "`penalties` must be"),
        ({"sample_weight": -np.ones(12)}, "`sample_weight` must be finite and not negative"),
        ({"sample_weight": np.ones(5)}, r"`sample_weight` must have shape \(12,\)"),
        ({"sample_weight": np.zeros(12)}, "`sample_weight` must not be all zero"),
        ({"folds": 1}, "`folds` must be at least 2"),
        ({"folds": np.zeros(5, dtype=int)}, "`folds` must be the fold of each of 12 rows"),
        ({"targets": torch.full((12, 3), torch.nan)}, "`targets` must be finite and not negative"),
        ({"targets": torch.ones(12, 3), "num_classes": 2}, "`targets` must have 2 columns"),
    ]:
        arguments = {"targets": ids} | change
        with pytest.raises(ValueError, match=told):
            fit_linear_probe(features, **arguments)
    for change, told in [
        ({"targets": "abc"}, "`targets` must be"),
        ({"sample_weight": ["a"] * 12}, "`sample_weight` must be numbers"),
        ({"folds": np.full(12, 0.5)}, "`folds` must be integers"),
        ({"penalties": 0.1}, "`penalties` must be a sequence of numbers"),
        ({"calibrate": "False"}, "`calibrate` must be"),
        ({"progress": 1}, "`progress` must be callable"),
    ]:
        with pytest.raises(TypeError, match=told):
            fit_linear_probe(features, **({"targets": ids} | change))
    with pytest.raises(ValueError, match="`gamma` must be"):
        fit_kernel_probe(features, ids, gamma=0)


def test_fewer_rows_than_features_have_the_same_solution_in_their_span(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.arange(40) % 3
    features = torch.randn(40, 90, generator=generator, dtype=torch.float64) + torch.eye(90)[ids]
    features[1] = features[0]  # of lower rank than there are rows
    found = fit_linear_probe(features, ids, penalties=(1.0, 0.1))
    monkeypatch.setattr(convex_probes, "_span", lambda rows: None)
    whole = fit_linear_probe(features, ids, penalties=(1.0, 0.1))
    assert found.penalty == whole.penalty
    assert found.head.classifier.weight.shape == (3, 90)
    torch.testing.assert_close(found.head(features), whole.head(features), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.out_of_fold, whole.out_of_fold, atol=2e-3, rtol=2e-3)
