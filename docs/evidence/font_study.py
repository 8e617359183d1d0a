"""Data of the study on real fonts: pictures of 20 x 20 pixels, as the arrays that examples/studies/fonts.toml reads.

    python -m docs.evidence fonts --cache CACHE
    DATA=CACHE/font-study noisymodel study --config examples/studies/fonts.toml --out fonts-study

Networks are pre-trained on the 52 letters of 55 % of the sans-serif families. The task is digits and signs (29 classes)
of other sans-serif families, a half of them to tune on and a half to test on; shifts are the digits and signs of serif,
hand-written and display faces. A family is on one side. A caption says "letter A" or "letter A small".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .fonts import DIGITS, LETTERS, Face, drawn, faces, lacking
from .packages import Packages

SIZE = 20
SIGNS = DIGITS + "!?&%$#@*+=/()[]{}<>"
MOST = 6  # faces of a package


def write(cache: Path) -> list[Path]:
    """All sets, into ``cache/font-study``."""
    folder = cache / "font-study"
    folder.mkdir(parents=True, exist_ok=True)
    found = faces(Packages(cache), MOST)
    sans = sorted({face.package for face in found if face.kind == "sans"})
    sans = [sans[i] for i in np.random.default_rng(0).permutation(len(sans))]
    first, second, third = (round(share * len(sans)) for share in (0.55, 0.6, 0.8))
    sets = {
        "pretraining": (_of(found, "sans", sans[:first]), LETTERS),
        "check": (_of(found, "sans", sans[first:second]), LETTERS),
        "train": (_of(found, "sans", sans[second:third]), SIGNS),
        "test": (_of(found, "sans", sans[third:]), SIGNS),
    }
    seen = set(sans[:third])
    for kind in ("serif", "hand", "display"):
        others = sorted({face.package for face in found if face.kind == kind} - seen)
        sets[kind] = (_of(found, kind, others), SIGNS)
    paths: list[Path] = []
    for name, (own, characters) in sets.items():
        pictures, labels = _pictures(own, characters)
        captions = [f"letter {c}" if c.isupper() else f"letter {c.upper()} small" for c in characters]
        arrays = {"images": pictures, "labels": labels, "classes": np.array(list(characters))}
        if characters == LETTERS:
            arrays["captions"] = np.array([captions[label] for label in labels])
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], **arrays)
        print(f"{name}: {len(own)} faces of {len({face.package for face in own})} families, {len(labels)} pictures")
    return paths


def _of(found: Sequence[Face], kind: str, names: Sequence[str]) -> list[Face]:
    return [face for face in found if face.kind == kind and face.package in names]


def _pictures(found: Sequence[Face], characters: str) -> tuple[np.ndarray, np.ndarray]:
    """White on black (N, 20, 20) uint8, and labels; characters that a face lacks are left out."""
    pictures: list[np.ndarray] = []
    labels: list[int] = []
    for face in found:
        missing = lacking(face.path, characters)
        for label, picture in enumerate(drawn(face, characters, SIZE)):
            if characters[label] not in missing and picture.min() < 128:
                pictures.append(255 - picture)
                labels.append(label)
    return np.stack(pictures), np.array(labels)
