"""`fit` on several ranks makes the head of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from noisymodel import LinearProbe, NMTune, fit
from noisymodel.features import FeatureStore
from noisymodel.training.ranks import global_batch_norm
from ranks import Ranks

FEATURES, CLASSES, ROWS = 6, 3, 41
HEADS = {  # heads and batch sizes
    "nmtune": (NMTune, {"dropout": 0.2, "input_noise": 0.3, "top_k": 2, "hidden_features": 9}, 4),
    "wide batches": (NMTune, {"hidden_features": 9, "label_smoothing": 0.1, "depth": 2}, 13),
    "layer": (NMTune, {"hidden_features": 9, "norm": "layer", "residual": False}, 20),
    "linear": (LinearProbe, {}, 20),
}


def trained(gather: bool, kind: str, folder: str, **options: Any) -> tuple[dict[str, Any], list[dict[str, float]]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64)
    targets = (torch.arange(ROWS) % CLASSES).where(torch.arange(ROWS) % 7 > 0, -100)
    weights = torch.rand(ROWS, generator=generator)
    make, settings, batch_size = HEADS[kind]
    seed = torch.distributed.get_rank() if gather else 0  # the first rank's weights count
    start = torch.Generator().manual_seed(seed)
    head = make(FEATURES, CLASSES, **settings, gather=gather, generator=start).double()
    source = np.load(Path(folder) / "features.npy", mmap_mode="r") if folder else features
    result = fit(
        head, source, targets, validation=(features, targets), epochs=3, batch_size=batch_size, seed=5,
        learning_rate=1e-2, warmup=0.5, sample_weight=weights, **options,
    )  # fmt: skip
    return head.state_dict(), [{k: v for k, v in entry.items() if k != "seconds"} for entry in result.history]


def on_a_rank(_rank: int, kind: str, folder: str, **options: Any) -> Any:
    return trained(True, kind, folder, **options)


def on_a_store(rank: int, path: str) -> dict[str, torch.Tensor]:
    store = FeatureStore.open(path)
    head = NMTune(FEATURES, CLASSES, hidden_features=9, gather=True, generator=torch.Generator().manual_seed(rank))
    return fit(head, store, store.labels, epochs=2, batch_size=16).head.state_dict()  # without a seed: the first's


def same(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", HEADS)
def test_ranks_make_the_head_of_one_process(on_ranks: Ranks, kind: str, tmp_path: Path) -> None:
    features = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.save(tmp_path / "features.npy", features.numpy())
    folder = str(tmp_path) if kind == "nmtune" else ""
    state, history = trained(False, kind, folder)
    for ranked, told in on_ranks(on_a_rank, kind, folder, world=3 if kind == "nmtune" else 2):
        same(ranked, state)
        same(told, history)


def test_ranks_read_a_store_and_agree_without_a_seed(on_ranks: Ranks, tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "store", num_features=FEATURES) as store:
        store.append(torch.randn(50, FEATURES, generator=torch.Generator().manual_seed(0)), torch.arange(50) % CLASSES)
    first, second = on_ranks(on_a_store, str(tmp_path / "store"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_ranks_go_on_from_a_checkpoint(on_ranks: Ranks, tmp_path: Path) -> None:
    path = tmp_path / "run"
    whole = on_ranks(on_a_rank, "layer", "", checkpoint=path)
    again = on_ranks(on_a_rank, "layer", "", checkpoint=path)
    assert path.is_file()
    same([state for state, _ in again], [state for state, _ in whole])


def refused(_rank: int) -> str:
    head = NMTune(FEATURES, CLASSES, gather=True)
    with pytest.raises(ValueError, match="`compile` must be False for a head with `gather`, got True"):
        fit(head, torch.randn(8, FEATURES), torch.arange(8) % CLASSES, compile=True)
    return type(next(m for m in head.modules() if isinstance(m, nn.BatchNorm1d))).__name__


def test_what_ranks_cannot_do(on_ranks: Ranks) -> None:
    assert on_ranks(refused) == ["BatchNorm1d"] * 2


def test_one_process_keeps_its_batch_norm() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3))
    before = network[0]
    with global_batch_norm(network, None):
        assert network[0] is before
