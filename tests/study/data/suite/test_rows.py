"""Parts of a set: the same on every machine, disjoint, of each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisymodel.errors import ConfigError, InputFileError
from noisymodel.study.data.suite.declaration import SetTable
from noisymodel.study.data.suite.rows import Found, arranged
from study.data.suite.lookalikes import folder, opened

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def found(sizes: list[int]) -> Found:
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    return Found("somewhere", [f"{row}.png" for row in range(len(labels))], labels)


@settings(deadline=None, max_examples=40)
@given(SIZES, st.floats(0.1, 0.9))
def test_portions_cut_every_class_in_two(sizes: list[int], share: float) -> None:
    whole = arranged(found(sizes), SetTable(), ())
    parts = []
    for portion in ((0.0, share), (share, 1.0)):
        try:
            parts.append(arranged(found(sizes), SetTable(portion=portion), ()))
        except InputFileError:
            parts.append(whole.take(np.array([], dtype=np.int64)))
    assert sorted([*parts[0].order, *parts[1].order]) == list(range(sum(sizes))), "disjoint, and nothing is lost"
    assert np.bincount(parts[0].codes, minlength=len(sizes)).tolist() == [round(share * size) for size in sizes]


def test_ranks_are_a_fixed_number_of_each_class() -> None:
    first = arranged(found([5, 9]), SetTable(ranks=(0, 3)), ())
    rest = arranged(found([5, 9]), SetTable(ranks=(3, 0)), ())
    assert np.bincount(first.codes).tolist() == [3, 3]
    assert np.bincount(rest.codes).tolist() == [2, 6]
    assert not set(first.order.tolist()) & set(rest.order.tolist())


def test_a_part_does_not_depend_on_what_else_is_there(tmp_path: Path) -> None:
    """The order is the hash of the names: that of one class stays when another comes."""
    one = opened(path=str(folder(tmp_path / "a", ("ant",), 8)), ranks=(0, 4))
    two = opened(path=str(folder(tmp_path / "b", ("ant", "bee"), 8)), ranks=(0, 4))
    chosen = [[rows.found.names[row] for row in rows.order] for rows in (one, two)]
    assert chosen[0] == [name for name in chosen[1] if name.startswith("ant")]
    assert chosen[0] != sorted(one.found.names)[:4], "no part of the alphabet"


def test_an_empty_part_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the part that is asked for is empty"):
        opened(path=str(folder(tmp_path, count=2)), ranks=(5, 0))
