"""A missing library has one error that names the extra; a broken one keeps its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from noisymodel.errors import MissingExtraError
from noisymodel.integrations._extra import require

EXTRAS = {"transformers": "hf", "peft": "peft", "lightning": "lightning"}


@pytest.mark.parametrize("package", EXTRAS)
def test_missing_library(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nimport noisymodel.integrations.{package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(
        f"MissingExtraError: `{package}` is needed for noisymodel.integrations.{package}: "
        f"pip install 'noisymodel[{EXTRAS[package]}]'"
    )


def test_unknown_library() -> None:
    with pytest.raises(MissingExtraError, match=r"`no_such_package` is needed for .*noisymodel\[none\]"):
        require("no_such_package", extra="none")
