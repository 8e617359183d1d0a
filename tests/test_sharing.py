"""With ``pytest -n`` the tests of a file share a worker, and the tests of several ranks too."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("number", range(4))
def test_tests_of_a_file_share_a_worker(tmp_path_factory: pytest.TempPathFactory, number: int) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "none")
    record = tmp_path_factory.getbasetemp().parent / f"test_sharing-{os.environ.get('PYTEST_XDIST_TESTRUNUID', 'none')}"
    try:
        with record.open("x") as file:
            file.write(worker)
    except FileExistsError:
        assert record.read_text() == worker


def test_tests_of_several_ranks_share_a_worker() -> None:
    pytest.importorskip("xdist")
    from sharing import Sharing

    scope = Sharing._split_scope
    sharing = Sharing.__new__(Sharing)
    sharing.config = SimpleNamespace(rootpath=ROOT)  # type: ignore[assignment]
    assert scope(sharing, "tests/test_ranks.py::test_a[b::c]") == "ranks"
    assert scope(sharing, "tests/losses/test_distributed.py::test_b") == "ranks"
    assert scope(sharing, "tests/test_sharing.py::test_c[0]") == "tests/test_sharing.py"
    assert scope(sharing, "src/noisymodel/files.py::noisymodel.files") == "src/noisymodel/files.py"
