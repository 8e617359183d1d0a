"""
Wrong labels, by four rules
===========================

The same rate of noise can mean very different things. Each injector says which matrix it drew from, which labels it
flipped, and what rate came out.
"""

# %%
# The digits again: their classes, and a mean picture of each, from which similar classes follow.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if find_spec("matplotlib") is None:
    sys.exit("matplotlib is missing: pip install 'noisymodel[plot]'")

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisymodel import noise

pictures, labels = load_digits(return_X_y=True)
prototypes = noise.class_prototypes(pictures - pictures.mean(0), labels)

injected = {
    "symmetric": noise.symmetric(labels, 0.4, seed=0),
    "pair flip": noise.pair_flip(labels, 0.4, seed=0),
    "asymmetric, MNIST's pairs": noise.asymmetric(labels, 0.4, mapping="mnist", seed=0),
    "similarity": noise.similarity(labels, 0.4, prototypes, temperature=0.2, seed=0),
}

# %%
# ``symmetric`` flips to another class, so a rate of 40 % makes 40 % wrong. Some code draws from all classes, the
# label's own among them: that is ``include_true=True``, which makes only 36 % wrong on ten classes.

for name, noisy in injected.items():
    print(f"{name:26} asked {noisy.requested_rate:.0%}, came {noisy.realized_rate:.1%}")
print(f"{'symmetric, include_true':26} {noise.symmetric(labels, 0.4, include_true=True, seed=0).realized_rate:.1%}")

# %%
# The matrices of the law and of the result: rows are clean classes, columns noisy labels.

figure, axes = plt.subplots(2, 4, figsize=(9, 4.6), layout="constrained")
for column, (name, noisy) in zip(axes.T, injected.items(), strict=True):
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels, noisy.labels), 1)
    for panel, matrix in zip(column, (noisy.transition, counts / counts.sum(1, keepdims=True)), strict=True):
        image = panel.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
        panel.set(xticks=[0, 9], yticks=[0, 9])
    column[0].set_title(name, fontsize=9)
axes[0, 0].set_ylabel("matrix")
axes[1, 0].set_ylabel("realised")
figure.colorbar(image, ax=axes, label="share of a class", shrink=0.8)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_label_noise.png.")
figure.savefig((sys.argv[1:] or ["plot_label_noise.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# The audit is JSON, and ``verify`` draws the noise again from it.

print({key: value for key, value in injected["symmetric"].audit().items() if np.isscalar(value)})
