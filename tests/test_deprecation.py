from __future__ import annotations

import importlib
import pkgutil

import pytest

import noisymodel
from noisymodel import _deprecation
from noisymodel._deprecation import Deprecation, deprecated, overdue


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[Deprecation]:
    entries: list[Deprecation] = []
    monkeypatch.setattr(_deprecation, "DEPRECATIONS", entries)
    return entries


def test_a_deprecated_function_still_works_and_says_what_to_use(registry: list[Deprecation]) -> None:
    @deprecated(since="0.2", removal="0.4", instead="use `other`")
    def double(value: int, *, offset: int = 0) -> int:
        """Twice the value."""
        return 2 * value + offset

    with pytest.warns(
        FutureWarning, match=r"`.*double` is deprecated since noisymodel 0\.2 and will be removed in 0\.4"
    ):
        assert double(3, offset=1) == 7
    assert double.__doc__ == "Twice the value."
    assert [entry[1:] for entry in registry] == [((0, 2), (0, 4))]


@pytest.mark.parametrize(("since", "removal"), [("0.2", "0.3"), ("0.2", "0.2"), ("1.9", "1.10"), ("1.0", "0.9")])
def test_users_get_two_minor_versions(since: str, removal: str) -> None:
    with pytest.raises(ValueError, match=f"at least two minor versions after {since}, got {removal}"):
        deprecated(since=since, removal=removal, instead="")


def test_a_major_version_may_remove_what_warned_before() -> None:
    assert callable(deprecated(since="0.9", removal="1.0", instead=""))


def test_overdue_names_are_found() -> None:
    entries = [Deprecation("old", (0, 1), (0, 3)), Deprecation("new", (0, 2), (0, 10))]
    assert overdue("0.2.9", entries) == []
    assert overdue("0.3.0", entries) == ["old"]
    assert overdue("1.0", entries) == ["old", "new"]


def test_nothing_in_this_version_is_overdue() -> None:
    for module in pkgutil.iter_modules(noisymodel.__path__, "noisymodel."):
        if not module.name.endswith(("__main__", "metrics")):
            importlib.import_module(module.name)
    assert overdue(noisymodel.__version__) == []
