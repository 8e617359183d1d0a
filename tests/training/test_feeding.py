"""Reading ahead: the same batches in the same order, errors where they belong, and no thread left behind."""

from __future__ import annotations

import threading

import pytest
import torch

from noisymodel.training.feeding import AHEAD, Batch, Carrier, feed

CPU = torch.device("cpu")
INDICES = list(torch.arange(20).split(2))


class Reader:
    """Rows of twice their number, in float16, that remembers who read what and fails at a given batch."""

    def __init__(self, fails_at=None, error=OSError):
        self.reads, self.threads, self.pinned, self.fails_at, self.error = [], set(), set(), fails_at, error

    def __call__(self, index, pinned):
        if len(self.reads) == self.fails_at:
            raise self.error("the disk is gone")
        self.reads.append(index)
        self.threads.add(threading.current_thread().name)
        self.pinned.add(pinned)
        return Batch(2.0 * index[:, None].half(), index, index.double() if len(self.reads) % 2 else None)


def fed(reader, threaded):
    return feed(Carrier(reader, CPU, torch.float32), INDICES, threaded=threaded)


@pytest.mark.parametrize("threaded", [False, True])
def test_batches_come_in_order_and_in_the_wanted_type(threaded):
    reader = Reader()
    batches = list(fed(reader, threaded))
    assert [batch.targets.tolist() for batch in batches] == [index.tolist() for index in INDICES]
    assert all(torch.equal(batch.features[:, 0], 2.0 * batch.targets) for batch in batches)
    assert {batch.features.dtype for batch in batches} == {torch.float32}
    assert [batch.weights is None for batch in batches] == [False, True] * 5
    assert reader.pinned == {False}
    here = threading.current_thread().name
    assert all(name.startswith("noisymodel-reader") if threaded else name == here for name in reader.threads)


def test_it_reads_ahead_but_not_far():
    started = threading.Event()
    reader = Reader()

    def read(index, pinned):
        batch = reader(index, pinned)
        if len(reader.reads) == AHEAD + 1:
            started.set()
        return batch

    batches = fed(read, True)
    next(batches)
    assert started.wait(10), "batches beyond the first are read before they are asked for"
    assert len(reader.reads) <= AHEAD + 1
    batches.close()


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_is_raised_at_its_batch(threaded, error):
    batches = fed(Reader(fails_at=4, error=error), threaded)
    for index in INDICES[:4]:
        assert torch.equal(next(batches).targets, index)
    with pytest.raises(error, match="the disk is gone"):
        next(batches)


def test_closing_ends_the_thread():
    batches = fed(Reader(), True)
    next(batches)
    assert any(thread.name.startswith("noisymodel-reader") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("noisymodel-reader") for thread in threading.enumerate())


class Stream:
    """A stream that writes down what it is told."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def record_event(self):
        self.log.append(f"{self.name} records")
        return f"event of {self.name}"

    def wait_event(self, event):
        self.log.append(f"{self.name} waits for {event}")


class Streams:
    """What `Carrier` uses of ``torch.cuda``."""

    def __init__(self, log):
        self.log, self.computing = log, Stream(log, "compute")

    def stream(self, stream):
        self.log.append(f"on {stream.name}")
        return torch.cpu.stream(torch.cpu.Stream())

    def current_stream(self, _=None):
        return self.computing


def carrier_of_a_device_with_streams(reader, log):
    carrier = Carrier(reader, CPU, torch.float32)
    carrier.streams, carrier.stream, carrier.pinned = Streams(log), Stream(log, "copy"), True
    return carrier


def test_without_a_thread_the_device_alone_waits_for_a_copy():
    log, reader = [], Reader()
    next(feed(carrier_of_a_device_with_streams(reader, log), INDICES[:3], threaded=False))
    assert log == ["on copy", "copy records", "compute waits for event of copy"]
    assert reader.pinned == {True}


def test_the_thread_copies_on_the_stream_too():
    log, reader = [], Reader()
    batches = list(feed(carrier_of_a_device_with_streams(reader, log), INDICES, threaded=True))
    assert [batch.targets.tolist() for batch in batches] == [index.tolist() for index in INDICES]
    assert log.count("copy records") == log.count("compute waits for event of copy") == len(INDICES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="copies to a GPU")
@pytest.mark.parametrize("threaded", [False, True])
def test_on_a_gpu(threaded):
    def read(index, pinned):
        return Batch(_pin(index[:, None].half(), pinned), _pin(index, pinned), None)

    batches = feed(Carrier(read, torch.device("cuda"), torch.float32), INDICES, threaded=threaded)
    for index, batch in zip(INDICES, batches, strict=True):
        assert torch.equal(batch.features[:, 0].cpu(), index.float())


def _pin(tensor, pinned):
    return tensor.pin_memory() if pinned else tensor
