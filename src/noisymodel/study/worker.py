"""A worker process: reads cells from standard input, tells of finished parts on standard output.

Run by :mod:`noisymodel.study.workers` as ``python -m noisymodel.study.worker``; ends when its input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends its workers
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever else is printed goes to standard error

    import torch

    from .cells import compute_cell
    from .config import StudyConfig
    from .grid import CellName
    from .storage import Storage

    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        storage = Storage(Path(job["folder"]), job["code"])

        def tell(part: str) -> None:
            try:
                print(json.dumps({"part": part}), file=replies)
            except BrokenPipeError:  # the parent is gone
                os._exit(1)

        failures = compute_cell(StudyConfig.from_mapping(job["config"]), CellName(*job["cell"]), storage, tell)
        print(json.dumps({"done": job["cell"], "failures": failures}), file=replies)


if __name__ == "__main__":
    main()
