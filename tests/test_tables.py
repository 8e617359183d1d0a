from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tables import over

CASES = {"one": 1, "two": 2}


def test_every_case_runs_in_a_folder_of_its_own_and_a_failure_names_its_case(tmp_path: Path) -> None:
    seen: list[int] = []

    @over(CASES, "number")
    def check(number: int, tmp_path: Path) -> None:
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "file").touch()
        seen.append(number)
        if number == 2:
            raise ValueError("wrong")

    assert list(inspect.signature(check).parameters) == ["tmp_path"]
    with pytest.raises(ValueError, match="wrong") as raised:
        check(tmp_path=tmp_path)
    assert seen == [1, 2]
    assert raised.value.__notes__ == ["in the case 'two' of `number`"]
    with pytest.raises(AssertionError):
        over({}, "number")(lambda number: None)()
