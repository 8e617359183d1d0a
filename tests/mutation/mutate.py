"""Which changes of the mathematics does no test notice? One small change at a time, within a budget of minutes.

    python tests/mutation/mutate.py [--minutes 20] [--seed 0] [losses noise spectrum choice]

Each area has source files and the tests that are to notice. A change (another comparison, operator, constant, sign,
branch) is drawn at random, written into a copy of the source, and the tests run on it in a fork of this process, which
has torch already. What survives is printed with its line; the share that was noticed is the score. Not part of CI: a
survivor is a question, and some are no mistakes (the bound of a cache, a faster path with equal values).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
AREAS = {  # area -> patterns of sources under src/noisymodel, of tests under tests
    "losses": (["losses/*.py", "baselines/shrinkage.py"], ["losses", "baselines/test_shrinkage.py"]),
    "noise": (["noise/*.py"], ["noise"]),
    "spectrum": (["spectrum/*.py"], ["spectrum"]),
    "choice": (
        ["sweeping/choice.py", "estimator/procedure.py"],
        ["sweeping/test_choice.py", "estimator/test_procedure.py"],
    ),
}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
            ast.FloorDiv: ast.Mult, ast.MatMult: ast.Add}  # fmt: skip


class Mutant(NamedTuple):
    """One change: where, what the line said and says, and the whole file with it."""

    line: int
    before: str
    after: str
    source: str


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    other = copy.deepcopy(node)
    match other:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            other.ops = [COMPARED[type(op)]()]
            yield other
        case ast.BinOp(op=op) if type(op) in COMPUTED:
            other.op = COMPUTED[type(op)]()
            yield other
        case ast.BoolOp(op=op):
            other.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield other
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp():
            other.body, other.orelse = other.orelse, other.body
            yield other
        case ast.If(test=test):
            other.test = ast.UnaryOp(ast.Not(), test)
            yield other
        case _:
            return


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """(parent, field, index) of every node that computes: no annotations, messages, decorators or checks for typing."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            typing = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr | ast.Assert) or typing:
                continue
            yield node, field, index if isinstance(value, list) else None
            yield from places(child)


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of a file."""
    tree = ast.parse(source)
    for parent, field, index in list(places(tree)):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        for replacement in changed(node):
            ast.copy_location(replacement, node)
            before, after = (ast.unparse(each).split("\n")[0] for each in (node, replacement))
            put(parent, field, index, replacement)
            yield Mutant(getattr(node, "lineno", 0), before, after, ast.unparse(ast.fix_missing_locations(tree)))
            put(parent, field, index, node)


def put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def survives(sources: Path, tests: list[str], seconds: float) -> bool:
    """Whether the tests pass on a copy of the sources; what takes too long does not."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.path.insert(0, str(sources))
        os.environ["PYTHONPATH"] = str(sources)
        os.chdir(ROOT)
        import pytest

        code = 1
        try:
            options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
            code = int(pytest.main([*options, "-m", "not slow", "--hypothesis-seed=0", *tests]))
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests have started


def matching(base: Path, patterns: list[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in base.glob(pattern) if path.name != "__init__.py")


def examine(area: str, copied: Path, seconds: float, draw: random.Random) -> float:
    """Prints what survives in an area; the share that was noticed."""
    patterns, test_patterns = AREAS[area]
    given = matching(ROOT / "tests", test_patterns)
    took: dict[str, float] = {}
    for path in (file for one in given for file in (sorted(one.rglob("test_*.py")) if one.is_dir() else [one])):
        begin = time.monotonic()
        if not survives(copied, [str(path)], 600.0):
            raise SystemExit(f"{area}: {path} fails without any change, or has no quick test")
        took[str(path)] = time.monotonic() - begin
    tests, alone = sorted(took, key=lambda name: took[name]), sum(took.values())  # the quick ones notice most changes
    files = matching(copied / "noisymodel", patterns)
    todo = [(path, mutant) for path in files for mutant in mutants(path.read_text(encoding="utf-8"))]
    draw.shuffle(todo)
    survivors, tried, end = 0, 0, time.monotonic() + seconds
    for path, mutant in todo:
        if time.monotonic() > end:
            break
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        alive = survives(copied, tests, 3 * alone + 20)
        path.write_text(original, encoding="utf-8")
        tried += 1
        if alive:
            survivors += 1
            print(f"  {path.relative_to(copied)}:{mutant.line}: {mutant.before}  →  {mutant.after}", flush=True)
    print(f"{area}: {tried - survivors} of {tried} changes noticed, of {len(todo)} possible ones")
    return (tried - survivors) / max(tried, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(AREAS)}; all, unless some are given")
    parser.add_argument("--minutes", type=float, default=20.0, help="for all areas together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    areas = options.areas or list(AREAS)
    if unknown := set(areas) - set(AREAS):
        parser.error(f"areas are {', '.join(AREAS)}, got {', '.join(sorted(unknown))}")
    import torch  # before the forks

    torch.set_num_threads(1)
    sys.dont_write_bytecode = True  # two changes within a second have one time stamp
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copied, ignore=shutil.ignore_patterns("__pycache__"))
        draw = random.Random(options.seed)
        for area in areas:
            examine(area, copied, 60 * options.minutes / len(areas), draw)


if __name__ == "__main__":
    main()
