"""Batches on their way to the device: read ahead by a thread, pinned, copied without waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

AHEAD = 2  # batches that are read while one is trained on


class Batch(NamedTuple):
    """Rows (n, D), targets (n,) or (n, K), and weights (n,) where there are some."""

    features: Tensor
    targets: Tensor
    weights: Tensor | None


Read = Callable[[Tensor, bool], Batch]
"""The batch of an index as it lies in memory, in page-locked memory if the flag says so."""


class Carrier:
    """Copies batches to a device: on CUDA by a stream of its own, beside what is computed there.

    On other devices the streams are those of ``torch.cpu``, which do nothing, so that the path is one.
    """

    def __init__(self, read: Read, device: torch.device, dtype: torch.dtype) -> None:
        self.read, self.device, self.dtype = read, device, dtype
        self.streams: Any = torch.cuda if device.type == "cuda" else torch.cpu
        self.pinned = device.type == "cuda"
        self.stream = self.streams.Stream(device) if self.pinned else self.streams.Stream()

    def send(self, index: Tensor) -> tuple[Batch, Any]:
        """Read a batch and begin to copy it; what to wait for. Features are converted where they arrive."""
        batch = self.read(index, self.pinned)
        with self.streams.stream(self.stream):
            there = Batch(*(None if part is None else part.to(self.device, non_blocking=True) for part in batch))  # pyright: ignore[reportArgumentType] # weights alone may be None
            there = there._replace(features=there.features.to(self.dtype))
            recorded = getattr(self.stream, "record_event", None)  # older streams of torch.cpu have none
            return there, recorded() if recorded is not None else None

    def receive(self, sent: tuple[Batch, Any]) -> Batch:
        """The batch, for what is computed from now on; nothing waits but the device."""
        batch, arrived = sent
        computing = self.streams.current_stream(self.device) if self.pinned else self.streams.current_stream()
        if arrived is not None:
            computing.wait_event(arrived)
        for part in batch:
            if part is not None and part.is_cuda:
                part.record_stream(computing)  # the memory may not be given away before that is done
        return batch


def feed(carrier: Carrier, indices: Iterable[Tensor], *, threaded: bool) -> Iterator[Batch]:
    """The batches of the indices, in their order, `AHEAD` of them under way; read by a thread where that is allowed.

    What a read raises is raised here, at the batch it belongs to. Closing the iterator ends the thread.
    """
    if not threaded:
        yield from (carrier.receive(carrier.send(index)) for index in indices)
        return
    under_way: deque[Future[tuple[Batch, Any]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="noisymodel-reader") as reader:
        try:
            for index in indices:
                under_way.append(reader.submit(carrier.send, index))
                if len(under_way) > AHEAD:
                    yield carrier.receive(under_way.popleft().result())
            while under_way:
                yield carrier.receive(under_way.popleft().result())
        finally:
            for future in under_way:
                future.cancel()
