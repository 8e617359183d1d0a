"""The Trainer: what is logged, what accumulates, what resumes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from noisymodel.integrations.transformers import NMTuneForSequenceClassification, NMTuneTrainer, NMTuneTrainerMixin

TERMS = ("task", "consistency", "covariance", "dominant")
WEIGHTS = {"consistency_weight": 0.7, "covariance_weight": 0.5, "dominant_weight": 0.3}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# transformers 5 deprecates a name that peft still asks for, pins memory without a device; torch.compile makes Functions
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
    "ignore:.*pin_memory.*:UserWarning",
    "ignore:.*should not be instantiated.*:DeprecationWarning",
)


def model_of(bert, **options: Any):
    return NMTuneForSequenceClassification.from_backbone(
        bert(**NO_DROPOUT), 3, seed=1, **{"norm": "layer", "input_noise": 0.0, **WEIGHTS, **options}
    )


def rows_of(tokens, rows: int, seed: int = 0) -> list[dict[str, Any]]:
    batch = tokens(rows, seed)
    return [{name: values[i] for name, values in batch.items()} for i in range(rows)]


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    settings = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "logging_steps": 1, "save_strategy": "no"}
    settings |= {"use_cpu": True, "report_to": [], "disable_tqdm": True, "learning_rate": 1e-2, **options}
    return TrainingArguments(str(folder), **settings)


def first_step(model, data, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    """What the first step of plain gradient descent subtracts: the gradient that the Trainer made."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    settings = {
        "optim": "sgd",
        "learning_rate": 1.0,
        "max_grad_norm": 0.0,
        "max_steps": 1,
        "lr_scheduler_type": "constant",
    }
    trainer = NMTuneTrainer(model, arguments(folder, **settings, **options), train_dataset=data)
    trainer.train()
    return {name: before[name] - weight.detach() for name, weight in model.named_parameters()}


def batch_gradient(model, rows) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.train()(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]}).loss.backward()
    return {name: torch.zeros_like(w) if w.grad is None else w.grad.clone() for name, w in model.named_parameters()}


def assert_same(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            got[name], value, atol=2e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


class Sequential(NMTuneTrainerMixin, Trainer):
    """In the order of the data, so that a test knows the batches."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


@pytest.mark.parametrize(("steps", "size"), [(8, 2), (4, 4), (2, 8), (1, 16)])
def test_accumulated_gradient_is_the_mean_of_the_batches_gradients(
    bert, tokens, tmp_path, monkeypatch, steps, size
) -> None:
    monkeypatch.setattr(NMTuneTrainer, "_get_train_sampler", Sequential._get_train_sampler)
    data = rows_of(tokens, 16)
    options = {"gradient_accumulation_steps": steps, "per_device_train_batch_size": size}
    got = first_step(model_of(bert), data, tmp_path, **options)
    reference = model_of(bert)
    parts = [batch_gradient(reference, data[i : i + size]) for i in range(0, 16, size)]
    assert_same(got, {name: sum(part[name] for part in parts) / steps for name in parts[0]})  # type: ignore[arg-type]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("steps", [2, 8])
def test_the_gradient_of_each_term_is_right_under_accumulation(
    bert, tokens, tmp_path, monkeypatch, steps, term
) -> None:
    monkeypatch.setattr(NMTuneTrainer, "_get_train_sampler", Sequential._get_train_sampler)
    data, size = rows_of(tokens, 16), 16 // steps
    alone = {name: 10.0 * (name == f"{term}_weight") for name in WEIGHTS}  # beside the task's, which is always there
    options = {"gradient_accumulation_steps": steps, "per_device_train_batch_size": size}
    got = first_step(model_of(bert, **alone), data, tmp_path, **options)
    reference = model_of(bert, **alone)
    parts = [batch_gradient(reference, data[i : i + size]) for i in range(0, 16, size)]
    assert_same(got, {name: sum(part[name] for part in parts) / steps for name in parts[0]})  # type: ignore[arg-type]


def test_without_regularizers_accumulation_is_the_large_batch(bert, tokens, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(NMTuneTrainer, "_get_train_sampler", Sequential._get_train_sampler)
    data, make = (
        rows_of(tokens, 16),
        lambda: NMTuneForSequenceClassification.from_backbone(bert(**NO_DROPOUT), 3, head="linear", seed=1),
    )
    got = first_step(make(), data, tmp_path, gradient_accumulation_steps=4)
    assert_same(got, batch_gradient(make(), data))


def test_logged_terms_are_means_over_the_window(bert, tokens, tmp_path) -> None:
    data, model = rows_of(tokens, 24), model_of(bert)
    seen: list[list[float]] = []
    model.register_forward_hook(lambda _, __, output: seen.append([float(term.detach()) for term in output.terms]))
    options = {"logging_steps": 3, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    trainer = NMTuneTrainer(model, arguments(tmp_path, **options), train_dataset=data)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(seen) == 6
    assert len(logged) == 1
    wanted = torch.tensor(seen).mean(0)
    got = torch.tensor([logged[0][name] for name in ("loss", *TERMS)])
    torch.testing.assert_close(got, wanted, atol=2e-4, rtol=1e-4)  # the Trainer rounds its loss
    weighted = got[1] + sum(weight * got[i + 2] for i, weight in enumerate(WEIGHTS.values()))
    torch.testing.assert_close(weighted, got[0], atol=2e-4, rtol=1e-4)


def test_windows_are_apart_and_evaluation_is_its_own(bert, tokens, tmp_path) -> None:
    data, model = rows_of(tokens, 16), model_of(bert)
    options = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 16}
    trainer = NMTuneTrainer(model, arguments(tmp_path, **options), train_dataset=data, eval_dataset=data)
    trainer.train()
    training = [entry for entry in trainer.state.log_history if "loss" in entry]
    evaluation = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(training) == len(evaluation) == 4
    assert len({entry["task"] for entry in training}) == 4
    assert evaluation[-1]["eval_task"] < evaluation[0]["eval_task"]
    metrics = trainer.evaluate()
    with torch.no_grad():
        terms = model.eval()(**{name: torch.stack([row[name] for row in data]) for name in data[0]}).terms
    for name in TERMS:
        assert metrics[f"eval_{name}"] == pytest.approx(float(getattr(terms, name)), rel=1e-4)
    assert metrics["eval_loss"] == pytest.approx(float(terms.total), rel=1e-4)
    assert trainer.predict(data).metrics["test_task"] == pytest.approx(metrics["eval_task"])


def test_evaluation_with_a_last_batch_of_one_row(bert, tokens, tmp_path) -> None:
    data, model = rows_of(tokens, 9), model_of(bert, norm="batch")
    accuracy = lambda given: {"rows": len(given.predictions)}  # noqa: E731 - logits and nothing else must arrive
    trainer = NMTuneTrainer(
        model, arguments(tmp_path, per_device_eval_batch_size=4), eval_dataset=data, compute_metrics=accuracy
    )
    metrics = trainer.evaluate()
    assert metrics["eval_rows"] == 9
    with torch.no_grad():
        batches = [{n: torch.stack([row[n] for row in data[i : i + 4]]) for n in data[0]} for i in (0, 4, 8)]
        first, second, last = (model.eval()(**batch).terms for batch in batches)
    assert metrics["eval_covariance"] == pytest.approx(float(first.covariance + second.covariance) / 2, rel=1e-4)
    wanted = float(4 * first.task + 4 * second.task + last.task) / 9
    assert metrics["eval_task"] == pytest.approx(wanted, rel=1e-4)


def test_resuming_equals_not_stopping(bert, tokens, tmp_path) -> None:
    data = rows_of(tokens, 32)
    options = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3, "per_device_train_batch_size": 4}
    whole = NMTuneTrainer(model_of(bert, norm="batch"), arguments(tmp_path / "a", **options), train_dataset=data)
    whole.train()
    resumed = NMTuneTrainer(
        model_of(bert, norm="batch", classifier_init="kaiming"),
        arguments(tmp_path / "b", **options),
        train_dataset=data,
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-6"))
    assert resumed.state.global_step == whole.state.global_step == 16
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert resumed.state.log_history[-2]["covariance"] == whole.state.log_history[-2]["covariance"]
    whole.save_model(str(tmp_path / "final"))
    loaded = NMTuneForSequenceClassification.from_pretrained(tmp_path / "final")
    assert torch.equal(loaded(**tokens()).logits, whole.model.eval()(**tokens()).logits)


@pytest.mark.parametrize("how", ["bf16", pytest.param("compile", marks=pytest.mark.slow)])
def test_mixed_precision_and_compile(bert, tokens, tmp_path, how: str) -> None:
    # aot_eager traces forward and backward as inductor does, without a C++ compiler
    options = {"bf16": {"bf16": True}, "compile": {"torch_compile": True, "torch_compile_backend": "aot_eager"}}[how]
    data, model = rows_of(tokens, 16), model_of(bert)
    options |= {"eval_strategy": "epoch", "num_train_epochs": 4}
    trainer = NMTuneTrainer(model, arguments(tmp_path, **options), train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert history[-1]["eval_loss"] < before
    assert all(torch.tensor(entry["covariance"]).isfinite() for entry in trainer.state.log_history if "loss" in entry)


@pytest.mark.parametrize(("rows", "top_k", "last", "need"), [(9, 1, "1 row,", 2), (10, 3, "2 rows,", 3)])
def test_a_last_batch_that_cannot_be_trained_on(bert, tokens, tmp_path, rows, top_k, last, need) -> None:
    data, model = rows_of(tokens, rows), model_of(bert, norm="batch", top_k=top_k)
    trainer = NMTuneTrainer(model, arguments(tmp_path), train_dataset=data)
    message = f"last batch of an epoch would have {last} .* need {need} .*: set dataloader_drop_last=True"
    with pytest.raises(ValueError, match=message):
        trainer.train()
    trainer = NMTuneTrainer(model, arguments(tmp_path, dataloader_drop_last=True), train_dataset=data)
    trainer.train()
    assert trainer.state.global_step == 2


def test_several_gpus_in_one_process(bert, tmp_path) -> None:
    given = arguments(tmp_path)
    assert given.n_gpu <= 1
    given._n_gpu = 2
    with pytest.raises(ValueError, match=r"one process sees 2 GPUs and would use DataParallel.*torchrun"):
        NMTuneTrainer(model_of(bert), given)


def test_what_would_drop_the_terms(bert, tmp_path) -> None:
    with pytest.raises(ValueError, match="`label_smoothing_factor` would drop the terms"):
        NMTuneTrainer(model_of(bert), arguments(tmp_path, label_smoothing_factor=0.1))
    with pytest.raises(ValueError, match="`compute_loss_func` would drop the terms"):
        NMTuneTrainer(model_of(bert), arguments(tmp_path), compute_loss_func=lambda *_, **__: None)


def test_a_model_without_terms(bert, tokens, tmp_path) -> None:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification(bert(num_labels=3).config)
    trainer = NMTuneTrainer(model, arguments(tmp_path), train_dataset=rows_of(tokens, 8))
    with pytest.raises(ValueError, match=r"the model gave no `terms`.*noisymodel.integrations.transformers"):
        trainer.train()


def test_cached_references_travel_through_the_trainer(bert, tokens, tmp_path) -> None:
    model = model_of(bert)
    data = [{**row, "reference": torch.ones(16)} for row in rows_of(tokens, 8)]
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, __, given: seen.append(given["reference"]), with_kwargs=True)
    NMTuneTrainer(model, arguments(tmp_path), train_dataset=data).train()
    assert [tuple(given.shape) for given in seen] == [(4, 16), (4, 16)]
