"""One writer at a time, across threads and processes; a dead process holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from noisymodel.features import FeatureStore, FeatureStoreError
from noisymodel.features.store_folder import writer_lock
from noisymodel.files import Lock


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with FeatureStore.create(tmp_path / "s", num_features=1):
        message = rf"s is being written by process {os.getpid()} on .*: a store has one writer at a time; wait"
        with pytest.raises(FeatureStoreError, match=message):
            FeatureStore.create(tmp_path / "s", num_features=1, append=True)
        with pytest.raises(FileExistsError, match="is a feature store already"):
            FeatureStore.create(tmp_path / "s", num_features=1)
    FeatureStore.create(tmp_path / "s", num_features=1, append=True).close()


def test_a_rank_of_torchrun_without_a_group_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        FeatureStore.create(tmp_path / "s", num_features=1),
        pytest.raises(FeatureStoreError, match=r"call torch\.distributed\.init_process_group first"),
    ):
        FeatureStore.create(tmp_path / "s", num_features=1, append=True)


def test_a_lock_without_a_text_is_a_lock_too(tmp_path: Path) -> None:
    lock = writer_lock(tmp_path)
    lock.path.write_text("")
    with pytest.raises(FeatureStoreError, match="is being written by another process"):
        writer_lock(tmp_path)
    lock.release()
    assert not lock.held
    assert not lock.path.exists()
    lock.release()


def test_a_lock_file_that_was_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "writer.lock").write_text(json.dumps({"pid": os.getpid(), "host": "here"}) * 9)
    lock = writer_lock(tmp_path)
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()


def test_a_failed_create_releases_the_lock(tmp_path: Path) -> None:
    FeatureStore.create(tmp_path / "s", num_features=1).close()
    with pytest.raises(ValueError, match="`num_features` must be 1 as in the store"):
        FeatureStore.create(tmp_path / "s", num_features=2, append=True)
    FeatureStore.create(tmp_path / "s", num_features=1, append=True).close()


def test_a_lock_that_was_deleted_under_its_writer_is_noticed(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s", num_features=1)
    (tmp_path / "s" / "writer.lock").unlink()
    with FeatureStore.create(tmp_path / "s", num_features=1, append=True) as second:
        second.append(torch.ones(1, 1))
    store.append(torch.zeros(1, 1))
    with pytest.raises(FeatureStoreError, match=r"manifest.json was changed by another process"):
        store.close()
    assert FeatureStore.open(tmp_path / "s").features[:].tolist() == [[1.0]]


def test_of_many_threads_one_gets_the_lock(tmp_path: Path) -> None:
    for _ in range(20):
        barrier = threading.Barrier(4)
        results: list[Lock | None] = []

        def attempt(barrier: threading.Barrier = barrier, results: list[Lock | None] = results) -> None:
            barrier.wait()
            try:
                results.append(writer_lock(tmp_path))
            except FeatureStoreError:
                results.append(None)

        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [lock for lock in results if lock]
        assert len(winners) == 1
        winners[0].release()


def test_many_writers_that_wait_for_each_other_lose_no_row(tmp_path: Path) -> None:
    def write(number: int) -> None:
        done = 0
        while done < 5:
            try:
                with FeatureStore.create(tmp_path / "s", num_features=1, append=True) as store:
                    store.append(torch.full((1, 1), float(number)))
                    done += 1
            except FeatureStoreError:
                continue

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = FeatureStore.open(tmp_path / "s")
    store.verify()
    assert sorted(store.features[:].flatten().tolist()) == [0.0] * 5 + [1.0] * 5 + [2.0] * 5


def test_readers_see_whole_shards_while_a_writer_appends(tmp_path: Path) -> None:
    done = threading.Event()
    seen: set[int] = set()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                store = FeatureStore.open(tmp_path / "s")
                store.verify()
                count = len(store)
                assert store.features[:].flatten().tolist() == list(range(count))
                seen.add(count)
        except BaseException as error:
            errors.append(error)

    with FeatureStore.create(tmp_path / "s", num_features=1, shard_rows=3) as store:
        reader = threading.Thread(target=read)
        reader.start()
        for row in range(150):
            store.append(torch.full((1, 1), float(row)))
        done.set()
        reader.join()
    assert not errors
    assert {count % 3 for count in seen} == {0}
    assert len(seen) > 2


KILLS = """
import contextlib, os, random, signal, sys, time
from pathlib import Path

import torch

torch.set_num_threads(1)
from noisymodel.features import FeatureStore, FeatureStoreError

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(0)

def rows(start, count):
    return torch.arange(start, start + count, dtype=torch.float32)[:, None].expand(count, 64)

def write(grandchild):
    store = FeatureStore.create(folder, num_features=64, shard_rows=37, append=True)
    if grandchild and os.fork() == 0:
        time.sleep(20)  # a forked worker that outlives its parent
        os._exit(0)
    start = len(store)
    while True:
        count = chance.randrange(1, 50)
        numbers = range(start, start + count)
        store.append(rows(start, count), torch.tensor(numbers), [str(i) for i in numbers])
        start += count

last = 0
for kill in range(kills):
    child = os.fork()
    if child == 0:
        chance.seed(kill)
        if kill == 0:
            os.setpgid(0, 0)
        write(grandchild=kill == 0)
    group = child if kill == 0 else 0
    while not (folder / "manifest.json").exists():
        time.sleep(0.001)
    if kill == 1:
        while not (folder / "writer.lock").exists():
            time.sleep(0.001)
    if kill % 3 == 2:  # others may die before they have written anything, on a slow machine all of them
        before = (folder / "manifest.json").read_bytes()
        while (folder / "manifest.json").read_bytes() == before:
            time.sleep(0.001)
    time.sleep(chance.uniform(0.002, 0.06))
    if kill == 1:
        try:
            FeatureStore.create(folder, num_features=64, append=True)
            raise SystemExit("a second writer got in")
        except FeatureStoreError as error:
            assert f"is being written by process {child} on" in str(error), error
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    store = FeatureStore.open(folder)
    store.verify()
    assert len(store) >= last
    last = len(store)
    assert torch.equal(store.features[:], rows(0, last)), kill
    assert last == 0 or store.labels[:].tolist() == list(range(last))
    if kill == 0:
        FeatureStore.create(folder, num_features=64, append=True).close()  # the grandchild holds nothing
        with contextlib.suppress(ProcessLookupError):  # the child may have been killed before it forked
            os.killpg(group, signal.SIGKILL)
with FeatureStore.create(folder, num_features=64, append=True) as store:
    store.append(rows(len(store), 5), torch.arange(5), ["a"] * 5)
assert len(store) == last + 5
store.verify()
print(last)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_writers_killed_at_random_moments(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLS, str(tmp_path / "s"), "25"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 37, "the writers got somewhere before they were killed"
