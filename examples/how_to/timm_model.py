"""
timm
====

Put an NMTune head on a timm model: first with the backbone frozen, then with all weights.
**Not run when this site was built:** timm needs torchvision, which the site's environment leaves out;
the tests run this script in another environment. This page needs ``pip install 'noisymodel[timm,plot]'``.
"""

# %%
# You bring pictures and a model, from ``timm.create_model(name, pretrained=True)``. Here a tiny model learns first to
# tell large digits from small ones, on scikit-learn's pictures, enlarged; nothing is downloaded.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [name for name in ("matplotlib", "timm") if find_spec(name) is None]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[timm,plot]'")

# sphinx_gallery_end_ignore

import matplotlib.pyplot as plt
import timm
import torch
from sklearn.datasets import load_digits

from noisymodel import NMTune, TunedModel
from noisymodel.models import timm_backbone

torch.manual_seed(0)
digits = load_digits()
pictures = torch.tensor(digits.images[:, None] / 16).float().repeat(1, 3, 1, 1)
pictures = torch.nn.functional.interpolate(pictures, size=32)
targets = torch.tensor(digits.target)
sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 2}
network = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=2, **sizes)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
for _ in range(150):
    rows = torch.randint(900, (64,))
    torch.nn.functional.cross_entropy(network(pictures[rows]), (targets[rows] >= 5).long()).backward()
    optimizer.step()
    optimizer.zero_grad()

# %%
# ``timm_backbone`` takes the features before the model's classifier, which stays in the model. ``example=`` checks that
# two passes give the same features.

backbone = timm_backbone(network, example=pictures[:2])
head = NMTune(backbone.num_features, 10, covariance_weight=0.1, dominant_weight=0.1)
model = TunedModel(backbone, head, reference="frozen")
print(backbone.num_features, "features")


def train(steps: int, learning_rate: float) -> list[list[float]]:
    history = []
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=learning_rate)
    for _ in range(steps):
        rows = torch.randint(900, (64,))
        terms = model.train()(pictures[rows], targets=targets[rows]).terms
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append([term.item() for term in terms])
    return history


@torch.no_grad()
def accuracy() -> float:
    return 100 * (model.eval()(pictures[900:]).argmax(1) == targets[900:]).float().mean().item()


# %%
# First train the head alone, then all weights. With ``reference="frozen"`` the consistency term compares Z with the
# features of a frozen copy of the backbone, taken when fine-tuning began.

model.freeze_backbone()
history, frozen = train(80, 3e-3), accuracy()
model.unfreeze_backbone()
history, tuned = history + train(80, 3e-4), accuracy()

# %%
# One seed and a tiny network show how to measure; they do not say what fine-tuning is worth.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
names = ("task", "consistency", "covariance", "dominant")
for place, (name, style) in enumerate(zip(names, ["-", "--", "-.", ":"], strict=True), start=1):
    left.plot([terms[place] for terms in history], style, label=name)
left.axvline(79.5, color="grey", linewidth=0.8)
left.set(xlabel="step (the backbone is trained from the line on)", ylabel="term, unweighted")
left.legend(frameon=False)
bars = right.bar(["frozen", "fine-tuned"], [frozen, tuned], 0.6, color=["#999999", "#0072b2"])
right.bar_label(bars, fmt="%.0f")
right.set(ylabel="accuracy on held-out pictures (%)", ylim=(0, 110))
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in timm_model.png.")
figure.savefig((sys.argv[1:] or ["timm_model.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# .. figure:: /figures/how-to-timm.png
#    :alt: Left: the four terms over 160 steps. Right: accuracy with the backbone frozen and fine-tuned.
#
#    ``NOISYMODEL_FIGURES=docs/figures pytest tests/models/test_vision_models.py -k how_to``, 25 November 2026, two
#    cores of an AMD EPYC, timm 1.0.31, torch 2.13.0 (CPU)
#
# To copy: ``examples/timm_backbone.py``, which also saves and reloads. To write features into files use the name
# ``"timm:resnet50"``: :doc:`/extract`. More: :doc:`/white_box`.
