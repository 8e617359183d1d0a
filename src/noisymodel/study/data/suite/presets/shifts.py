"""The paper's shifted vision sets: DomainNet and the variants of ImageNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .preset import Part, Preset, PresetTask
from .pretraining import IMAGENET

DOMAINS = ("clipart", "painting", "real", "sketch")


def _domain_part(name: str) -> Part:
    return Part(
        title=f"DomainNet, {name}",
        files=(f"domainnet/{name}", f"domainnet/{name}_train.txt", f"domainnet/{name}_test.txt"),
        folders={f"domainnet/{name}": 345},
        layout=f"domainnet/\n  {name}/aircraft_carrier/*.jpg ...\n  {name}_train.txt\n  {name}_test.txt",
        source="http://ai.bu.edu/M3SDA/",
        terms="pictures of the web, under fair use for research",
        size="345 classes",
        notes=f"Lines of the lists are «{name}/aircraft_carrier/{name}_001_000001.jpg 0».",
    )


def _domain(name: str, part: str) -> dict[str, Any]:
    return {"path": f"domainnet/{name}_{part}.txt", "format": "list", "root": "domainnet", "label_from": "folder"}


def _domain_task(name: str) -> PresetTask:
    shifts = [
        {"name": other, "description": f"the domain {other}", "answers": "all", **_domain(other, "test")}
        for other in DOMAINS
        if other != name
    ]
    return PresetTask(
        {
            "name": f"domainnet_{name}",
            "train": _domain(name, "train"),
            "test": _domain(name, "test"),
            "shifts": shifts,
        },
        DOMAINS,
    )


DOMAINNET = Preset(
    title="DomainNet",
    description="Train on the domain real or sketch, test on it and on the others of clipart, painting, real, sketch.",
    parts={name: _domain_part(name) for name in DOMAINS},
    tasks=(_domain_task("real"), _domain_task("sketch")),
)

_VARIANTS: Mapping[str, tuple[Part, Mapping[str, Any]]] = {
    "v2": (
        Part(
            title="ImageNet-V2, matched frequency",
            files=("imagenetv2-matched-frequency-format-val",),
            folders={"imagenetv2-matched-frequency-format-val": 1000},
            layout="imagenetv2-matched-frequency-format-val/\n  0/*.jpeg ... 999/*.jpeg",
            source="https://github.com/modestyachts/ImageNetV2",
            terms="MIT",
            size="10,000 pictures of 1,000 classes; 1.3 GB",
            notes="Folders are numbers of ImageNet's classes in the order of their synsets.",
        ),
        {
            "path": "imagenetv2-matched-frequency-format-val",
            "labels": "index",
            "description": "new pictures, collected as ImageNet's were",
        },
    ),
    "rendition": (
        Part(
            title="ImageNet-R",
            files=("imagenet-r",),
            folders={"imagenet-r": 200},
            layout="imagenet-r/\n  n01443537/*.jpg ...    200 synsets",
            source="https://github.com/hendrycks/imagenet-r",
            terms="MIT",
            size="30,000 pictures of 200 classes; 2 GB",
        ),
        {"path": "imagenet-r", "description": "renditions: art, cartoons, toys"},
    ),
    "sketch": (
        Part(
            title="ImageNet-Sketch",
            files=("sketch",),
            folders={"sketch": 1000},
            layout="sketch/\n  n01440764/*.JPEG ...    1,000 synsets",
            source="https://github.com/HaohanWang/ImageNet-Sketch",
            terms="see its page",
            size="about 50,000 pictures of 1,000 classes; 8.4 GB",
        ),
        {"path": "sketch", "description": "black and white sketches"},
    ),
    "adversarial": (
        Part(
            title="ImageNet-A",
            files=("imagenet-a",),
            folders={"imagenet-a": 200},
            layout="imagenet-a/\n  n01498041/*.jpg ...    200 synsets",
            source="https://github.com/hendrycks/natural-adv-examples",
            terms="MIT",
            size="7,500 pictures of 200 classes; 700 MB",
        ),
        {"path": "imagenet-a", "description": "natural pictures that a ResNet-50 gets wrong"},
    ),
    "video": (
        Part(
            title="ImageNet-Vid-Robust",
            files=tuple(
                f"imagenet-vid-robust/{name}"
                for name in (
                    "val",
                    "metadata/labels.json",
                    "metadata/pmsets.json",
                    "misc/imagenet_vid_class_index.json",
                    "misc/rev_wnid_map.json",
                )
            ),
            layout=(
                "imagenet-vid-robust/\n  val/VIDEO/*.JPEG\n  metadata/labels.json\n  metadata/pmsets.json\n"
                "  misc/imagenet_vid_class_index.json\n  misc/rev_wnid_map.json"
            ),
            source="the authors of «Do Image Classifiers Generalize Across Time?», https://arxiv.org/abs/1906.02168",
            terms="frames of ImageNet's videos: ImageNet's terms",
            size="30 classes",
            notes=(
                "Anchor frames alone, each with the first of its labels: a prediction of a second label, which the "
                "authors would count, is wrong here. The address of the download is not known here."
            ),
        ),
        {
            "path": "imagenet-vid-robust",
            "format": "imagenet-vid-robust",
            "label_map_file": "imagenet-vid-robust/misc/rev_wnid_map.json",
            "description": "frames of videos, 30 coarser classes",
        },
    ),
    "objectnet": (
        Part(
            title="ObjectNet",
            files=(
                "objectnet-1.0/images",
                *(
                    f"objectnet-1.0/mappings/{name}"
                    for name in (
                        "folder_to_objectnet_label.json",
                        "objectnet_to_imagenet_1k.json",
                        "imagenet_to_label_2012_v2",
                        "pytorch_to_imagenet_2012_id.json",
                    )
                ),
            ),
            layout=(
                "objectnet-1.0/\n  images/alarm_clock/*.png ...    313 classes\n"
                "  mappings/folder_to_objectnet_label.json\n  mappings/objectnet_to_imagenet_1k.json\n"
                "  mappings/imagenet_to_label_2012_v2\n  mappings/pytorch_to_imagenet_2012_id.json"
            ),
            source="https://objectnet.dev",
            folders={"objectnet-1.0/images": 313},
            terms="its own licence, to be accepted there: for testing only, never to tune a parameter",
            size="50,000 pictures of 313 classes, 113 of which ImageNet has",
            notes="Two pixels are cut from each side: the pictures have a red border.",
        ),
        {
            "path": "objectnet-1.0/images",
            "label_map_file": "objectnet-1.0/mappings",
            "border": 2,
            "description": "objects in odd places and poses, seen from odd sides",
        },
    ),
}


IMAGENET_VARIANTS = Preset(
    title="ImageNet and its variants",
    description="Train on ImageNet-1K, test on its validation set and on six shifted sets.",
    parts={"imagenet": IMAGENET, **{name: part for name, (part, _) in _VARIANTS.items()}},
    tasks=(
        PresetTask(
            {
                "name": "imagenet",
                "train": {"path": "imagenet/train", "format": "folder"},
                "test": {"path": "imagenet/val", "format": "folder"},
                "shifts": [{"name": name, "format": "folder", **table} for name, (_, table) in _VARIANTS.items()],
            },
            ("imagenet", *_VARIANTS),
        ),
    ),
)
