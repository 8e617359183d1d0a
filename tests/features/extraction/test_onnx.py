"""Networks in ONNX files: tensors by name, and the file's hash."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from noisymodel.errors import FeatureStoreError, InputFileError, MissingExtraError
from noisymodel.features import extract, load_backbone
from noisymodel.files import file_checksum


def network(path: Path, seed: int = 0, *, outside: bool = False) -> Path:
    """inputs (N, 3) → hidden = relu(inputs · A) → logits = hidden · B."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(draw.normal(size=size).astype(np.float32), name)
        for name, size in (("A", (3, 5)), ("B", (5, 2)))
    ]
    nodes = [
        helper.make_node("MatMul", ["inputs", "A"], ["product"]),
        helper.make_node("Relu", ["product"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "B"], ["logits"]),
    ]
    given, got = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("inputs", 3), ("logits", 2))
    )
    graph = helper.make_graph(nodes, "network", [given], [got], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = {"save_as_external_data": True, "location": "network.weights", "size_threshold": 0} if outside else {}
    onnx.save_model(model, path, **options)
    return path


def rows(path: Path, tensor: str) -> np.ndarray:
    draw = np.random.default_rng(int(path.stem[-1]))
    first, second = (draw.normal(size=size).astype(np.float32) for size in ((3, 5), (5, 2)))
    hidden = np.maximum(INPUTS.numpy() @ first, 0)
    return hidden if tensor == "hidden" else hidden @ second


INPUTS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))


def test_the_output_and_tensors_by_name(tmp_path: Path) -> None:
    path = network(tmp_path / "net0.onnx")
    store = extract(f"onnx:{path}", [(INPUTS, range(7))], tmp_path / "output")
    assert np.allclose(store[:], rows(path, "logits"), atol=1e-5)
    stores = extract(f"onnx:{path}", [INPUTS[:4], INPUTS[4:]], tmp_path / "both", layer=["hidden", "logits", "output"])
    assert np.allclose(stores["hidden"][:], rows(path, "hidden"), atol=1e-5)
    assert torch.equal(stores["logits"][:], stores["output"][:])
    assert torch.allclose(stores["logits"][:], store[:], atol=1e-6)
    assert len(extract(f"onnx:{path}", [(INPUTS, range(7))], tmp_path / "output")) == 7  # goes on
    with pytest.raises(
        ValueError, match=r"`layer` must name tensors of net0.onnx, such as its outputs logits, got nothing"
    ):
        extract(f"onnx:{path}", [INPUTS], tmp_path / "none", layer="nothing")
    with pytest.raises(ValueError, match="needs the inputs inputs, and inputs is not given"):
        extract(f"onnx:{path}", [{"x": INPUTS}], tmp_path / "none")


def test_two_networks_are_told_apart_by_their_files(tmp_path: Path) -> None:
    first, second = (network(tmp_path / str(seed) / f"net{seed}.onnx", seed) for seed in _made(tmp_path))
    shutil.copy(second, tmp_path / "net0.onnx")
    stores = [extract(f"onnx:{path}", [INPUTS], tmp_path / f"store{at}") for at, path in enumerate((first, second))]
    assert stores[0].metadata["weights"] == file_checksum(first)
    with pytest.raises(FeatureStoreError, match="weights is"):
        stores[0].check_backbone(extract(f"onnx:{tmp_path / 'net0.onnx'}", [INPUTS], tmp_path / "other"))


def _made(folder: Path) -> tuple[int, int]:
    for seed in (0, 1):
        (folder / str(seed)).mkdir()
    return 0, 1


def test_weights_outside_the_file_count(tmp_path: Path) -> None:
    path = network(tmp_path / "net0.onnx", outside=True)
    before = load_backbone(f"onnx:{path}").metadata["weights"]
    hidden = extract(f"onnx:{path}", [INPUTS], tmp_path / "store", layer="hidden")
    assert np.allclose(hidden[:], rows(path, "hidden"), atol=1e-5)
    weights = tmp_path / "network.weights"
    content = bytearray(weights.read_bytes())
    content[3] ^= 1
    weights.write_bytes(content)
    assert load_backbone(f"onnx:{path}").metadata["weights"] != before
    weights.unlink()
    with pytest.raises(InputFileError):
        load_backbone(f"onnx:{path}")


def test_what_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputFileError, match="there is no ONNX file"):
        load_backbone(f"onnx:{tmp_path / 'none.onnx'}")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputFileError, match=r"bad.onnx cannot be loaded: "):
        load_backbone(f"onnx:{tmp_path / 'bad.onnx'}")
    path = network(tmp_path / "net0.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"noisymodel\[onnx\]"):
        load_backbone(f"onnx:{path}")
