"""The identity of data changes with what is read, and with nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noisymodel.errors import ConfigError
from noisymodel.study.data.suite import Suite
from noisymodel.study.data.suite.rows import identity
from study.data.suite.lookalikes import encoded, folder, opened, shard, suite, write


def known(own: dict[str, object], seed: int = 0) -> list[object]:
    """All that parts are known by of a suite's data."""
    found = Suite(seed, own)
    return [found.input_record(), *(found.task_record(name) for name in found.tasks)]


def test_moved_as_they_are_data_stay_the_same(tmp_path: Path) -> None:
    known(suite(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy2)
    assert known(suite(tmp_path / "b")) == known(suite(tmp_path / "a"))
    assert known(suite(tmp_path / "a"), seed=9) == known(suite(tmp_path / "a")), (
        "the seed is in a part's identity already"
    )


def resized(root: Path) -> None:
    write(root / "test/ant/0.png", encoded(9, size=(20, 20)))


def touched(root: Path) -> None:
    os.utime(root / "dark/bee/0.png", (1, 1))


def renamed(root: Path) -> None:
    (root / "train/dog/0.png").rename(root / "train/dog/7.png")


def relabelled(root: Path) -> None:
    (root / "pre/up/0.png").rename(root / "pre/down/9.png")


def removed(root: Path) -> None:
    (root / "check/up/0.png").unlink()


@pytest.mark.parametrize("change", [resized, touched, renamed, relabelled, removed])
def test_every_change_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    before = known(suite(tmp_path))
    change(tmp_path)
    assert known(suite(tmp_path)) != before


def test_lists_go_in_with_their_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nx,1\ny,0\n")
    before, status = identity([opened(path=str(path))]), path.stat()
    write(path, "text,label\nz,1\ny,0\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity([opened(path=str(path))]) != before, "of the same size and time"
    assert identity([opened(path=str(path))]) == identity([opened(path=str(path))])


def test_arrays_and_shards_go_in_with_their_times(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4)), labels=np.array([0, 1]))
    shard(tmp_path / "b.tar", 0)
    for name in ("a.npz", "b.tar"):
        before = identity([opened(path=str(tmp_path / name), labels="index")])
        os.utime(tmp_path / name, (1, 1))
        assert identity([opened(path=str(tmp_path / name), labels="index")]) != before


def test_label_maps_and_parts_go_in(tmp_path: Path) -> None:
    own = suite(tmp_path)
    own["tasks"][0]["shifts"][0]["label_map_file"] = "map.json"
    write(tmp_path / "map.json", '{"bee": "bee", "dog": "dog"}')
    before = known(own)
    write(tmp_path / "map.json", '{"bee": "bee", "dog": "cat"}')
    assert known(own) != before
    whole, part = (identity([opened(path=str(tmp_path / "pre"), **more)]) for more in ({}, {"ranks": (0, 2)}))
    assert whole != part


def test_what_has_gone_is_said(tmp_path: Path) -> None:
    rows = opened(path=str(folder(tmp_path)))
    with pytest.raises(ConfigError, match=r"config key `suite`: .*map\.json cannot be read: No such file"):
        identity([rows], [tmp_path / "map.json"])
