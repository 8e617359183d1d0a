"""Every example runs, small, and prints what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
RUNS = {
    "plain_pytorch.py": ([], ["frozen backbone", "full fine-tuning", "logits of the checkpoint: the same"]),
    "two_views.py": ([], ["pictures, both views, as published", "texts, the weak view is the reference", "accuracy"]),
    "segmentation.py": ([], ["covariance", "features (8, 32, 8, 8) logits (8, 3, 8, 8)", "after: "]),
    "detection.py": ([], ["covariance", "class of the surest query"]),
    "label_noise.py": ([], ["posterior_dependent", "40.0%", "The audit of the symmetric noise holds."]),
    "choose_weights.py": (
        ["--seeds", "1", "2", "--pretraining-images", "200", "--epochs", "1"],
        ["points against the MLP", "NMTune (1, 3, .1) ", "MLP + label smoothing 0.1", "tuning shifts"],
    ),
    "pretrain_with_noise.py": (
        ["--pairs", "60", "--epochs", "1"],
        ["caption noise 0%: retrieval accuracy", "caption noise 30%: retrieval accuracy"],
    ),
    "transformers_trainer.py": ([], ["covariance", "reloaded with the same logits: True"]),
    "peft_lora.py": ([], ["5 total", "merged with the same logits: True"]),
    "lightning_module.py": ([], ["train_covariance", "validation_tuned_largest_ratio", "validation_accuracy"]),
    "accelerate_loop.py": ([], ["epoch 3 of 1 process(es)", "the same weights everywhere: True"]),
}
THEIRS = {  # what other libraries warn of in themselves, on this version of torch or without an accelerator
    "transformers_trainer.py": ["ignore:'pin_memory':UserWarning"],
    "peft_lora.py": ["ignore:`is_gradient_checkpointing`:FutureWarning"],
    "lightning_module.py": ["ignore:`isinstance(treespec, LeafSpec)`:FutureWarning", "ignore:The 'train_dataloader'",
                            "ignore:The 'val_dataloader'", "ignore:The number of training batches"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_example_runs(name: str, tmp_path: Path) -> None:
    arguments, expected = RUNS[name]
    filters = [part for warning in ["error", *THEIRS.get(name, [])] for part in ("-W", warning)]
    command = [sys.executable, *filters, str(EXAMPLES / name), *arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    for text in expected:
        assert text in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_run() -> None:
    served = {"embedding_server.py"}  # by tests/features/remote/test_local_model.py
    pictured = {"timm_backbone.py", "open_clip_backbone.py"}  # by tests/models/test_vision_models.py
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS) | served | pictured
