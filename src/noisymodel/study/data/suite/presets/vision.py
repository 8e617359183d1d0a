"""The fourteen in-domain vision sets of the paper, each in the layout in which it is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .preset import Part, Preset, PresetTask

PARTS: Mapping[str, Part] = {
    "cifar10": Part(
        title="CIFAR-10, binary version",
        files=tuple(
            f"cifar-10-batches-bin/{name}"
            for name in ("batches.meta.txt", *(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
        ),
        layout="cifar-10-batches-bin/\n  batches.meta.txt\n  data_batch_1.bin ... data_batch_5.bin\n  test_batch.bin",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        terms="none stated; the report is to be cited",
        size="60,000 pictures of 32 × 32; 162 MB",
        notes="The Python version is pickle, which is never read.",
    ),
    "cifar100": Part(
        title="CIFAR-100, binary version",
        files=tuple(f"cifar-100-binary/{name}" for name in ("fine_label_names.txt", "train.bin", "test.bin")),
        layout="cifar-100-binary/\n  fine_label_names.txt\n  train.bin\n  test.bin",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        terms="none stated; the report is to be cited",
        size="60,000 pictures of 32 × 32; 161 MB",
    ),
    "flowers102": Part(
        title="Oxford Flowers 102",
        files=("flowers-102/jpg/*.jpg", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
        layout="flowers-102/\n  jpg/image_00001.jpg ...\n  imagelabels.mat\n  setid.mat",
        source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        terms="none stated",
        size="8,189 pictures",
        notes="The published training and validation parts (1,020 each) are trained on together.",
    ),
    "food101": Part(
        title="Food-101",
        files=("food-101/images", "food-101/meta/train.txt", "food-101/meta/test.txt"),
        folders={"food-101/images": 101},
        layout="food-101/\n  images/apple_pie/*.jpg ...\n  meta/train.txt\n  meta/test.txt",
        source="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        terms="pictures of Foodspotting; use beyond scientific fair use is to be agreed with their owners",
        size="101,000 pictures; 5 GB",
    ),
    "pets": Part(
        title="Oxford-IIIT Pet",
        files=(
            "oxford-iiit-pet/images/*.jpg",
            "oxford-iiit-pet/annotations/trainval.txt",
            "oxford-iiit-pet/annotations/test.txt",
        ),
        layout="oxford-iiit-pet/\n  images/*.jpg\n  annotations/trainval.txt\n  annotations/test.txt",
        source="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        terms="CC BY-SA 4.0",
        size="7,349 pictures of 37 breeds; 800 MB",
    ),
    "cars": Part(
        title="Stanford Cars",
        files=(
            "stanford-cars/cars_train/*.jpg",
            "stanford-cars/cars_test/*.jpg",
            "stanford-cars/devkit/cars_meta.mat",
            "stanford-cars/devkit/cars_train_annos.mat",
            "stanford-cars/cars_test_annos_withlabels.mat",
        ),
        layout=(
            "stanford-cars/\n  cars_train/*.jpg\n  cars_test/*.jpg\n  devkit/cars_meta.mat\n"
            "  devkit/cars_train_annos.mat\n  cars_test_annos_withlabels.mat"
        ),
        source="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        terms="not stated here: see its page",
        size="16,185 pictures of 196 models; 2 GB",
        notes="The official page has been out of service; copies are in several archives.",
    ),
    "aircraft": Part(
        title="FGVC Aircraft, variants",
        files=tuple(
            f"fgvc-aircraft-2013b/data/{name}"
            for name in ("images/*.jpg", "images_variant_trainval.txt", "images_variant_test.txt")
        ),
        layout=("fgvc-aircraft-2013b/data/\n  images/*.jpg\n  images_variant_trainval.txt\n  images_variant_test.txt"),
        source="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        terms="non-commercial research only",
        size="10,000 pictures of 100 variants; 2.8 GB",
    ),
    "svhn": Part(
        title="Street View House Numbers, cropped digits",
        files=("svhn/train_32x32.mat", "svhn/test_32x32.mat"),
        layout="svhn/\n  train_32x32.mat\n  test_32x32.mat",
        source="http://ufldl.stanford.edu/housenumbers/",
        terms="non-commercial use only",
        size="73,257 digits to train on, 26,032 to test; 250 MB",
    ),
    "dtd": Part(
        title="Describable Textures",
        folders={"dtd/images": 47},
        files=("dtd/images", "dtd/labels/train1.txt", "dtd/labels/val1.txt", "dtd/labels/test1.txt"),
        layout="dtd/\n  images/banded/*.jpg ...\n  labels/train1.txt\n  labels/val1.txt\n  labels/test1.txt",
        source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        terms="research only",
        size="5,640 pictures of 47 textures; 600 MB",
        notes="Split 1 of ten; its training and validation parts are trained on together.",
    ),
    "caltech101": Part(
        title="Caltech 101",
        files=("caltech101",),
        folders={"caltech101": 102},
        layout=(
            "caltech101/                 what was 101_ObjectCategories\n"
            "  accordion/*.jpg ...\n  BACKGROUND_Google/*.jpg"
        ),
        source="https://data.caltech.edu/records/mzrjq-6wc02",
        terms="CC BY 4.0",
        size="9,146 pictures of 101 categories and background; 140 MB",
        notes="There is no official split: 30 pictures of each class, by the hash of their names, are for training.",
    ),
    "eurosat": Part(
        title="EuroSAT, RGB",
        files=("eurosat",),
        folders={"eurosat": 10},
        layout="eurosat/                    what was EuroSAT_RGB or 2750\n  AnnualCrop/*.jpg ...",
        source="https://zenodo.org/records/7711810 and https://github.com/phelber/EuroSAT",
        terms="MIT",
        size="27,000 pictures of 10 classes; 90 MB",
        notes="There is no official split: by the hash of their names 60 % of each class are trained on, 20 % tested.",
    ),
    "pcam": Part(
        title="PatchCamelyon",
        files=tuple(f"pcam/{part}/{name}.npy" for part in ("train", "test") for name in ("images", "labels")),
        layout=(
            "pcam/\n  train/images.npy    (262144, 96, 96, 3) uint8\n  train/labels.npy    (262144,)\n"
            "  test/images.npy\n  test/labels.npy"
        ),
        source="https://github.com/basveeling/pcam",
        terms="CC0",
        size="262,144 pictures to train on, 32,768 to test; 8 GB as arrays",
        notes=(
            "Published as HDF5. Once, with h5py: numpy.save('pcam/train/images.npy', h5py.File("
            "'camelyonpatch_level_2_split_train_x.h5')['x'][:]), and numpy.save('pcam/train/labels.npy', h5py.File("
            "'camelyonpatch_level_2_split_train_y.h5')['y'][:].ravel()); the same of test."
        ),
    ),
    "resisc45": Part(
        title="NWPU-RESISC45",
        files=("resisc45",),
        folders={"resisc45": 45},
        layout="resisc45/                   what was NWPU-RESISC45\n  airplane/*.jpg ...",
        source="https://gcheng-nwpu.github.io/",
        terms="none stated",
        size="31,500 pictures of 45 classes; 400 MB",
        notes="There is no official split: by the hash of their names 60 % of each class are trained on, 20 % tested.",
    ),
    "rendered_sst2": Part(
        title="Rendered SST2",
        files=tuple(
            f"rendered-sst2/{part}/{label}" for part in ("train", "test") for label in ("negative", "positive")
        ),
        layout=(
            "rendered-sst2/\n  train/negative/*.png\n  train/positive/*.png\n"
            "  test/negative/*.png\n  test/positive/*.png"
        ),
        source="https://github.com/openai/CLIP/blob/main/data/rendered-sst2.md",
        terms="none stated",
        size="6,920 pictures to train on, 1,821 to test; 131 MB",
        notes="The published validation part (872) is not used.",
    ),
}


def _task(name: str, train: Mapping[str, Any], test: Mapping[str, Any]) -> PresetTask:
    return PresetTask({"name": name, "train": train, "test": test, "shifts": []}, (name,))


def _lists(folder: str, pattern: str, train: str, test: str, label_from: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two lists with the paths of pictures, below one folder."""
    common = {"format": "list", "root": folder, "file_pattern": pattern, "label_from": label_from}
    return {"path": f"{folder}/{train}", **common}, {"path": f"{folder}/{test}", **common}


def _parts(path: str, train: Mapping[str, Any], test: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two parts of one folder or file."""
    return {"path": path, **train}, {"path": path, **test}


_TRAIN, _TEST = {"split": "train"}, {"split": "test"}

TASKS = (
    _task(
        "cifar10",
        {"path": "cifar-10-batches-bin/data_batch_{1..5}.bin", "format": "cifar"},
        {"path": "cifar-10-batches-bin/test_batch.bin", "format": "cifar"},
    ),
    _task(
        "cifar100",
        {"path": "cifar-100-binary/train.bin", "format": "cifar"},
        {"path": "cifar-100-binary/test.bin", "format": "cifar"},
    ),
    _task(
        "flowers102", *_parts("flowers-102", {"format": "flowers-102", **_TRAIN}, {"format": "flowers-102", **_TEST})
    ),
    _task("food101", *_lists("food-101", "images/{}.jpg", "meta/train.txt", "meta/test.txt", "folder")),
    _task(
        "pets",
        *_lists("oxford-iiit-pet", "images/{}.jpg", "annotations/trainval.txt", "annotations/test.txt", "stem"),
    ),
    _task(
        "cars",
        *_parts("stanford-cars", {"format": "stanford-cars", **_TRAIN}, {"format": "stanford-cars", **_TEST}),
    ),
    _task(
        "aircraft",
        *_lists(
            "fgvc-aircraft-2013b/data",
            "images/{}.jpg",
            "images_variant_trainval.txt",
            "images_variant_test.txt",
            "rest",
        ),
    ),
    _task(
        "svhn", {"path": "svhn/train_32x32.mat", "format": "svhn"}, {"path": "svhn/test_32x32.mat", "format": "svhn"}
    ),
    _task("dtd", *_lists("dtd", "images/{}", "labels/{train,val}1.txt", "labels/test1.txt", "folder")),
    _task(
        "caltech101",
        *_parts("caltech101", {"format": "folder", "ranks": [0, 30]}, {"format": "folder", "ranks": [30, 0]}),
    ),
    _task(
        "eurosat",
        *_parts("eurosat", {"format": "folder", "portion": [0, 0.6]}, {"format": "folder", "portion": [0.8, 1]}),
    ),
    _task("pcam", {"path": "pcam/train", "format": "arrays"}, {"path": "pcam/test", "format": "arrays"}),
    _task(
        "resisc45",
        *_parts("resisc45", {"format": "folder", "portion": [0, 0.6]}, {"format": "folder", "portion": [0.8, 1]}),
    ),
    _task(
        "rendered_sst2",
        {"path": "rendered-sst2/train", "format": "folder"},
        {"path": "rendered-sst2/test", "format": "folder"},
    ),
)

VISION_14 = Preset(
    title="the 14 vision sets",
    description="Fourteen classification tasks without shifted test sets: in-domain transfer.",
    parts=PARTS,
    tasks=TASKS,
)
