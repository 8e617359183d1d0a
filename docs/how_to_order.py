"""The order of the how-to pages: by what most readers have."""

from __future__ import annotations

from pathlib import Path

PAGES = (
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
    """A key for sphinx-gallery, which makes one for each folder; scripts of other folders are in the order of names."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, filename: str) -> tuple[int, str]:
        """Its place."""
        name = Path(filename).stem
        return (PAGES.index(name) if name in PAGES else len(PAGES), name)
