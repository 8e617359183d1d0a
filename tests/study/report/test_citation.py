"""What to cite, and the hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

from noisymodel.study.report.citation import bibtex, config_hash, hashes
from study.report.synthetic_record import synthetic_record


def test_bibtex_has_the_papers_and_this_version() -> None:
    text = bibtex(synthetic_record(seeds=(1,), rates=(0.0,), methods=("mlp",)))
    assert re.findall(r"^@(\w+)\{", text, flags=re.M) == ["inproceedings", "article", "software"]
    assert text.count("{") == text.count("}")
    assert "arXiv:2309.17002" in text
    assert re.search(r"version = \{0\.1\.0\},\n  year    = \{2026\}", text)


def test_hashes_are_of_the_files(written) -> None:
    sums = json.loads((written.folder / "results.json").read_text())["sha256"]
    names = {"results.csv", "summary.csv", "correlations.csv", "spectra.safetensors"}
    assert set(sums) == {"configuration", *names}
    for name in names:
        assert sums[name] == hashlib.sha256((Path(written.folder) / name).read_bytes()).hexdigest()
    assert all(value in (written.folder / "report.html").read_text() for value in sums.values())


def test_the_configuration_counts_and_its_order_does_not() -> None:
    record = synthetic_record(seeds=(1,), rates=(0.0,), methods=("mlp",))
    turned = dataclasses.replace(record, config=dict(reversed(record.config.items())))
    other = dataclasses.replace(record, config={**record.config, "data": "digits"})
    assert config_hash(record) == config_hash(turned) != config_hash(other)
    assert hashes(record, {"a.csv": b"x", "tables/b.csv": b"y", "c.html": b"z"}).keys() == {"configuration", "a.csv"}
