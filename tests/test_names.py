"""Public names: each is there without an import of its module, and none loads more than torch and scikit-learn."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import noisymodel
from noisymodel import errors

ROOT = Path(__file__).parent.parent
PROBE = """
import sys
import noisymodel
for path in sys.argv[1:]:
    value = noisymodel
    for name in path.split("."):
        value = getattr(value, name)
        assert name in dir(noisymodel) or "." in path, name
compilers = [name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules]
assert not compilers, compilers
"""


def test_every_name_is_there_at_once_and_loads_no_compiler() -> None:
    """One interpreter for all; `study`, `plot` and `integrations` come with extras of their own."""
    modules = {path.stem if path.suffix == ".py" else path.name for path in (ROOT / "src" / "noisymodel").iterdir()}
    public = {name for name in modules if name[0] not in "_." and name not in ("py", "__main__")}
    assert public <= set(dir(noisymodel)) | {"py.typed", "shrinkage"}, "a module without an attribute"
    names = sorted(set(dir(noisymodel)) - {"metrics", "plot", "study", "__version__"})
    done = subprocess.run([sys.executable, "-c", PROBE, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_documented_paths_exist() -> None:
    """`noisymodel.a.b` on a page is something."""
    pytest.importorskip("torchmetrics")
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    found = {path for page in pages for path in re.findall(r"`noisymodel((?:\.[A-Za-z_]+)+)`", page.read_text("utf-8"))}
    assert len(found) > 10
    for path in sorted(found):
        value: object = noisymodel
        for name in path.strip(".").split("."):
            value = getattr(value, name)


def test_errors_survive_pickling() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 9
    for kind in kinds:
        made = kind("ray", extra="ray", purpose="a test") if kind is errors.MissingExtraError else kind("a message")
        made.note = "kept"
        again = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
        assert type(again) is kind
        assert str(again) == str(made)
        assert vars(again) == vars(made)
        assert getattr(again, "name", None) == getattr(made, "name", None)
