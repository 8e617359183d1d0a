"""Transfer of batches to the device: read ahead by a thread, pinned, copied asynchronously."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

AHEAD = 2  # batches to read ahead while one is in training


class Batch(NamedTuple):
    """Rows (n, D), targets (n,) or (n, K), and weights (n,) or None."""

    features: Tensor
    targets: Tensor
    weights: Tensor | None


Read = Callable[[Tensor, bool], Batch]
"""A function from an index and a flag to the batch; the flag asks for page-locked memory."""


class Carrier:
    """Copies batches to a device; on CUDA on its own stream, in parallel with the computation.

    On other devices the streams are those of ``torch.cpu``, which do nothing, so that all devices share one code path.
    """

    def __init__(self, read: Read, device: torch.device, dtype: torch.dtype) -> None:
        self.read, self.device, self.dtype = read, device, dtype
        self.streams: Any = torch.cuda if device.type == "cuda" else torch.cpu
        self.pinned = device.type == "cuda"
        self.stream = self.streams.Stream(device) if self.pinned else self.streams.Stream()

    def send(self, index: Tensor) -> tuple[Batch, Any]:
        """Read a batch and start its copy; return the batch and the event to wait for.

        The features are converted on the device.
        """
        batch = self.read(index, self.pinned)
        with self.streams.stream(self.stream):
            there = Batch(*(None if part is None else part.to(self.device, non_blocking=True) for part in batch))  # pyright: ignore[reportArgumentType] # weights alone may be None
            there = there._replace(features=there.features.to(self.dtype))
            recorded = getattr(self.stream, "record_event", None)  # older streams of torch.cpu have none
            return there, recorded() if recorded is not None else None

    def receive(self, sent: tuple[Batch, Any]) -> Batch:
        """Return the batch for the computation that follows; the device waits for the copy, the caller does not."""
        batch, arrived = sent
        computing = self.streams.current_stream(self.device) if self.pinned else self.streams.current_stream()
        if arrived is not None:
            computing.wait_event(arrived)
        for part in batch:
            if part is not None and part.is_cuda:
                part.record_stream(computing)  # keeps the memory until the computation is done
        return batch


def feed(carrier: Carrier, indices: Iterable[Tensor], *, threaded: bool) -> Iterator[Batch]:
    """Yield the batches of the indices in order, reading `AHEAD` batches ahead; ``threaded`` reads in a thread.

    An error of a read is raised here, at its batch. Closing the iterator ends the thread.
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
