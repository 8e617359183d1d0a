"""The architecture, as a check: imports point downwards, siblings do not know each other, extras stay out."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "noisymodel"

LAYER = {
    "errors": 0, "_checks": 0, "_random": 0, "files": 0, "_gather": 0,
    "losses": 1, "spectrum": 1, "subspace": 1, "noise": 1,
    "heads": 2, "baselines": 2, "objective": 2, "metrics": 2, "datasets": 2, "plot": 2,
    "features": 3,
    "training": 4, "sweeping": 4, "models": 4, "spectrum_files": 4, "noise_files": 4,
    "estimator": 5, "study": 5, "integrations": 5,
    "cli": 6, "__main__": 6,
}  # fmt: skip
STRANGERS = [  # (who, must not know)
    ("noise", {"spectrum", "heads", "losses"}),
    ("spectrum", {"noise", "heads", "losses"}),
    ("plot", {"noise", "heads", "losses"}),
    ("features", {"heads", "losses"}),
    ("models", {"training", "sweeping"}),
    ("estimator", {"study", "integrations"}),
    ("study", {"estimator", "integrations"}),
    ("integrations", {"estimator", "study"}),
]
EXTRAS = {
    "matplotlib", "jinja2", "yaml", "pandas", "pyarrow", "torchmetrics", "transformers", "peft", "lightning",
    "accelerate", "timm", "open_clip", "datasets", "webdataset", "ray", "openai", "httpx",
}  # fmt: skip


def room(path: Path) -> str:
    """The top-level module of the package that a file belongs to."""
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def runtime_nodes(tree: ast.AST):
    """All nodes but those under ``if TYPE_CHECKING:``."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            stack.extend(node.orelse)
            continue
        yield node
        stack.extend(ast.iter_child_nodes(node))


@cache
def imported_rooms(path: Path, source: str | None = None) -> set[str]:
    """The rooms of noisymodel that a file imports, at the top or inside functions."""
    rooms: set[str] = set()
    package = ("noisymodel", *path.relative_to(SOURCE).parts[:-1])
    for node in runtime_nodes(ast.parse(source if source is not None else path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names = [module] if module != "noisymodel" else [f"noisymodel.{a.name}" for a in node.names]
        rooms.update(name.split(".")[1] for name in names if name.startswith("noisymodel."))
    return rooms


FILES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE)


def test_imports_point_downwards() -> None:
    for path in FILES:
        here = room(path)
        assert here in LAYER, f"{path}: say in LAYER which layer {here!r} belongs to"
        upward = {other for other in imported_rooms(path) - {here, "__version__"} if LAYER[other] > LAYER[here]}
        assert not upward, f"{path} imports upwards: {upward}"


def test_siblings_do_not_know_each_other() -> None:
    for who, strangers in STRANGERS:
        files = [path for path in FILES if room(path) == who]
        assert files, who
        known = {other: path for path in files for other in imported_rooms(path) & strangers}
        assert not known


def test_the_check_itself_sees_an_upward_arrow() -> None:
    path = SOURCE / "noise" / "labels.py"
    assert imported_rooms(path, "from ..heads import NMTune") == {"heads"}
    assert imported_rooms(path, "import noisymodel.study.runner") == {"study"}
    assert imported_rooms(path, "def f():\n    from .. import losses") == {"losses"}
    assert imported_rooms(path, "if TYPE_CHECKING:\n    from ..heads import NMTune") == set()


# Rooms that are shells over one extra; who imports them has it, and what lacks it is told which extra brings it
SHELLS = {"integrations"}
INSIDE = [path for path in FILES if room(path) not in SHELLS]


def test_extras_are_imported_inside_functions() -> None:
    for path in INSIDE:
        top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name.split(".")[0] for node in top_level if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module.split(".")[0] for node in top_level if isinstance(node, ast.ImportFrom) and node.module}
        assert not names & EXTRAS, path


def test_nobody_imports_the_shells() -> None:
    others = [path for path in INSIDE if imported_rooms(path) & SHELLS]
    assert not others


PUBLIC_IMPORTS = [
    "import noisymodel; noisymodel.NMTune, noisymodel.fit, noisymodel.losses, noisymodel.noise, noisymodel.spectrum",
    "import noisymodel; noisymodel.FeatureStore, noisymodel.features",
    "import noisymodel; noisymodel.datasets.NoisyLabelDataset, noisymodel.datasets.NoisyPairDataset",
    "import noisymodel; noisymodel.study; import noisymodel.cli",
    "import noisymodel; noisymodel.TunedModel, noisymodel.models.timm_backbone",
    "import noisymodel; noisymodel.plot, noisymodel.plot.scree",
    "import noisymodel; noisymodel.baselines.interpolate, noisymodel.baselines.WhitenedProbe",
    "import noisymodel; noisymodel.integrations",
]


LOADED = """
import importlib, sys
def loaded():
    return sorted({name.split(".")[0] for name in sys.modules})
import noisymodel
print(*loaded())
for statement in sys.argv[1:]:
    exec(statement)
print(*loaded())
"""


def test_imports_load_no_extra_and_the_package_alone_nothing_heavy() -> None:
    """One interpreter for all: what a statement loads stays loaded, so the last look sees everything."""
    command = [sys.executable, "-W", "error", "-c", LOADED, *PUBLIC_IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    alone, everything = (set(line.split()) for line in done.stdout.splitlines())
    assert "noisymodel" in alone
    assert not alone & {"torch", "numpy", "scipy", "sklearn"}
    # torch itself imports jinja2 where it is installed; that is torch's choice, not ours
    assert not everything & (EXTRAS - {"jinja2"})
