"""A writer that dies at any step of its work, killed or by a power cut, loses at most what was not committed."""

from __future__ import annotations

import errno
import gc
import os
import random
from pathlib import Path

import pytest
import torch

from noisymodel.features import FeatureStore
from reference.disk import Dead, Recorder, after_power_cut

ROWS = torch.arange(14.0).view(7, 2)


def work(folder: Path, recorder: Recorder | None = None) -> None:
    """Go on to seven rows in shards of two: three full ones, and a smaller one at the end."""
    store = FeatureStore.create(folder, num_features=2, shard_rows=2, append=True)
    for row in range(len(store), 7):
        store.append(ROWS[row : row + 1], [row], [str(row)])
        if recorder:
            recorder.mark("told", len(store))
    store.close()


def check(folder: Path, *, at_least: int = 0) -> int | None:
    """The rows that a reader finds, all of them as they were appended; None where there is no store yet."""
    if not (folder / "manifest.json").exists():
        assert at_least == 0
        return None
    store = FeatureStore.open(folder)
    store.verify()
    count = len(store)
    assert at_least <= count <= 7
    assert torch.equal(store.features[:], ROWS[:count])
    if count:
        assert store.labels is not None
        assert store.labels[:].tolist() == list(range(count))
        assert list(store.ids or []) == [str(row) for row in range(count)]
    return count


def recorded(folder: Path) -> Recorder:
    """One whole run."""
    recorder = Recorder(folder)
    with pytest.MonkeyPatch.context() as patch:
        recorder.install(patch)
        work(folder, recorder)
    return recorder


def told(log: list[tuple]) -> int:
    return max((step[1] for step in log if step[0] == "told"), default=0)


def killed(folder: Path, step: int, share: float) -> int:
    """Run until the step, die there, and return how many rows the writer had been told to be committed."""
    recorder = Recorder(folder, kill_at=step, share_written=share)
    with pytest.MonkeyPatch.context() as patch:
        recorder.install(patch)
        with pytest.raises(Dead) as death:  # which keeps the dead writer's objects as they were
            work(folder, recorder)
    del death
    gc.collect(0)  # the dead writer's lock is open no more, as when its process has died; what is young is enough
    return told(recorder.log)


@pytest.mark.parametrize("most", [12, pytest.param(None, marks=pytest.mark.slow)])
def test_killed_at_each_step_and_continued(tmp_path: Path, most: int | None) -> None:
    whole = recorded(tmp_path / "whole").log
    steps = [number for number, step in enumerate(whole) if step[0] != "told"]
    assert len(steps) > 40
    points = [(step, share) for step in steps for share in ((0.0, 0.5, 1.0) if whole[step][0] == "write" else (0.0,))]
    if most is not None:
        points = random.Random(0).sample(points, most)
    found: set[int | None] = set()
    for step, share in points:
        folder = tmp_path / f"{step}-{share}"
        found.add(check(folder, at_least=killed(folder, step, share)))
        work(folder)
        assert check(folder, at_least=7) == 7
        assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    assert found <= {None, 0, 2, 4, 6, 7}
    assert len(found) >= (6 if most is None else 3)


def test_killed_again_and_again(tmp_path: Path) -> None:
    for step in (5, 26, 47):
        folder = tmp_path / str(step)
        for _ in range(3):
            try:
                killed(folder, step, 0.5)
            except pytest.fail.Exception:
                break  # it got to the end: nothing was left to do
            check(folder)
        work(folder)
        assert check(folder, at_least=7) == 7


def test_power_cut_after_each_step(tmp_path: Path) -> None:
    log = recorded(tmp_path / "whole").log
    folder = tmp_path / "after"
    seen: set[tuple[tuple[str, bytes], ...]] = set()
    for end in range(len(log) + 1):
        for files in after_power_cut(log[:end]):
            state = tuple(sorted(files.items()))
            if state in seen and told(log[:end]) == 0:
                continue
            seen.add(state)
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            check(folder, at_least=told(log[:end]))
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
    assert len(seen) > 40


def test_a_store_goes_on_after_each_power_cut(tmp_path: Path) -> None:
    log = recorded(tmp_path / "whole").log
    for end in range(3, len(log), 9):
        for number, files in enumerate(after_power_cut(log[:end])):
            folder = tmp_path / f"{end}-{number}"
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            work(folder)
            assert check(folder, at_least=7) == 7


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_loses_nothing(tmp_path: Path, call: str) -> None:
    store = FeatureStore.create(tmp_path / "s", num_features=2, shard_rows=4)
    store.append(ROWS[:3])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, full)
        rows = ROWS[3:].clone()
        with pytest.raises(OSError, match="no space left"):
            store.append(rows)
        rows.zero_()
        assert (len(store), store.pending) == (0, 7)
        assert [path.name for path in (tmp_path / "s").iterdir() if path.name.endswith(".partial")] == []
    store.flush()
    assert torch.equal(store.features[:], ROWS)
    store.close()
    FeatureStore.open(tmp_path / "s").verify()


def test_a_shard_without_its_manifest_is_written_again(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s", num_features=2, shard_rows=2)
    real = os.replace
    with pytest.MonkeyPatch.context() as patch:

        def refuse(source: Path, target: Path) -> None:
            if target.name == "manifest.json":
                raise OSError(errno.EIO, "input/output error")
            real(source, target)

        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="input/output"):
            store.append(ROWS[:2])
    assert len(FeatureStore.open(tmp_path / "s")) == 0
    FeatureStore.open(tmp_path / "s").verify()
    store.append(ROWS[2:3])
    store.close()
    assert torch.equal(store.features[:], ROWS[:3])
