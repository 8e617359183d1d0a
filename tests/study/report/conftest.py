"""A study's report, written once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from noisymodel.study.report import files, write_report
from noisymodel.study.report.figures import StudyFigure, study_figures
from noisymodel.study.report.results import Results
from noisymodel.study.rows import StudyRecord
from study.report.synthetic_record import synthetic_record

FIGURES = ("accuracy", "samples")
"""Those in the report that most tests look at; drawing all of them takes long, and each has a test of its own."""


class Written(NamedTuple):
    folder: Path
    record: StudyRecord
    paths: list[Path]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report of a synthetic study of three seeds, with the figures of `FIGURES`."""

    def few(results: Results) -> list[StudyFigure]:
        return [figure for figure in study_figures(results) if figure.name in FIGURES]

    folder = tmp_path_factory.mktemp("study") / "out"
    record = synthetic_record(seeds=(7000, 7001, 7002), spread=0.002)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "study_figures", few)
        return Written(folder, record, write_report(folder, record))
