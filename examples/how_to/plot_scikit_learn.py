"""
scikit-learn
============

You have labels and features of a model that you cannot open: ``NMTuneClassifier`` is a scikit-learn estimator. Here
the features are scikit-learn's digits, 64 numbers each; the shift is noise on the test features. The picture needs
``pip install 'noisymodel[plot]'``.
"""

# %%
# The first half of the rows trains. The second half tests, clean and under growing noise.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if find_spec("matplotlib") is None:
    sys.exit("matplotlib is missing: pip install 'noisymodel[plot]'")

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from noisymodel import NMTuneClassifier
from noisymodel.noise import corrupt_features

features, labels = load_digits(return_X_y=True)
features = features.astype(np.float32)
training, testing = slice(0, 900), slice(900, None)

# %%
# Three classifiers with one interface: a logistic regression on rows of length one, NMTune's network trained with the
# task loss alone, and ``NMTuneClassifier()``, which chooses by cross-validation on the training rows.

classifiers = {
    "logistic regression": make_pipeline(Normalizer(), LogisticRegression(C=100, max_iter=5000)),
    "MLP": NMTuneClassifier(method="mlp", random_state=0),
    "NMTune": NMTuneClassifier(random_state=0),
}
for classifier in classifiers.values():
    classifier.fit(features[training], labels[training])

# %%
# Cross-validation, pipelines and grid searches work as for every estimator.

scores = cross_val_score(NMTuneClassifier(method="linear", random_state=0), features[training], labels[training], cv=3)
print("accuracy on each of three folds:", scores.round(3))

# %%
# One seed and one data set show how to measure; they do not compare methods. The study does, with seeds, intervals and
# controls.

sizes = [0.0, 0.25, 0.5, 0.75, 1.0]
tests = [corrupt_features(features[testing], relative_sigma=size, seed=0) for size in sizes]
figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
for (name, classifier), marker, style in zip(classifiers.items(), "os^", ["-", "--", "-."], strict=True):
    scores = [classifier.score(noisy, labels[testing]) for noisy in tests]
    axes.plot(sizes, np.multiply(scores, 100), style, marker=marker, label=name)
axes.set(xlabel="noise on the test features (standard deviations)", ylabel="accuracy (%)")
axes.legend(frameon=False)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_scikit_learn.png.")
figure.savefig((sys.argv[1:] or ["plot_scikit_learn.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# ``transform`` returns the reshaped features, for any further use. ``save`` and ``load`` use no pickle.

reshaped = classifiers["NMTune"].transform(features)
print(reshaped.shape, reshaped.dtype)

# %%
# More: :doc:`/choosing_weights`, on its rule, on files and on the command line.
