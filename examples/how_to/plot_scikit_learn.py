"""
scikit-learn
============

You have features of a model that you cannot open, and labels: ``NMTuneClassifier`` is a scikit-learn estimator. Here
the features are scikit-learn's digits, 64 numbers each, and the shift is noise on them that the training rows did not
have. Needs ``pip install noisymodel`` and, for the picture, matplotlib.
"""

# %%
# Half of the rows train, the other half test, clean and under noise of growing size.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from noisymodel import NMTuneClassifier
from noisymodel.noise import corrupt_features

features, labels = load_digits(return_X_y=True)
features = features.astype(np.float32)
training, testing = slice(0, 900), slice(900, None)

# %%
# Three classifiers with one interface: a logistic regression, the network of NMTune without its regularizers, and
# what cross-validation on the training rows chooses from probes and NMTune heads.

classifiers = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "MLP": NMTuneClassifier(method="mlp", epochs=10, random_state=0),
    "NMTune": NMTuneClassifier(epochs=10, random_state=0),
}
for classifier in classifiers.values():
    classifier.fit(features[training], labels[training])
print(classifiers["NMTune"].explanation_)

# %%
# Cross-validation, pipelines and grid searches work as for every estimator.

scores = cross_val_score(NMTuneClassifier(method="linear", random_state=0), features[training], labels[training], cv=3)
print("accuracy on each of three folds:", scores.round(3))

# %%
# One seed and one data set: this is how to look, not a comparison of methods. For that see the study, with its seeds,
# intervals and controls.

sizes = [0.0, 0.25, 0.5, 0.75, 1.0]
tests = [corrupt_features(features[testing], relative_sigma=size, seed=0) for size in sizes]
figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
for (name, classifier), marker, style in zip(classifiers.items(), "os^", ["-", "--", "-."], strict=True):
    scores = [classifier.score(noisy, labels[testing]) for noisy in tests]
    axes.plot(sizes, np.multiply(scores, 100), style, marker=marker, label=name)
axes.set(xlabel="noise on the test features (standard deviations)", ylabel="accuracy (%)")
axes.legend(frameon=False)
plt.show()

# %%
# ``transform`` gives the features as NMTune reshaped them, for whatever comes next; ``save`` and ``load`` use no
# pickle.

reshaped = classifiers["NMTune"].transform(features)
print(reshaped.shape, reshaped.dtype)

# %%
# More: :doc:`/choosing_weights`, on the rule, on files and the command line, and on what all of it is worth.
