"""States go through a file unchanged, foreign files are refused; between processes: tests of the accumulators."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from noisymodel.spectrum.states import check_entries, each_rank, read_state, write_state


def test_a_state_comes_back_with_its_settings(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).view(2, 3).T, "count": torch.tensor(2**60)}
    write_state(tmp_path / "new" / "state", "kind", {"size": 3, "flag": True}, state)
    held, found = read_state(tmp_path / "new" / "state", "kind", "Writer.save")
    assert (held["size"], held["flag"]) == (3, True)
    assert sorted(found) == ["a", "count"]
    assert all(torch.equal(found[name], state[name]) for name in state)
    with pytest.raises(ValueError, match=r"state was not written by Other\.save"):
        read_state(tmp_path / "new" / "state", "other", "Other.save")


def test_missing_entries_are_named() -> None:
    check_entries({"a": torch.zeros(1)}, {"a"})
    with pytest.raises(ValueError, match=r"got none of \['b', 'c'\]"):
        check_entries({"a": torch.zeros(1)}, {"a", "c", "b"})


def test_without_processes_there_is_one_rank() -> None:
    own = torch.ones(3)
    assert [part is own for part in each_rank(own, None)] == [True]
