"""Fixtures that all tests share."""

from __future__ import annotations

import os

import pytest
import torch

torch.set_num_threads(1)  # the suite runs on as many processes as there are cores

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device of this machine."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _global_random_state_is_left_alone():
    """Whatever a test calls, torch's and numpy's global generators stand where they stood."""
    import numpy as np

    torch_before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()  # noqa: NPY002 - the legacy global state is what must not move
    yield
    if os.environ.get("NOISYMODEL_ALLOW_GLOBAL_RANDOMNESS"):
        return
    assert torch.equal(torch_before, torch.random.get_rng_state()), "torch's global random state was touched"
    numpy_after = np.random.get_state()  # noqa: NPY002 - see above
    assert numpy_before[1].tobytes() == numpy_after[1].tobytes(), "numpy's global random state was touched"
    assert numpy_before[2] == numpy_after[2], "numpy's global random state was touched"
