"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest

# The suite runs on as many processes as there are cores; numpy and scipy read this when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ranks import Ranks

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it runs with `&`; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device of this machine."""
    return torch.device(request.param)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers and Ray are slow."""
    for item in items:
        if item.get_closest_marker("browser") or "ray" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What imports make is no garbage, and to look through all of it takes half a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)  # there without xdist too
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":  # asked for on the command line
        return None
    from sharing import Sharing

    return Sharing(config, log)


@pytest.fixture(scope="session")
def on_ranks() -> Iterator[Ranks]:
    """Calls a function on each of several processes: ``on_ranks(function, *arguments, world=2)``."""
    ranks = Ranks()
    yield ranks
    ranks.stop()


@pytest.fixture(scope="module")
def ray() -> Iterator[object]:
    """Ray on two processors of this machine, without dashboard, network or reports."""
    pytest.importorskip("ray.data", exc_type=ImportError)
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        options = {"object_store_memory": 80 << 20, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR", **options)
        yield ray
        ray.shutdown()


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
