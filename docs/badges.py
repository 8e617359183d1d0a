"""Draw the front page's badges, from ``pyproject.toml``: ``python docs/badges.py``. They are files, not a service."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "static" / "badges"
SHAPE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{name}: {value}">
<title>{name}: {value}</title>
<rect width="{width}" height="20" rx="3" fill="#444"/>
<rect x="{left}" width="{right}" height="20" rx="3" fill="#0a5c96"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{name_at}" y="14">{name}</text>
<text x="{value_at}" y="14">{value}</text>
</g>
</svg>
"""


def badges() -> dict[str, str]:
    """The SVG of each badge, by its name."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    minors = [
        int(found[1]) for line in project["classifiers"] if (found := re.fullmatch(r".*:: Python :: 3\.(\d+)", line))
    ]
    torch = next(line for line in project["dependencies"] if line.startswith("torch>="))
    source = (ROOT / "src" / "noisymodel" / "__init__.py").read_text(encoding="utf-8")
    values = {
        "python": f"3.{min(minors)} to 3.{max(minors)}",
        "torch": torch.removeprefix("torch").replace(">=", "≥ "),
        "version": re.search(r'__version__ = "([^"]+)"', source)[1],
        "licence": project["license"],
    }
    return {name: drawn(name, value) for name, value in values.items()}


def drawn(name: str, value: str) -> str:
    """One badge: the name on the left, the value on the right."""
    left, right = 12 + 7 * len(name), 12 + 7 * len(value)
    places = {"left": left, "right": right, "name_at": left / 2, "value_at": left + right / 2}
    return SHAPE.format(name=name, value=value, width=left + right, **places)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for badge, text in badges().items():
        (FOLDER / f"{badge}.svg").write_text(text, encoding="utf-8")
