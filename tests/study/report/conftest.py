"""A study's report, written once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from noisymodel.study.report import write_report
from noisymodel.study.rows import StudyRecord
from study.report.synthetic_record import synthetic_record


class Written(NamedTuple):
    folder: Path
    record: StudyRecord
    paths: list[Path]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The full report of a synthetic study of three seeds."""
    folder = tmp_path_factory.mktemp("study") / "out"
    record = synthetic_record(seeds=(7000, 7001, 7002), spread=0.002)
    return Written(folder, record, write_report(folder, record))
