"""Fitted heads on small fixed data give the numbers that they gave.

``python tests/heads/test_frozen.py`` writes ``frozen.json`` anew: only where a change of these numbers is meant.
Dropout has no part here: its masks differ between versions of torch.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from noisymodel import LinearProbe, MLPProbe, NMTune, fit

FILE = Path(__file__).with_name("frozen.json")
HEADS = {
    "nmtune": NMTune,
    "nmtune-residual": lambda *a, **k: NMTune(*a, residual=True, depth=2, **k),
    "paper": lambda *a, **k: NMTune.from_preset("paper", *a, **k),
    "official": lambda *a, **k: NMTune.from_preset("official", *a, **k),
    "mlp": MLPProbe,
    "linear": LinearProbe,
}


def predictions(name: str) -> list[list[float]]:
    """Logits of four rows by a head that was fitted for three epochs, in float64."""
    targets = torch.arange(60) % 3
    features = torch.randn(60, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features += torch.eye(6, dtype=torch.float64)[targets]
    head = HEADS[name](6, 3, generator=torch.Generator().manual_seed(1)).double()
    fit(head, features, targets, epochs=3, batch_size=16, seed=0)
    return head(features[:4]).tolist()


@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_those_of_before(name: str) -> None:
    expected = torch.tensor(json.loads(FILE.read_text())[name], dtype=torch.float64)
    found = torch.tensor(predictions(name), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: predictions(name) for name in HEADS}, indent=1) + "\n")
