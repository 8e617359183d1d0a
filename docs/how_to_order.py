"""What sphinx-gallery asks of the how-to pages: their order, most frequent need first, and where pictures go."""

from __future__ import annotations

import tempfile
from pathlib import Path

PAGES = (
    "plot_first_hour",
    "plot_plain_pytorch",
    "plot_scikit_learn",
    "plot_trainer",
    "plot_peft",
    "plot_accelerate",
    "plot_lightning",
    "timm_model",
    "open_clip_model",
    "plot_embedding_api",
)


class HowToOrder:
    """The sort key of a folder's scripts: first the order of ``PAGES``, then the alphabet."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, filename: str) -> tuple[int, str]:
        """The place of a script."""
        name = Path(filename).stem
        return (PAGES.index(name) if name in PAGES else len(PAGES), name)


def picture_for(_: dict[str, object], script: dict[str, str]) -> list[str]:
    """The argument of each script: a file for its picture that is not in the source tree."""
    return [str(Path(tempfile.gettempdir()) / f"{Path(script['src_file']).stem}.png")]
