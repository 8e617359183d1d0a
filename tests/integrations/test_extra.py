"""A missing library has one error that names the extra; a broken one keeps its own."""

from __future__ import annotations

import importlib
import sys

import pytest

from noisymodel.errors import MissingExtraError
from noisymodel.integrations._extra import require

EXTRAS = {"transformers": "hf", "peft": "peft", "lightning": "lightning"}


@pytest.mark.parametrize("package", EXTRAS)
def test_missing_library(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = f"noisymodel.integrations.{package}"
    for name in [name for name in sys.modules if name == shell or name.startswith(f"{shell}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as raised:
        importlib.import_module(shell)
    assert str(raised.value) == f"`{package}` is needed for {shell}: pip install 'noisymodel[{EXTRAS[package]}]'"
    assert shell not in sys.modules


def test_unknown_library() -> None:
    with pytest.raises(MissingExtraError, match=r"`no_such_package` is needed for .*noisymodel\[none\]"):
        require("no_such_package", extra="none")
