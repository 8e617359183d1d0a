"""What leaves torch keeps the answers of the head: the scale of the rows is inside."""

from __future__ import annotations

import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune, fit

FEATURES = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) * 1000
FEATURES[3] = 0
TARGETS = torch.arange(40) % 3


@pytest.mark.slow
@pytest.mark.parametrize("make", [NMTune, MLPProbe, LinearProbe])
def test_exported_and_compiled(make):
    head = fit(make(8, 3, generator=torch.Generator().manual_seed(0)), FEATURES, TARGETS, epochs=1, seed=0).head
    rows = torch.export.Dim("rows")
    exported = torch.export.export(head, (FEATURES,), dynamic_shapes={"features": {0: rows}}).module()
    compiled = torch.compile(head, backend="eager", fullgraph=True)
    for count in (40, 7, 1):
        torch.testing.assert_close(exported(FEATURES[:count]), head(FEATURES[:count]))
        torch.testing.assert_close(compiled(FEATURES[:count]), head(FEATURES[:count]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch about its own tracing
def test_the_loss_is_one_graph_with_its_noise():
    head = NMTune(8, 3, dropout=0.1, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        terms = torch.compile(head.loss, backend="eager", fullgraph=True)(FEATURES, TARGETS)
    assert terms.total.isfinite()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch and onnx about themselves
@pytest.mark.parametrize(
    ("make", "settings"),
    [(NMTune, {}), (NMTune, {"norm": "layer", "residual": True, "depth": 2}), (MLPProbe, {}), (LinearProbe, {})],
)
def test_onnx_gives_the_answers_of_the_head(make, settings, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    head = make(8, 3, **settings, normalize="l2", generator=torch.Generator().manual_seed(0))
    head = fit(head, FEATURES, TARGETS, epochs=1, seed=0).head
    rows = {"features": {0: torch.export.Dim("rows")}}
    torch.onnx.export(head, (FEATURES,), tmp_path / "head.onnx", dynamic_shapes=rows, dynamo=True, verbose=False)
    session = runtime.InferenceSession(tmp_path / "head.onnx", providers=["CPUExecutionProvider"])
    for features in (FEATURES, FEATURES[:7] * 1e-3, torch.zeros(2, 8)):
        (answers,) = session.run(None, {"features": features.numpy()})
        torch.testing.assert_close(torch.from_numpy(answers), head(features))
