"""From a backbone to a store: what goes in, what is taken, what survives, and what the backbone is like afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import FeatureStore
from noisymodel.errors import FeatureStoreError
from noisymodel.features import extract, weights_fingerprint


def backbone(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(20, 3)
        )


def data(count: int = 10, seed: int = 1) -> TensorDataset:
    pictures = torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(pictures, torch.arange(count) % 3)


def loader(count: int = 10, source: TensorDataset | None = None, **options) -> DataLoader:
    return DataLoader(source or data(count), batch_size=4, generator=torch.Generator(), **options)


def expected(module: nn.Module, count: int = 10) -> Tensor:
    was = module.training
    with torch.no_grad():
        rows = module.eval()(data(count).tensors[0])
    module.train(was)
    return rows


def test_rows_are_the_output_in_evaluation_mode(tmp_path: Path) -> None:
    module = backbone()
    store = extract(module, loader(), tmp_path / "store")
    assert torch.allclose(store[:], expected(module), atol=1e-6)
    assert store.labels is not None
    assert store.labels[:].tolist() == [index % 3 for index in range(10)]
    assert store.ids is None
    assert store.metadata["weights"] == weights_fingerprint(module)
    assert store.metadata["backbone"] == "torch.nn.modules.container.Sequential"
    assert store.metadata["versions"]["torch"] == torch.__version__
    store.verify()


def test_workers_give_the_same(tmp_path: Path) -> None:
    store = extract(backbone(), loader(num_workers=2), tmp_path / "store")
    assert torch.allclose(store[:], expected(backbone()), atol=1e-6)


def test_layers_by_name_before_and_after(tmp_path: Path) -> None:
    module = backbone()
    images = data().tensors[0]
    names = ["output", "0", "5:input", "3"]
    stores = extract(module, loader(), tmp_path / "all", layer=names)
    assert list(stores) == names
    assert torch.allclose(stores["0"][:], module[0](images).mean((2, 3)), atol=1e-6)
    flat = module.eval()[:4](images)
    assert torch.allclose(stores["5:input"][:], flat, atol=1e-6)
    assert torch.allclose(stores["3"][:], flat, atol=1e-6)
    assert torch.allclose(stores["output"][:], module(images), atol=1e-6)
    alone = extract(module, loader(), tmp_path / "alone", layer="0")
    assert torch.equal(alone[:], stores["0"][:])
    assert (tmp_path / "all" / "5:input" / "manifest.json").exists()
    with pytest.raises(FeatureStoreError, match="another backbone"):
        alone.check_backbone(stores["3"])


class Tokens(nn.Module):
    """(B, T) numbers to (B, T, 2)."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return torch.stack([input_ids.float(), input_ids.float() ** 2], 2)


TOKENS = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])


@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [("mean", [[2, 14 / 3], [4.5, 20.5]]), ("cls", [[1, 1], [4, 16]]), ("last", [[3, 9], [5, 25]])],
)
def test_pooling_of_tokens_under_a_mask(tmp_path: Path, pooling: str, wanted: list) -> None:
    batch = {"input_ids": TOKENS, "attention_mask": MASK, "labels": [0, 1], "ids": ["a", "b"]}
    store = extract(Tokens(), [batch], tmp_path / "store", pooling=pooling)
    assert torch.allclose(store[:], torch.tensor(wanted, dtype=torch.float32))
    assert list(store.ids[:]) == ["a", "b"]


def test_masks_may_be_padded_on_the_left(tmp_path: Path) -> None:
    batch = {"input_ids": TOKENS.flip(1), "attention_mask": MASK.flip(1)}
    store = extract(Tokens(), [batch], tmp_path / "store", pooling="last")
    assert store[:].tolist() == [[1, 1], [4, 16]]


def test_without_a_mask_all_tokens_count(tmp_path: Path) -> None:
    store = extract(Tokens(), [(TOKENS, [0, 1])], tmp_path / "mean")
    assert torch.allclose(store[:][:, 0], torch.tensor([1.5, 2.25]))
    assert extract(Tokens(), [TOKENS], tmp_path / "last", pooling="last")[:].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("batch", "labels", "ids"),
    [
        (torch.ones(2, 20), None, None),
        (np.ones((2, 20), dtype=np.float32), None, None),
        ([torch.ones(2, 20), torch.tensor([1, 0])], [1, 0], None),
        ((torch.ones(2, 20), [1, 0], ["a", "b"]), [1, 0], ["a", "b"]),
        ((torch.ones(2, 20), None, torch.tensor([7, 8])), None, [7, 8]),
        ({"input": torch.ones(2, 20), "label": torch.tensor([1, 0]), "__key__": ["a", "b"]}, [1, 0], ["a", "b"]),
        (({"input": torch.ones(2, 20)}, torch.tensor([1, 0])), [1, 0], None),
    ],
)
def test_batches_of_all_kinds(tmp_path: Path, batch: object, labels: list | None, ids: list | None) -> None:
    store = extract(backbone()[5], [batch], tmp_path / "store")
    assert len(store) == 2
    assert (None if store.labels is None else store.labels[:].tolist()) == labels
    found = None if store.ids is None else store.ids[:]
    assert (found.tolist() if isinstance(found, Tensor) else found) == ids


@pytest.mark.parametrize(("dtype", "wanted"), [(None, torch.float32), ("float16", torch.float16)])
def test_dtypes(tmp_path: Path, dtype: str | None, wanted: torch.dtype) -> None:
    assert extract(backbone(), loader(), tmp_path / "a", dtype=dtype).dtype == wanted
    double = backbone().double()
    batches = [(pictures.double(), labels) for pictures, labels in loader()]
    assert extract(double, batches, tmp_path / "b", dtype=dtype).dtype == wanted


def test_autocast(tmp_path: Path) -> None:
    store = extract(backbone(), loader(), tmp_path / "store", autocast=torch.bfloat16)
    assert store.dtype == torch.bfloat16
    assert torch.allclose(store[:].float(), expected(backbone()), atol=0.05)
    assert store.metadata["autocast"] == "torch.bfloat16"


class Failing(nn.Module):
    """Fails at the third pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.passes = backbone(), 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == 3:
            raise RuntimeError("out of luck")
        return self.inner(pictures)


@pytest.mark.parametrize("fails", [False, True])
def test_the_backbone_is_left_as_it_was(tmp_path: Path, fails: bool) -> None:
    module = Failing()
    module.passes = 0 if fails else 100
    module.train()
    module.inner[1].eval()
    module.inner[5].weight.requires_grad_(False)
    module.inner[4].p = 0.0
    module.inner(data().tensors[0]).sum().backward()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    gradients = [None if value.grad is None else value.grad.clone() for value in module.parameters()]
    modes = [part.training for part in module.modules()]
    needs = [value.requires_grad for value in module.parameters()]
    if fails:
        with pytest.raises(RuntimeError, match="out of luck"):
            extract(module, loader(), tmp_path / "store", layer=["inner.0", "output"])
    else:
        extract(module, loader(), tmp_path / "store", layer=["inner.0", "output"])
    assert [part.training for part in module.modules()] == modes
    assert [value.requires_grad for value in module.parameters()] == needs
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for value, gradient in zip(module.parameters(), gradients, strict=True):
        assert (value.grad is None and gradient is None) or torch.equal(value.grad, gradient)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_another_device_for_the_time_of_the_pass(tmp_path: Path) -> None:
    module = backbone().to("meta")
    with pytest.raises(NotImplementedError):  # nothing can be copied from meta; the module stays where it was
        extract(module, loader(), tmp_path / "store", device="cpu", check_determinism=False)
    assert next(module.parameters()).device.type == "meta"


class Counting(nn.Module):
    def __init__(self, fail_at: int = 0) -> None:
        super().__init__()
        self.inner, self.passes, self.fail_at = backbone(), 0, fail_at

    def forward(self, pictures: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == self.fail_at:
            raise KeyboardInterrupt
        return self.inner(pictures)


def test_committed_rows_are_not_computed_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(Counting(fail_at=5), loader(30), tmp_path / "store", shard_rows=3)
    assert len(FeatureStore.open(tmp_path / "store")) == 12
    going_on = Counting()
    store = extract(going_on, loader(30), tmp_path / "store", shard_rows=3)
    assert torch.allclose(store[:], expected(backbone(), 30), atol=1e-6)
    assert going_on.passes == 2 + 5  # the first batch twice, then what was missing
    done = Counting()
    extract(done, loader(30), tmp_path / "store")
    assert done.passes == 2
    store.verify()


KILLED = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from features.extraction.test_extract import backbone, loader
from noisymodel.features import extract
class Slow(torch.nn.Module):
    passes = 0
    def __init__(self):
        super().__init__()
        self.inner = backbone()
    def forward(self, pictures):
        Slow.passes += 1
        if Slow.passes == 6:
            import os
            os.kill(os.getpid(), 9)
        return self.inner(pictures)
extract(Slow(), loader(30), sys.argv[1], shard_rows=5)
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store"), tests], env=environment, check=False)
    assert done.returncode == -9
    assert len(FeatureStore.open(tmp_path / "store")) == 15

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = backbone()

        def forward(self, pictures: Tensor) -> Tensor:
            return self.inner(pictures)

    Slow.__module__, Slow.__qualname__ = "__main__", "Slow"
    store = extract(Slow(), loader(30), tmp_path / "store", shard_rows=5)
    assert torch.allclose(store[:], expected(backbone(), 30), atol=1e-6)


def test_another_run_is_refused(tmp_path: Path) -> None:
    extract(backbone(), loader(), tmp_path / "store")
    with pytest.raises(FeatureStoreError, match="another backbone: weights is"):
        extract(backbone(seed=1), loader(), tmp_path / "store")
    with pytest.raises(FeatureStoreError, match=r"rows 0 to 3 of .* are of other samples"):
        extract(backbone(), loader(source=data(seed=2)), tmp_path / "store")
    others = TensorDataset(data().tensors[0], torch.zeros(10, dtype=torch.int64))
    with pytest.raises(FeatureStoreError, match=r"labels of rows 0 to 3 of .* are not those of the loader"):
        extract(backbone(), loader(source=others), tmp_path / "store")
    moved = TensorDataset(data().tensors[0], torch.tensor([0, 1, 2, 0, 1, 1, 0, 1, 2, 0]))
    with pytest.raises(FeatureStoreError, match="labels of rows 4 to 7"):
        extract(backbone(), loader(source=moved), tmp_path / "store")
    with pytest.raises(FeatureStoreError, match="labels of rows 0 to 3"):
        extract(backbone(), [data().tensors[0][:4]], tmp_path / "store")
    with pytest.raises(FeatureStoreError, match="has 10 rows, and the loader only 8"):
        extract(backbone(), loader(8), tmp_path / "store")
    with pytest.raises(FileExistsError, match="`resume=True` goes on"):
        extract(backbone(), loader(), tmp_path / "store", resume=False)
    assert len(extract(backbone(), loader(12), tmp_path / "store")) == 12


class Random(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return nn.functional.dropout(pictures.flatten(1), 0.5, training=True)


def test_what_is_random_is_found(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        with pytest.raises(ValueError, match="'output' are not the same when the first batch is passed twice"):
            extract(Random(), loader(), tmp_path / "store")
        assert not (tmp_path / "store").exists()
        assert len(extract(Random(), loader(), tmp_path / "store", check_determinism=False)) == 10


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with pytest.raises(ValueError, match=r"`layer` 'layer4' is no part of the backbone; there are, among others, 0, 1"):
        extract(backbone(), loader(), path, layer="layer4")
    with pytest.raises(ValueError, match="`layer` must be different names"):
        extract(backbone(), loader(), path, layer=["0", "0"])
    with pytest.raises(ValueError, match="`pooling`"):
        extract(backbone(), loader(), path, pooling="median")
    with pytest.raises(ValueError, match="`loader` has no batches"):
        extract(backbone(), [], path)
    with pytest.raises(TypeError, match="holds list, expected a tensor: only backbones that are given by name"):
        extract(backbone(), [["a text"]], path)
    with pytest.raises(TypeError, match="has 4 parts"):
        extract(backbone(), [(torch.ones(1), 1, 2, 3)], path)
    with pytest.raises(TypeError, match="holds no tensor"):
        extract(backbone(), [{"x": 3}], path)
    with pytest.raises(ValueError, match=r"layer 'output' gives \(2, 3, 1, 1, 1\), expected \(B, D\)"):
        extract(nn.Identity(), [torch.ones(2, 3, 1, 1, 1)], path)
    with pytest.raises(ValueError, match=r"NaN|finite"):
        extract(nn.Identity(), [torch.full((2, 3), torch.nan)], path, check_determinism=False)
    with pytest.raises(ValueError, match="must begin with timm:, open_clip:, hf:, st: or onnx:, got 'resnet50'"):
        extract("resnet50", loader(), path)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = backbone()[5], backbone()[5]

    def forward(self, rows: Tensor) -> tuple[Tensor, str]:
        return self.used(rows), "more"


def test_layers_that_are_not_used_and_outputs_that_are_tuples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`layer` 'unused' was not used in the forward pass"):
        extract(Unused(), [torch.ones(2, 20)], tmp_path / "store", layer="unused")
    assert extract(Unused(), [torch.ones(2, 20)], tmp_path / "store").shape == (2, 3)


class Text(nn.Module):
    def forward(self, rows: Tensor) -> str:
        return "nothing"


def test_outputs_without_a_tensor(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="layer 'output' gives str"):
        extract(Text(), [torch.ones(2, 20)], tmp_path / "store")


def test_a_loader_without_a_length_and_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stream() -> Iterator[object]:
        yield from loader()

    assert len(extract(backbone(), stream(), tmp_path / "store", progress=True)) == 10
    assert "3batch" in capsys.readouterr().err


def test_metadata_of_ones_own(tmp_path: Path) -> None:
    store = extract(backbone(), loader(), tmp_path / "store", metadata={"transform": "centre crop", "note": 3})
    assert store.metadata["transform"] == "centre crop"
    assert store.metadata["note"] == 3
    with pytest.raises(FeatureStoreError, match="transform is 'centre crop' here and 'flip' there"):
        extract(backbone(), loader(), tmp_path / "store", metadata={"transform": "flip", "note": 3})


def test_fingerprints() -> None:
    first = weights_fingerprint(backbone())
    assert first == weights_fingerprint(backbone())
    assert first == weights_fingerprint(backbone().eval().requires_grad_(False))
    changed = backbone()
    changed[:2](data().tensors[0])  # BatchNorm's statistics
    assert weights_fingerprint(changed) != first
    assert weights_fingerprint(backbone().to(torch.bfloat16)) != first
    renamed = nn.Module()
    renamed.add_module("other", backbone())
    assert weights_fingerprint(renamed) != first


def test_modules_without_parameters_need_a_name(tmp_path: Path) -> None:
    """Two networks of another runtime in modules of one class are not the same because neither has parameters."""

    class Foreign(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.run = lambda rows: rows * factor

        def forward(self, rows: Tensor) -> Tensor:
            return self.run(rows)

    rows = [torch.ones(3, 2)]
    stores = [extract(Foreign(factor), rows, tmp_path / str(factor)) for factor in (1.0, 2.0)]
    assert stores[0].fingerprint is None
    with pytest.raises(
        FeatureStoreError, match=r"is of a backbone without parameters, .* extract\(\.\.\., weights='a name"
    ):
        stores[0].check_backbone(stores[1])
    with pytest.raises(FeatureStoreError, match="without parameters"):
        extract(Foreign(1.0), rows, tmp_path / "1.0")
    named = [extract(Foreign(1.0), rows, tmp_path / name, weights=name) for name in ("first", "second")]
    named[0].check_backbone(extract(Foreign(1.0), rows, tmp_path / "first", weights="first"))
    with pytest.raises(FeatureStoreError, match="weights is 'first' here and 'second' there"):
        named[0].check_backbone(named[1])
    with pytest.raises(ValueError, match="Foreign has no parameters to tell it apart by: name its `weights`"):
        weights_fingerprint(Foreign(1.0))


def test_equal_weights_in_another_architecture_are_told_apart(tmp_path: Path) -> None:
    layer = backbone()[5]
    stores = [
        extract(nn.Sequential(layer, part), [torch.ones(2, 20)], tmp_path / type(part).__name__)
        for part in (nn.ReLU(), nn.GELU())
    ]
    with pytest.raises(FeatureStoreError, match="architecture is"):
        stores[0].check_backbone(stores[1])


def test_rows_are_committed_in_time_whatever_the_shards_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisymodel.features.extraction import target

    clock = [0.0]
    monkeypatch.setattr(target.time, "monotonic", lambda: clock[0])
    committed = []

    def batches() -> Iterator[Tensor]:
        for number in range(6):
            yield torch.full((2, 20), float(number))
            clock[0] += 50.0
            committed.append(len(FeatureStore.open(tmp_path / "store")))

    store = extract(backbone()[5], batches(), tmp_path / "store")
    assert committed == [0, 0, 0, 8, 8, 8]
    assert len(store) == 12


def test_a_writer_killed_before_its_manifest_is_gone_on_with(tmp_path: Path) -> None:
    for name in ("writer.lock", ".manifest.json.0123456789ab.partial", ".parts"):
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        (folder / name).touch() if name != ".parts" else (folder / name).mkdir()
        assert len(extract(backbone()[5], [torch.ones(2, 20)], folder)) == 2
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds other files, such as a\.txt"):
        extract("hf:never loaded", [["a"]], tmp_path / "notes")
