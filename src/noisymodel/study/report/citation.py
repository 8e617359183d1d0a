"""Citations of a study as BibTeX, and hashes of its configuration and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from ..rows import StudyRecord

_PAPERS = """\
@inproceedings{chen2024understanding,
  title     = {Understanding and Mitigating the Label Noise in Pre-training on Downstream Tasks},
  author    = {Chen, Hao and Wang, Jindong and Shah, Ankit and Tao, Ran and Wei, Hongxin and Xie, Xing and
               Sugiyama, Masashi and Raj, Bhiksha},
  booktitle = {International Conference on Learning Representations},
  year      = {2024},
  note      = {arXiv:2309.17002}
}

@article{chen2025impact,
  title   = {Impact of Noisy Supervision in Foundation Model Learning},
  author  = {Chen, Hao and Wang, Zihan and Tao, Ran and Wei, Hongxin and Xie, Xing and Sugiyama, Masashi and
             Raj, Bhiksha and Wang, Jindong},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2025},
  doi     = {10.1109/TPAMI.2025.3552309},
  note    = {arXiv:2403.06869}
}
"""


def bibtex(record: StudyRecord) -> str:
    """The papers of the method, and this library in the version that made the study."""
    version = record.versions.get("noisymodel", "")
    year = record.finished[:4]
    return f"""{_PAPERS}
@software{{noisymodel,
  title   = {{noisymodel: Noisy Model Learning for foundation models}},
  author  = {{{{The noisymodel authors}}}},
  version = {{{version}}},
  year    = {{{year}}}
}}
"""


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
