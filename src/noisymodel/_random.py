"""Explicit randomness: generators from seeds, and the caller's global state left as it was."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ._checks import check_seed


def array_generator(seed: int, *stream: int) -> np.random.Generator:
    """A numpy generator for ``seed``; ``stream`` numbers make independent generators of one seed."""
    return np.random.default_rng(np.random.SeedSequence(check_seed(seed), spawn_key=stream))


def tensor_generator(seed: int, *stream: int) -> torch.Generator:
    """A torch generator on the CPU for ``seed``; drawing there gives the same numbers whatever the device."""
    state = np.random.SeedSequence(check_seed(seed), spawn_key=stream).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


@contextmanager
def seeded(seed: int | None, devices: Sequence[torch.device] = ()) -> Generator[None]:
    """Run a block under torch's global generators seeded with ``seed``, and put their state back afterwards.

    For what torch draws from its global generators only (dropout). ``seed=None`` changes nothing.
    """
    if seed is None:
        yield
        return
    cuda = [device for device in devices if device.type == "cuda"]
    with torch.random.fork_rng(devices=cuda, enabled=True):
        torch.default_generator.manual_seed(seed)
        for device in cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
