"""With ``pytest -n`` the tests of a file share a worker, and so do some files."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("number", range(4))
def test_tests_of_a_file_share_a_worker(tmp_path_factory: pytest.TempPathFactory, number: int) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    record = tmp_path_factory.getbasetemp().parent / "worker-of-test_sharing"  # a folder of this run
    try:
        with record.open("x") as file:
            file.write(worker)
    except FileExistsError:
        assert record.read_text() == worker


def test_tests_of_several_ranks_share_a_worker_and_those_of_some_folders() -> None:
    pytest.importorskip("xdist")
    from sharing import FOLDERS, Sharing

    assert all('scope="session"' in (ROOT / folder / "conftest.py").read_text() for folder in FOLDERS)
    scope = Sharing._split_scope
    sharing = Sharing.__new__(Sharing)
    sharing.config = SimpleNamespace(rootpath=ROOT)  # type: ignore[assignment]
    assert scope(sharing, "tests/test_ranks.py::test_a[b::c]") == "ranks"
    assert scope(sharing, "tests/losses/test_distributed.py::test_b") == "ranks"
    assert scope(sharing, "tests/study/report/test_page.py::test_d") == "tests/study/report"
    assert scope(sharing, "tests/test_sharing.py::test_c[0]") == "tests/test_sharing.py"
    assert scope(sharing, "src/noisymodel/files.py::noisymodel.files") == "src/noisymodel/files.py"
