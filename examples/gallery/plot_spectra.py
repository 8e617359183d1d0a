"""
The spectrum of features, in memory and in a stream
===================================================

How many directions do features really use? The singular values tell, and intervals say how much other rows would change
the answer.
"""

# %%
# Two feature matrices of the same shape: pictures, whose features depend on each other, and numbers drawn at random.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if find_spec("matplotlib") is None:
    sys.exit("matplotlib is missing: pip install 'noisymodel[plot]'")

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from noisymodel.plot import cumulative_energy, scree
from noisymodel.spectrum import SpectrumAccumulator, analyze, jackknife_intervals

digits = load_digits().data.astype(np.float32)
random = np.random.default_rng(0).normal(size=digits.shape).astype(np.float32)
spectra = {"digits": analyze(digits, center="column"), "random": analyze(random, center="column")}
for name, spectrum in spectra.items():
    print(f"{name}: SVE {spectrum.entropy:.3f}, LSVR {spectrum.largest_ratio:.3f}, rank {spectrum.numerical_rank}")

# %%
# Values above the dotted edge are larger than those of white noise of the same shape.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
scree(spectra, ax=left)
cumulative_energy(spectra, ax=right)
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_spectra.png.")
figure.savefig((sys.argv[1:] or ["plot_spectra.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# Intervals show the range of results over other samples of rows.

for name, features in (("digits", digits), ("random", random)):
    print(name, {metric: str(found) for metric, found in jackknife_intervals(features).items()})

# %%
# Two accumulators read batches in two places and are merged: the numbers are the same.

parts = [SpectrumAccumulator(64), SpectrumAccumulator(64)]
for place, batch in enumerate(np.array_split(digits, 10)):
    parts[place % 2].update(batch)
streamed = (parts[0] + parts[1]).spectrum(center="column")
print(f"difference of the SVE: {abs(streamed.entropy - spectra['digits'].entropy):.1e}")
