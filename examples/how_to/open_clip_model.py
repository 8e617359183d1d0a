"""
open_clip
=========

Put an NMTune head on either tower of an open_clip model, before or after its projection.
**Not run when this site was built:** open_clip needs torchvision, which the site's environment leaves out;
the tests run this script in another environment. This page needs ``pip install 'noisymodel[open-clip,plot]'``.
"""

# %%
# You bring pictures and a model, from ``open_clip.create_model("ViT-B-32", pretrained="laion2b_s34b_b79k")``. Here the
# model is tiny with random weights, so that nothing is downloaded; the pictures are scikit-learn's digits, enlarged.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [name for name in ("matplotlib", "open_clip") if find_spec(name) is None]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[open-clip,plot]'")

# sphinx_gallery_end_ignore

import matplotlib.pyplot as plt
import open_clip
import torch
from sklearn.datasets import load_digits

from noisymodel import NMTune, TunedModel
from noisymodel.models import open_clip_backbone
from noisymodel.plot import scree
from noisymodel.spectrum import analyze

torch.manual_seed(0)
digits = load_digits()
pictures = torch.tensor(digits.images[:, None] / 16).float().repeat(1, 3, 1, 1)
pictures = torch.nn.functional.interpolate(pictures, size=32)
targets = torch.tensor(digits.target)
clip = open_clip.CLIP(
    48,
    open_clip.CLIPVisionCfg(layers=2, width=64, head_width=32, patch_size=8, image_size=32),
    open_clip.CLIPTextCfg(context_length=16, vocab_size=100, width=32, heads=2, layers=2),
)

# %%
# ``feature="post_proj"`` is the embedding before normalisation, ``"pre_proj"`` the input of the projection.
# ``tower="text"`` takes token ids. The backbone shares its weights with the model: with ``freeze=True`` neither tower
# changes.

spectra, history = {}, {}
for feature in ("pre_proj", "post_proj"):
    backbone = open_clip_backbone(clip, tower="image", feature=feature)
    head = NMTune(backbone.num_features, 10, covariance_weight=0.1, dominant_weight=0.1)
    model = TunedModel(backbone, head, freeze=True)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    history[feature] = []
    for _ in range(60):
        rows = torch.randint(900, (64,))
        terms = model.train()(pictures[rows], targets=targets[rows]).terms
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        history[feature].append(terms.task.item())
    with torch.no_grad():
        output = model.eval()(pictures[900:], return_features=True)
    spectra[feature] = analyze(output.features)
    right = (output.logits.argmax(1) == targets[900:]).float().mean()
    print(f"{feature}: {backbone.num_features} features, accuracy {right:.1%}")

# %%
# The task term, and the singular values of the features on either side of the projection.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for (feature, values), style in zip(history.items(), ["-", "--"], strict=True):
    left.plot(values, style, label=feature)
left.set(xlabel="step", ylabel="task term")
left.legend(frameon=False)
scree(spectra, ax=right)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in open_clip_model.png.")
figure.savefig((sys.argv[1:] or ["open_clip_model.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# .. figure:: /figures/how-to-open-clip.png
#    :alt: Left: the task term over 60 steps, before and after the projection. Right: the singular values of both.
#
#    ``NOISYMODEL_FIGURES=docs/figures pytest tests/models/test_vision_models.py -k how_to``, 25 November 2026, two
#    cores of an AMD EPYC, open_clip 3.3.0, torch 2.13.0 (CPU)
#
# To copy: ``examples/open_clip_backbone.py``, both towers, with save and reload. To write features into files use the
# name ``"open_clip:RN50/openai"``: :doc:`/extract`. More: :doc:`/white_box`.
