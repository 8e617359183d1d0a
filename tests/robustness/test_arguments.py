"""No bad value of any argument is taken silently: a sample of the calls that ``arguments.py`` makes in full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from robustness.arguments import SILENT, UNCLEAR, sampled, verdict
from robustness.calls import EXEMPT, calls, public_names

COUNT, SEED = 4000, 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    pytest.importorskip("torchmetrics")
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("arguments")
    before = Path.cwd()
    os.chdir(folder)  # some values are names of files
    yield calls(folder)
    os.chdir(before)


@pytest.mark.filterwarnings("ignore")
def test_every_public_name_is_called_or_exempt(made) -> None:
    exempt = set().union(*EXEMPT.values())
    called = {(call.room, call.name) for call in made}
    rest = [f"{room}.{name}" for room, name in public_names() if name not in exempt and (room, name) not in called]
    known = {(call.room, call.name) for call in made if "." not in call.name} - set(public_names())
    assert not rest, "give it a call in tests/robustness/calls.py"
    assert not known, "these are no public names any more"


@pytest.mark.filterwarnings("ignore")
def test_the_good_calls_are_good(made) -> None:
    with torch.random.fork_rng(devices=[]):
        for call in made:
            call()


@pytest.mark.filterwarnings("ignore")
def test_a_bad_value_is_an_error_that_names_the_argument(made) -> None:
    with torch.random.fork_rng(devices=[]):
        findings = [verdict(*case) for case in sampled(made, COUNT, SEED)]
    silent = [str(finding) for finding in findings if finding.verdict == SILENT]
    unclear = [str(finding) for finding in findings if finding.verdict == UNCLEAR]
    assert not silent, "\n".join(silent)
    assert not unclear, "\n".join(unclear)
