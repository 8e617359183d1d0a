from __future__ import annotations

from mutation.mutate import mutants

SOURCE = '''
def f(x: int = 1, *, exact: bool = True) -> float:
    """1 + 1."""
    if x < 0 and not exact:
        raise ValueError(f"{x + 1}")
    return -x / 2
'''


def test_changes_are_of_what_is_computed_one_at_a_time() -> None:
    found = {(mutant.line, mutant.before, mutant.after) for mutant in mutants(SOURCE)}
    assert found == {
        (2, "1", "2"),
        (2, "True", "False"),
        (4, "x < 0", "x <= 0"),
        (4, "0", "1"),
        (4, "x < 0 and (not exact)", "x < 0 or not exact"),
        (4, "not exact", "exact"),
        (4, "if x < 0 and (not exact):", "if not (x < 0 and (not exact)):"),
        (6, "-x / 2", "-x * 2"),
        (6, "-x", "x"),
        (6, "2", "3"),
    }
    assert len({mutant.source for mutant in mutants(SOURCE)}) == len(found)
