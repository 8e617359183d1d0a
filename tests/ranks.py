"""Four processes for the whole session, that tests of several ranks share: interpreters start once, not for each test.

A test takes the fixture ``on_ranks`` and calls ``on_ranks(function, *arguments, world=2)``: each rank calls
``function(rank, *arguments)`` of the test's module in a gloo process group of its own, and the results come back in the
order of the ranks. What a test does to a rank's interpreter stays there, so a test that patches puts back; a rank
that is to die belongs into a process of its own.
"""

from __future__ import annotations

import atexit
import importlib.util
import inspect
import multiprocessing
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

LARGEST_WORLD = 4
PATIENCE = 5.0
"""How many seconds the other ranks have after the first one has failed: they may wait for it in a collective."""


class RankError(AssertionError):
    """A rank raised, died or took too long; the message has its traceback."""


def _loaded(path: str) -> ModuleType:
    """The module of a test's file, imported once in each rank."""
    name = f"on_ranks_{Path(path).stem}_{abs(hash(path))}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _answer(rank: int, request: dict[str, Any]) -> Any:
    import torch.distributed as dist

    value: Any = _loaded(request["path"])
    for name in request["function"].split("."):
        value = getattr(value, name)
    dist.init_process_group(
        "gloo",
        init_method=request["rendezvous"],
        rank=rank,
        world_size=request["world"],
        timeout=timedelta(seconds=request["timeout"]),
    )
    try:
        dist.barrier()  # a rank that ends while another one still connects to it would break that connection
        return value(rank, *request["arguments"], **request["options"])
    finally:
        dist.destroy_process_group()


def _serve(rank: int, connection: Connection) -> None:
    """What a rank does all day."""
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            request = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the test session itself
        except (EOFError, OSError):
            return
        try:
            reply = pickle.dumps((True, _answer(rank, request)))
        except BaseException:
            reply = pickle.dumps((False, traceback.format_exc()))
        connection.send_bytes(reply)


class Ranks:
    """The processes; they start with the first call and anew after one that failed."""

    def __init__(self) -> None:
        self._ranks: list[tuple[Any, Connection]] = []

    def _start(self) -> None:
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:  # one import of torch, not four
            context.set_forkserver_preload(["torch.distributed", "noisymodel.heads", "noisymodel.losses", "pytest"])
        for rank in range(LARGEST_WORLD):
            ours, theirs = multiprocessing.Pipe()
            process = context.Process(target=_serve, args=(rank, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ranks.append((process, ours))
        atexit.register(self.stop)

    def stop(self) -> None:
        """End all processes; the next call starts others."""
        for process, connection in self._ranks:
            connection.close()
            process.kill()
            process.join()
        self._ranks.clear()

    def __call__(
        self, function: Callable[..., Any], *arguments: Any, world: int = 2, timeout: float = 240.0, **options: Any
    ) -> list[Any]:
        """What ``function(rank, *arguments, **options)`` returns on each rank of a process group of ``world`` ranks."""
        if not 1 <= world <= LARGEST_WORLD:
            raise ValueError(f"`world` must be between 1 and {LARGEST_WORLD}, got {world}")
        if not self._ranks:
            self._start()
        request = {
            "path": inspect.getfile(function),
            "function": function.__qualname__,
            "arguments": arguments,
            "options": options,
            "world": world,
            "timeout": timeout,
        }
        with tempfile.TemporaryDirectory() as folder:
            message = pickle.dumps(request | {"rendezvous": (Path(folder) / "rendezvous").as_uri()})
            connections = [connection for _, connection in self._ranks[:world]]
            for connection in connections:
                connection.send_bytes(message)
            return self._collected(connections, timeout)

    def _collected(self, connections: list[Connection], timeout: float) -> list[Any]:
        results: dict[int, Any] = {}
        failures: dict[int, str] = {}
        deadline = time.monotonic() + timeout
        while len(results) + len(failures) < len(connections):
            waiting = [c for rank, c in enumerate(connections) if rank not in results and rank not in failures]
            ready = wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                rank = connections.index(connection)
                try:
                    well, value = pickle.loads(connection.recv_bytes())  # noqa: S301 - from our own ranks
                except (EOFError, OSError):
                    well, value = False, "the process died"
                (results if well else failures)[rank] = value
            if failures:
                deadline = min(deadline, time.monotonic() + PATIENCE)
        if len(results) == len(connections):
            return [results[rank] for rank in range(len(connections))]
        silent = [rank for rank in range(len(connections)) if rank not in results and rank not in failures]
        self.stop()  # some of them wait for each other
        told = [f"rank {rank} of {len(connections)}:\n{failures[rank]}" for rank in sorted(failures)]
        told += [f"no answer of the ranks {silent}" + ("" if failures else f" in {timeout:g} s")] if silent else []
        raise RankError("\n".join(told))
