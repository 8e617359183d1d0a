r"""Put the figures and tables of finished studies into ``docs/``.

    noisymodel study --out /tmp/default
    noisymodel study --out /tmp/digits --data digits
    noisymodel study --out /tmp/short --config examples/studies/short_pretraining.toml
    noisymodel study --out /tmp/kaiming --config examples/studies/kaiming_pretraining.toml
    noisymodel study --out /tmp/whitebox --config examples/studies/whitebox_methods.toml
    python examples/choose_weights.py > /tmp/weights.txt
    python docs/update_study.py default=/tmp/default digits=/tmp/digits short=/tmp/short \
        kaiming=/tmp/kaiming weights=/tmp/weights.txt whitebox=/tmp/whitebox

    noisymodel study --preset full --out /tmp/full
    python docs/update_study.py full=/tmp/full

    python -m docs.evidence fonts --cache /tmp/evidence
    DATA=/tmp/evidence/font-study noisymodel study --config examples/studies/fonts.toml --out /tmp/fonts
    DATA=/tmp/evidence/font-study noisymodel study --config examples/studies/fonts_resnet.toml --out /tmp/fonts-resnet
    python docs/update_study.py fonts=/tmp/fonts fonts-resnet=/tmp/fonts-resnet

Each table goes between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` of its page in ``PAGES``, by default
``study_results.md``, with the date, the machine and the command that made it. The figures of ``default`` go to
``figures/study-*.png``, those of accuracy of the fonts to ``fonts-supervised.png``, ``fonts-contrastive.png``,
``fonts-resnet-supervised.png`` and ``fonts-resnet-contrastive.png``, the overview of ``full`` to
``figures/full-groups.png`` and its page to ``published/full_study_report.html``; ``full_study.md`` gets only the table
of all groups.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).parent
FIGURES = ("accuracy", "differences", "samples", "shifts", "spectra", "spectrum-accuracy", "tuned-spectrum")
COMMANDS = {
    "default": "noisymodel study",
    "digits": "noisymodel study --data digits",
    "short": "noisymodel study --config examples/studies/short_pretraining.toml",
    "kaiming": "noisymodel study --config examples/studies/kaiming_pretraining.toml",
    "whitebox": "noisymodel study --config examples/studies/whitebox_methods.toml",
    "full": "noisymodel study --preset full",
    "fonts": "noisymodel study --config examples/studies/fonts.toml",
    "fonts-resnet": "noisymodel study --config examples/studies/fonts_resnet.toml",
    "weights": "python examples/choose_weights.py",
}
PAGES = {"whitebox": "methods_results.md", "full": "full_study.md", "fonts": "fonts_study_tables.md"}
PAGES["fonts-resnet"] = PAGES["fonts"]
MORE = dict.fromkeys(("fonts", "fonts-resnet"), ("change-id", "change-ood", "shifts"))  # tables beside tables.txt


def block(name: str, source: Path) -> str:
    """The tables of a study's folder, or a program's output, and where they come from."""
    where = f"{platform.machine()}, {platform.system()}"
    if source.is_dir():
        record = json.loads((source / "results.json").read_text(encoding="utf-8"))
        day, versions = record["finished"][:10], record["versions"]
        where += f", {record['seconds']:.0f} s; " + ", ".join(f"{name} {version}" for name, version in versions.items())
        text = (source / "tables.txt").read_text(encoding="utf-8").strip()
        if name == "full":
            text = text.split("\n\n", 1)[0]  # the table of all groups; the published page has those of each
    else:
        day = datetime.fromtimestamp(source.stat().st_mtime, UTC).date().isoformat()
        text = source.read_text(encoding="utf-8").strip()
    made = f"Made by `{COMMANDS[name]}` on {day} ({where}):"
    more = [
        f"{path.parent.name.split('-')[1].capitalize()}:\n\n{path.read_text(encoding='utf-8')}"
        for table in MORE.get(name, ())
        for path in sorted(source.glob(f"tables/*/{table}.md"), reverse=True)
    ]
    return "\n".join([f"<!-- begin {name} -->\n{made}\n\n```text\n{text}\n```\n", *more, f"<!-- end {name} -->"])


def main(arguments: list[str]) -> None:
    """Replace the blocks and figures."""
    for name, folder in (argument.split("=", 1) for argument in arguments):
        page = DOCS / PAGES.get(name, "study_results.md")
        text = page.read_text(encoding="utf-8")
        pattern = re.compile(rf"<!-- begin {name} -->.*?<!-- end {name} -->", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page.name} has no block {name!r}")
        new = block(name, Path(folder))
        page.write_text(pattern.sub(lambda _, new=new: new, text), encoding="utf-8")
        if name == "default":
            for figure in FIGURES:
                shutil.copyfile(Path(folder) / "figures" / f"{figure}.png", DOCS / "figures" / f"study-{figure}.png")
        if name in MORE:
            for figure in (Path(folder) / "figures").glob("*/accuracy.png"):
                objective = figure.parent.name.split("-")[1]
                shutil.copyfile(figure, DOCS / "figures" / f"{name}-{objective}.png")
        if name == "full":
            shutil.copyfile(Path(folder) / "figures" / "groups.png", DOCS / "figures" / "full-groups.png")
            shutil.copyfile(Path(folder) / "report.html", DOCS / "published" / "full_study_report.html")


if __name__ == "__main__":
    main(sys.argv[1:])
