"""
The first hour
==============

From features to a classifier, its accuracy under shift, its spectrum, and your own training loop. Run it from top to
bottom, as a notebook or as a script. The picture needs ``pip install 'noisymodel[plot]'``.
"""

# %%
# You bring features of a frozen model and labels. Here they are scikit-learn's handwritten digits, 64 numbers each. The
# first 900 rows train; the others test, clean and with noise that the training rows did not have.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if find_spec("matplotlib") is None:
    sys.exit("matplotlib is missing: pip install 'noisymodel[plot]'")

# sphinx_gallery_end_ignore

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from noisymodel import NMTune, NMTuneClassifier
from noisymodel.noise import corrupt_features, symmetric
from noisymodel.plot import scree
from noisymodel.spectrum import analyze

features, labels = load_digits(return_X_y=True)
train, test = slice(0, 900), slice(900, None)
shifted = corrupt_features(features[test], relative_sigma=0.5, seed=0)

# %%
# The baseline is logistic regression on rows of length one, with its penalty chosen by cross-validation.
# ``NMTuneClassifier`` has nothing to choose.

baseline = make_pipeline(Normalizer(), GridSearchCV(LogisticRegression(max_iter=5000), {"C": [1, 10, 100, 1000]}))
classifiers = {"logistic regression": baseline, "NMTuneClassifier": NMTuneClassifier(random_state=0)}
for name, classifier in classifiers.items():
    classifier.fit(features[train], labels[train])
    clean, noisy = (classifier.score(rows, labels[test]) for rows in (features[test], shifted))
    print(f"{name:20} {clean:.1%} clean, {noisy:.1%} under shift")

# %%
# Now with wrong labels: a fifth of the training labels flips to another class. The test labels stay clean.

wrong = symmetric(labels[train], 0.2, seed=0)
print(f"asked for 20 %, got {wrong.realized_rate:.1%}")
for name, classifier in classifiers.items():
    classifier.fit(features[train], wrong.labels)
    print(f"{name:20} {classifier.score(features[test], labels[test]):.1%}")

# %%
# The spectrum says how many directions features use. ``transform`` returns the reshaped features Z.

tuned = classifiers["NMTuneClassifier"].fit(features[train], labels[train]).transform(features[test])
spectra = {"features F": analyze(features[test]), "reshaped Z": analyze(tuned)}
for name, spectrum in spectra.items():
    print(f"{name}: SVE {spectrum.entropy:.2f}, effective rank {spectrum.effective_rank:.1f}")
figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
scree(spectra, ax=axes)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_first_hour.png.")
figure.savefig((sys.argv[1:] or ["plot_first_hour.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# In your own training loop the head's ``loss`` returns every term.

torch.manual_seed(0)
rows, targets = torch.tensor(features, dtype=torch.float32), torch.tensor(labels)
head = NMTune(in_features=64, num_classes=10)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
for _ in range(20):
    for batch in torch.randperm(900).split(60):
        terms = head.loss(rows[batch], targets[batch])
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
with torch.no_grad():
    right = head.eval()(rows[test]).argmax(1).numpy() == labels[test]
print(f"a loop of your own: {np.mean(right):.1%}")

# %%
# Next: your training loop under :doc:`/how_to/index`; which function for which task: :doc:`/what_to_use`.
