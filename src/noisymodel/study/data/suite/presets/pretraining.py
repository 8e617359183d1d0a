"""What the paper pre-trains on: ImageNet-1K with labels, YFCC15M and CC12M with captions."""

from __future__ import annotations

from .preset import Part, Preset

IMAGENET = Part(
    title="ImageNet-1K (ILSVRC 2012)",
    files=("imagenet/train", "imagenet/val"),
    folders={"imagenet/train": 1000, "imagenet/val": 1000},
    layout="""\
imagenet/
  train/n01440764/*.JPEG    a folder for each of the 1,000 synsets
  val/n01440764/*.JPEG      likewise""",
    source="https://www.image-net.org/download.php",
    terms="registration; non-commercial research and education only",
    size="1,281,167 pictures to train on, 50,000 to validate; about 145 GB",
    notes=(
        "The archive for validation has no folders: sort its pictures into those of their synsets by the ground truth "
        "of the development kit."
    ),
)

IMAGENET_1K = Preset(
    title="ImageNet-1K",
    description="Pre-training on ImageNet-1K with labels; its validation set is the held-out check.",
    parts={"imagenet": IMAGENET},
    pretraining={"path": "imagenet/train", "format": "folder"},
    pretraining_check={"path": "imagenet/val", "format": "folder"},
    pretraining_parts=("imagenet",),
)

_SHARDS = (
    "The publishers give addresses and captions, no pictures: whoever downloads has those that are still there, and "
    "the numbers differ. Shards are uncompressed tar files with .jpg and .txt, as img2dataset writes them with "
    "output_format=webdataset; hold some of them back as check."
)


def _pairs(title: str, name: str, source: str, terms: str, size: str, notes: str = "") -> Preset:
    part = Part(
        title=title,
        files=(f"{name}/train/*.tar", f"{name}/check/*.tar"),
        layout=f"{name}/\n  train/*.tar    shards of samples NUMBER.jpg, NUMBER.txt\n  check/*.tar    held-out shards",
        source=source,
        terms=terms,
        size=size,
        notes=f"{_SHARDS} {notes}".strip(),
    )
    return Preset(
        title=title,
        description=f"Pre-training on the pictures and captions of {title}.",
        parts={name: part},
        kind="pairs",
        pretraining={"path": f"{name}/train", "format": "webdataset"},
        pretraining_check={"path": f"{name}/check", "format": "webdataset"},
        pretraining_parts=(name,),
    )


YFCC15M = _pairs(
    "YFCC15M",
    "yfcc15m",
    "https://github.com/openai/CLIP/blob/main/data/yfcc100m.md (the list); the pictures are of YFCC100M, "
    "https://multimediacommons.wordpress.com",
    "Creative Commons, a licence for each picture; YFCC100M asks for registration",
    "14,829,396 pictures in the list",
    "There is a second list of that name, of the DeCLIP authors; which of the two the paper took is not known here.",
)
CC12M = _pairs(
    "Conceptual 12M",
    "cc12m",
    "https://github.com/google-research-datasets/conceptual-12m",
    "the list may be used freely with acknowledgement of Google; the pictures are their owners'",
    "about 12.4 million pictures in the list",
)
