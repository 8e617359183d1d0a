"""Caption noise in a file of CC12M's size: time and the largest resident memory of ``noisymodel noise``.

    python docs/evidence/captions_at_size.py --rows 12000000 --folder /tmp/captions

Makes a TSV file of image–caption pairs (captions of about 60 characters), shuffles 20 % of the captions by derangement
under the images' ids, checks the audit again, and prints seconds and peak memory of both commands.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

WORDS = [
    "a",
    "the",
    "wrong",
    "right",
    "caption",
    "image",
    "of",
    "with",
    "under",
    "two",
    "three",
    "dogs",
    "cats",
    "trees",
    "near",
    "by",
    "red",
    "blue",
    "street",
    "old",
]


def make(path: Path, rows: int) -> None:
    choice = random.Random(0)
    pieces = [" ".join(choice.choices(WORDS, k=9)) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        file.write("image\tcaption\n")
        for row in range(rows):
            file.write(f"images/{row // 2:08d}.jpg\t{pieces[row * 7919 % 5000]} {row:x}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source, out = options.folder / "captions.tsv", options.folder / "noisy"
    make(source, options.rows)
    print(f"{options.rows:,} pairs, {source.stat().st_size / 2**30:.2f} GiB")
    command = [sys.executable, "-m", "noisymodel", "noise"]
    noise = [str(source), "--kind", "derangement", "--rate", "0.2", "--seed", "0", "--image-column", "image"]
    for name, arguments in {
        "noise": [*noise, "--out", str(out), "--force"],
        "verify": ["--verify", str(out / "audit.json")],
    }.items():
        began = time.perf_counter()
        subprocess.run([*command, *arguments], check=True, stderr=subprocess.DEVNULL)  # noqa: S603 - our own command
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"{name}: {time.perf_counter() - began:.0f} s, largest memory so far {peak:.2f} GiB")


if __name__ == "__main__":
    main()
