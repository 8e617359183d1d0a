"""The Lightning module and the callback of spectra."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from noisymodel import LinearProbe, NMTune
from noisymodel._random import seeded
from noisymodel.spectrum import analyze

lightning = pytest.importorskip("lightning")

from noisymodel.integrations.lightning import NMTuneModule, SpectrumCallback  # noqa: E402 - needs lightning

# Lightning's advice on workers, intervals and folders; calls of it and of peft that torch and transformers deprecate
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*The number of training batches.*",
    "ignore:.*exists and is not empty.*", "ignore:The dirpath has changed.*",
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
)  # fmt: skip
TERMS = ("total", "task", "consistency", "covariance", "dominant")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def backbone() -> torch.nn.Module:
    with seeded(3):
        return torch.nn.Sequential(torch.nn.Linear(6, 10), torch.nn.Tanh())


def module_of(seed: int = 0, **options: Any) -> NMTuneModule:
    head = NMTune(10, 3, generator=torch.Generator().manual_seed(seed), input_noise=0.0)
    return NMTuneModule(backbone(), head, **{"learning_rate": 1e-2, **options})


def data(rows: int = 33) -> TensorDataset:
    inputs = torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))
    return TensorDataset(inputs, inputs[:, :3].argmax(1))


def fitted(module: NMTuneModule, folder: Path, epochs: int = 2, resume: str | None = None, **options: Any) -> Any:
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=1, **options,
    )  # fmt: skip
    training = DataLoader(data(), 8, drop_last=True)
    trainer.fit(module, training, DataLoader(data(), 16), ckpt_path=resume)
    return trainer


@pytest.mark.parametrize("freeze", [True, False])
def test_all_terms_are_logged_and_the_loss_falls(tmp_path: Path, freeze: bool) -> None:
    module = module_of(freeze=freeze)
    trainer = fitted(module, tmp_path, epochs=1)
    first = dict(trainer.callback_metrics)
    module = module_of(freeze=freeze)
    last = dict(fitted(module, tmp_path, epochs=6).callback_metrics)
    assert {f"{stage}_{name}" for stage in ("train", "validation") for name in TERMS} <= last.keys()
    assert last["validation_total"] < first["validation_total"]
    assert last["validation_accuracy"] > 0.5
    moved = not torch.equal(module.backbone[0].weight, backbone()[0].weight)
    assert moved is not freeze


def test_logged_terms_are_those_of_the_head(tmp_path: Path) -> None:
    module = module_of()
    trainer = fitted(module, tmp_path, epochs=1)
    inputs, labels = data().tensors
    batches = list(zip(inputs.split(16), labels.split(16), strict=True))  # the last has one row
    with torch.no_grad():
        terms = [module.eval().head.loss(module.backbone(x), y) for x, y in batches[:2]]
        task = [torch.nn.functional.cross_entropy(module((x, y)), y) * len(x) for x, y in batches]
    logged = trainer.callback_metrics
    torch.testing.assert_close(logged["validation_task"], sum(task) / 33)
    torch.testing.assert_close(logged["validation_covariance"], sum(term.covariance for term in terms) / 2)


def test_spectra_are_those_of_all_validation_rows(tmp_path: Path) -> None:
    module = module_of(freeze=False)
    logged = fitted(module, tmp_path, callbacks=[SpectrumCallback()]).callback_metrics
    with torch.no_grad():
        step = module.eval().step(data().tensors)
    for name in ("features", "tuned"):
        spectrum = analyze(getattr(step, name))
        for metric in ("entropy", "largest_ratio", "effective_rank"):
            assert float(logged[f"validation_{name}_{metric}"]) == pytest.approx(getattr(spectrum, metric), rel=1e-5)


def test_spectra_of_some_epochs_and_some_features(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    class Kept(SpectrumCallback):
        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_validation_epoch_end(trainer, pl_module)
            seen.append(set(self._totals))

    logged = fitted(module_of(), tmp_path, epochs=3, callbacks=[Kept(2, of=("tuned",))]).callback_metrics
    assert seen == [set(), {"tuned"}, set(), {"tuned"}]  # the first is the sanity check
    assert "validation_tuned_effective_rank" in logged
    assert "validation_features_effective_rank" not in logged


def test_checkpoints_reload_and_resuming_equals_not_stopping(tmp_path: Path) -> None:
    whole = module_of(freeze=False)
    saving = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    fitted(whole, tmp_path, epochs=3, callbacks=[saving])
    resumed = module_of(seed=5, freeze=False)
    fitted(resumed, tmp_path, epochs=3, resume=str(tmp_path / "epoch=0.ckpt"))
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    loaded = NMTuneModule.load_from_checkpoint(
        tmp_path / "epoch=2.ckpt", backbone=backbone(), head=NMTune(10, 3, input_noise=0.0)
    )
    assert torch.equal(loaded.eval()(data().tensors), whole.eval()(data().tensors))
    whole.head.save_pretrained(tmp_path / "head")
    head = NMTune.from_pretrained(tmp_path / "head")
    assert torch.equal(head(whole.backbone(data().tensors[0])), whole(data().tensors))


def test_references() -> None:
    batch = {"input": data().tensors[0], "labels": data().tensors[1]}
    own, none = module_of().eval().step(batch), module_of(reference="none").eval().step(batch)
    assert own.terms is not None
    assert none.terms is not None
    assert own.terms.consistency > 0
    assert none.terms.consistency == 0
    cached = module_of().eval().step({**batch, "reference": own.tuned.detach()})
    assert cached.terms is not None
    torch.testing.assert_close(cached.terms.consistency, torch.tensor(0.0))


def test_pretrained_reference_with_lora(bert, tokens) -> None:
    peft = pytest.importorskip("peft")
    wanted = NMTuneModule(bert(), NMTune(16, 3, input_noise=0.0)).eval().step(tokens()).features
    model = peft.get_peft_model(
        bert(), peft.LoraConfig(target_modules=["dense"], lora_alpha=400, init_lora_weights=False)
    )
    module = NMTuneModule(model, NMTune(16, 3, input_noise=0.0), freeze=False, reference="pretrained").eval()
    step = module.step(tokens())
    near = torch.nn.functional.normalize(step.tuned) - torch.nn.functional.normalize(wanted)
    assert step.terms is not None
    torch.testing.assert_close(step.terms.consistency, near.square().sum(1).mean())
    assert not torch.allclose(step.features, wanted, atol=1e-3)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_backbone_of_transformers(bert, tokens, pooling: str) -> None:
    from noisymodel.integrations.transformers import NMTuneForSequenceClassification

    module = NMTuneModule(bert(), NMTune(16, 3, input_noise=0.0), pooling=pooling).eval()
    model = NMTuneForSequenceClassification.from_backbone(bert(), 3, pooling=pooling).eval()
    torch.testing.assert_close(module.step(tokens()).features, model(**tokens()).features)


def test_labels_may_be_probabilities_or_missing() -> None:
    inputs, labels = data().tensors
    module = NMTuneModule(backbone(), LinearProbe(10, 3)).eval()
    soft = module.step((inputs, torch.nn.functional.one_hot(labels, 3).float())).terms
    hard = module.step((inputs, labels)).terms
    torch.testing.assert_close(soft, hard)
    assert module.step(inputs).terms is None
    with pytest.raises(ValueError, match="a training batch has no labels"):
        module.training_step(inputs, 0)


def test_errors() -> None:
    with pytest.raises(TypeError, match=r"`head` must be NMTune, .*, got Linear"):
        NMTuneModule(backbone(), torch.nn.Linear(10, 3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`pooling` must be one of 'mean', 'cls', 'last', got 'max'"):
        module_of(pooling="max")
    with pytest.raises(ValueError, match="`reference` must be one of"):
        module_of(reference="copy")
    with pytest.raises(ValueError, match=r"`learning_rate` must be in \(0, inf\), got 0"):
        module_of(learning_rate=0)
    with pytest.raises(ValueError, match="`of` must be one of 'features', 'tuned', got 'logits'"):
        SpectrumCallback(of=("logits",))
    with pytest.raises(ValueError, match="`every_n_epochs` must be at least 1, got 0"):
        SpectrumCallback(0)
