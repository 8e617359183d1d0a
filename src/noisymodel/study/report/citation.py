"""Citations of a study as BibTeX, and hashes of its configuration and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from string import Template

from ..rows import StudyRecord

_CITATIONS = Path(__file__).with_name("citation.bib")


def bibtex(record: StudyRecord) -> str:
    """The papers of the method, and this library in the version that made the study."""
    text = Template(_CITATIONS.read_text(encoding="utf-8"))
    return text.substitute(version=record.versions.get("noisymodel", ""), year=record.finished[:4])


def config_hash(record: StudyRecord) -> str:
    """SHA-256 of the configuration as JSON with sorted keys and without spaces."""
    text = json.dumps(record.config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def hashes(record: StudyRecord, files: Mapping[str, bytes]) -> dict[str, str]:
    """Name -> hash, for the page and ``results.json``.

    ``"configuration"`` (see `config_hash`), and SHA-256 of the files of numbers.
    """
    found = {"configuration": config_hash(record)}
    numbers = (name for name in files if "/" not in name and name.endswith((".csv", ".safetensors")))
    return found | {name: sha256(files[name]).hexdigest() for name in numbers}
