"""Put the figures and tables of finished studies into ``docs/``.

    noisymodel study --out /tmp/default
    noisymodel study --out /tmp/digits --data digits
    noisymodel study --out /tmp/short --config examples/studies/short_pretraining.toml
    python docs/update_study.py default=/tmp/default digits=/tmp/digits short=/tmp/short

Each table goes between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` of ``study.md``, with the date, the machine
and the command that made it; the figures of ``default`` go to ``figures/study-*.png``.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
FIGURES = ("accuracy", "differences", "samples", "shifts", "spectra", "spectrum-accuracy", "tuned-spectrum")
COMMANDS = {
    "default": "noisymodel study",
    "digits": "noisymodel study --data digits",
    "short": "noisymodel study --config examples/studies/short_pretraining.toml",
}


def block(name: str, folder: Path) -> str:
    """The tables of a study and where they come from."""
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    tables = (folder / "tables.txt").read_text(encoding="utf-8").strip()
    return (
        f"<!-- begin {name} -->\n"
        f"Made by `{COMMANDS[name]}` on {record['finished'][:10]} ({platform.machine()}, {platform.system()}, "
        f"{record['seconds']:.0f} s; {versions}):\n\n```text\n{tables}\n```\n<!-- end {name} -->"
    )


def main(arguments: list[str]) -> None:
    """Replace the blocks and figures."""
    page = DOCS / "study.md"
    text = page.read_text(encoding="utf-8")
    for name, folder in (argument.split("=", 1) for argument in arguments):
        pattern = re.compile(rf"<!-- begin {name} -->.*?<!-- end {name} -->", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"study.md has no block {name!r}")
        new = block(name, Path(folder))
        text = pattern.sub(lambda _, new=new: new, text)
        if name == "default":
            for figure in FIGURES:
                shutil.copyfile(Path(folder) / "figures" / f"{figure}.png", DOCS / "figures" / f"study-{figure}.png")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
