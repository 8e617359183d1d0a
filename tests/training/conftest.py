"""Data that a head can learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

D, K = 8, 4


def blobs(count, seed):
    """Gaussian classes around fixed means, (count, D) and (count,), as many of each class."""
    means = 1.5 * torch.randn(K, D, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(count) % K
    return means[targets] + torch.randn(count, D, generator=torch.Generator().manual_seed(seed)), targets


class Source:
    """Rows behind ``len`` and indexing that remembers what it was asked for, and may die at a given read."""

    def __init__(self, rows, *, dies_at=None):
        self.rows = rows
        self.reads = []
        self.dies_at = dies_at

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        if len(self.reads) == self.dies_at:
            raise KeyboardInterrupt
        assert isinstance(index, np.ndarray)
        assert index.dtype.kind == "i"
        self.reads.append(index)
        return self.rows[index]


@pytest.fixture
def train():
    return blobs(100, seed=1)


@pytest.fixture
def held_out():
    return blobs(200, seed=2)


@pytest.fixture
def make_source():
    return Source
