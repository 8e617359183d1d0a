"""
The study in small
==================

Small networks are pre-trained on pictures with no, some and many wrong labels, and their frozen features are used for
another task: in-domain, and under shifts that they have not seen. This is ``noisymodel study`` with two seeds instead
of eight and a shorter list of methods.
"""

# %%
# A file for ``noisymodel study --config`` holds the same configuration.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [name for name in ("joblib", "matplotlib") if find_spec(name) is None]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[study]'")

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np

from noisymodel import study

result = study.run(
    {
        "seeds": [0, 1],
        "noise_rates": [0, 0.1, 0.3],
        "methods": ["linear_probe", "nmtune_tuned"],
    },
    workers=1,
)
print(len(result.table), "numbers, such as", result.table[0])


# %%
# Accuracy of the two methods, and the spectrum of the features. Two seeds show the direction, not the size: the study's
# page has eight, with intervals, and controls that remove parts of the effect.


def mean(**chosen: object) -> float:
    rows = [row["value"] for row in result.table if all(row[key] == value for key, value in chosen.items())]
    return float(np.mean(rows))


rates = [0, 0.1, 0.3]
figure, (accuracy, entropy) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
for method, colour in (("linear_probe", "#555555"), ("nmtune_tuned", "#0072b2")):
    for split, style in (("id", "-"), ("ood", "--")):
        values = [100 * mean(method=method, split=split, noise_rate=rate, metric="accuracy") for rate in rates]
        label = f"{method}, {'in-domain' if split == 'id' else 'under shift'}"
        accuracy.plot(np.multiply(rates, 100), values, style, marker="o", color=colour, label=label)
accuracy.set(xlabel="wrong labels in pre-training (%)", ylabel="accuracy (%)")
accuracy.legend(frameon=False, fontsize=8)
for split, style in (("id", "-"), ("ood", "--")):
    chosen = {"method": "features", "split": split, "metric": "singular_value_entropy"}
    values = [mean(noise_rate=rate, **chosen) for rate in rates]
    entropy.plot(
        np.multiply(rates, 100),
        values,
        style,
        marker="o",
        color="#555555",
        label="in-domain" if split == "id" else "under shift",
    )
entropy.set(xlabel="wrong labels in pre-training (%)", ylabel="singular-value entropy (nats)")
entropy.legend(frameon=False, fontsize=8)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_study_in_small.png.")
figure.savefig((sys.argv[1:] or ["plot_study_in_small.png"])[0], dpi=110)
# sphinx_gallery_end_ignore
