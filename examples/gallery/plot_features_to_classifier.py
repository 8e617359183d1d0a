"""
From features to a classifier
=============================

You have features of a model that you cannot open, and labels. Here the features are scikit-learn's digits, 64 numbers
each, and the shift is noise on them that the training rows did not have.
"""

# %%
# Half of the rows train, the other half test, clean and under noise of growing size.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from noisymodel import NMTuneClassifier
from noisymodel.noise import corrupt_features

features, labels = load_digits(return_X_y=True)
features = features.astype(np.float32)
training, testing = slice(0, 900), slice(900, None)

# %%
# Three classifiers with scikit-learn's interface: a logistic regression, the network of NMTune without its
# regularizers, and NMTune with its default weights. ``weights="auto"`` would choose them by validation on the training
# rows.

classifiers = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "MLP": NMTuneClassifier(method="mlp", epochs=20, random_state=0),
    "NMTune": NMTuneClassifier(epochs=20, random_state=0),
}
for classifier in classifiers.values():
    classifier.fit(features[training], labels[training])

# %%
# One seed and one data set: this is how to look, not a comparison of methods. For that see the study, with its seeds,
# intervals and controls.

sizes = [0.0, 0.25, 0.5, 0.75, 1.0]
tests = [corrupt_features(features[testing], relative_sigma=size, seed=0) for size in sizes]
figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
for (name, classifier), marker in zip(classifiers.items(), "os^", strict=True):
    scores = [classifier.score(noisy, labels[testing]) for noisy in tests]
    axes.plot(sizes, np.multiply(scores, 100), marker=marker, label=name)
axes.set(xlabel="noise on the test features (standard deviations)", ylabel="accuracy (%)")
axes.legend(frameon=False)

# %%
# ``transform`` gives the features as NMTune reshaped them, for whatever comes next.

reshaped = classifiers["NMTune"].transform(features)
print(reshaped.shape, reshaped.dtype)
