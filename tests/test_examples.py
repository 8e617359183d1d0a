"""Every example runs, small, and prints what it promises."""

from __future__ import annotations

import os
import re
import runpy
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


def test_a_script_without_its_extra_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    optional = {"accelerate", "lightning", "matplotlib", "open_clip", "peft", "timm", "transformers"}
    for name in optional:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    seen = set()
    for script in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("how_to/*.py"), *EXAMPLES.glob("gallery/*.py")]:
        imports = set(re.findall(r"^ *(?:import|from) (\w+)", script.read_text(encoding="utf-8"), re.MULTILINE))
        if imports & optional and script.name != "embedding_server.py":  # it imports when it serves
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(script))
            assert re.fullmatch(r".* (is )?missing: pip install '.*'( [\w-]+)?", str(ended.value.code)), script.name
            seen.add(script.name)
    assert len(seen) > 18


@pytest.mark.slow
@pytest.mark.parametrize("name", ["how_to/plot_plain_pytorch", "how_to/plot_accelerate", "gallery/plot_label_noise"])
def test_a_how_to_runs_from_any_folder_and_keeps_its_picture(name: str, tmp_path: Path) -> None:
    script = EXAMPLES / f"{name}.py"
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert f"The picture is in {script.stem}.png." in done.stdout
    assert (tmp_path / f"{script.stem}.png").read_bytes().startswith(b"\x89PNG")
