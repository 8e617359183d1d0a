"""``noisymodel extract``: compute the features of data by a named backbone, into a feature store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputFileError
from ._parser import INTERRUPTED, positive
from .checking import bad_input, device_name, existing, make_output_folder

if TYPE_CHECKING:
    from ..features import Backbone, FeatureStore
    from ..features.extraction.files import PictureFolder, Texts
    from ._parser import Commands

_POOLINGS = ("mean", "cls", "last", "max", "mean_sqrt_len_tokens", "weightedmean")
_AUTOCAST = ("bfloat16", "float16")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    extract = commands.add_parser(
        "extract",
        help="features of pictures or texts, from a backbone by name, into a feature store",
        description="Compute a backbone's features. Needs a backbone (timm:NAME, open_clip:MODEL/WEIGHTS, hf:NAME, "
        "hf:FOLDER, st:NAME or onnx:FILE) and data that it takes: a folder of pictures with a folder for each class, "
        "or texts (a file with one a line, or a CSV or TSV file with a column text, and label where there are some). A "
        "stopped run goes on when called again. Under torchrun all ranks write one store together.",
    )
    extract.add_argument("backbone", metavar="BACKBONE", help="such as timm:resnet50 or hf:bert-base-uncased")
    extract.add_argument("data", metavar="DATA", help="folder of pictures, or file of texts")
    extract.add_argument("--out", metavar="STORE", required=True, help="the feature store's folder")
    extract.add_argument(
        "--layer",
        metavar="NAME",
        action="append",
        help="a part of the backbone (default: its output); repeated: one pass, a store for each within STORE",
    )
    extract.add_argument(
        "--pooling", choices=_POOLINGS, help="of tokens (default: as the model's files say, else the mean)"
    )
    extract.add_argument("--prompt", metavar="NAME", help="one of the model's own prompts (default: its default)")
    extract.add_argument("--text-column", metavar="NAME", help="default: text")
    extract.add_argument("--label-column", metavar="NAME", help="default: label, where there is one")
    extract.add_argument("--batch-size", metavar="N", type=positive, default=64, help="default: 64")
    extract.add_argument("--workers", metavar="N", type=positive, help="processes that read pictures (default: none)")
    extract.add_argument("--device", help="default: a GPU where there is one")
    extract.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="of the store")
    extract.add_argument("--autocast", choices=_AUTOCAST, help="compute under autocast")
    extract.set_defaults(run=_extract)


def _extract(options: argparse.Namespace) -> int:
    import torch

    device = device_name(options.device)
    existing(options.data)
    make_output_folder(options.out)
    try:
        with bad_input(RuntimeError), _ranks(device) as (rank, own_device):
            stores = _stores(options, own_device or ("cuda" if torch.cuda.is_available() else "cpu"), rank)
    except KeyboardInterrupt:
        print(f"\nStopped; what is committed in {options.out} is kept. The same command goes on.", file=sys.stderr)
        return INTERRUPTED
    if not rank:
        for name, store in stores.items():
            layer = f"{name}: " if len(stores) > 1 else ""
            print(f"{layer}{len(store)} rows of {store.num_features} features ({store.dtype})")
        print(f"Results: {options.out}")
    return 0


@contextmanager
def _ranks(device: str | None) -> Generator[tuple[int, str | None]]:
    """Yield this process's rank and device; under torchrun all ranks share the work."""
    import torch
    from torch import distributed

    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ or distributed.is_initialized()
    if alone:
        yield 0, device
        return
    distributed.init_process_group("gloo")
    try:
        if device in (None, "cuda") and torch.cuda.is_available():
            device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
        yield distributed.get_rank(), device
    finally:
        distributed.destroy_process_group()


def _stores(options: argparse.Namespace, device: str, rank: int) -> dict[str, FeatureStore]:
    import torch

    from ..features import extract, load_backbone

    data = _data(options)  # checked before a model is loaded
    backbone = load_backbone(options.backbone, prompt=options.prompt)
    layers = options.layer or []
    found = extract(
        backbone,
        _loader(options, backbone, data),
        options.out,
        layer=layers if len(layers) > 1 else layers[0] if layers else None,
        pooling=options.pooling,
        device=device,
        dtype=options.dtype,
        autocast=getattr(torch, options.autocast) if options.autocast else None,
        metadata={"classes": data.classes},
        progress=not rank,
    )
    return found if isinstance(found, dict) else {layers[0] if layers else "output": found}


def _data(options: argparse.Namespace) -> Texts | PictureFolder:
    from ..features.extraction.files import PictureFolder, read_texts

    data = Path(options.data)
    if data.is_dir():
        return PictureFolder(data, None)
    return read_texts(data, text_column=options.text_column, label_column=options.label_column)


def _loader(options: argparse.Namespace, backbone: Backbone, data: Texts | PictureFolder) -> Any:
    from torch.utils.data import DataLoader

    from ..features.extraction.files import Texts

    if isinstance(data, Texts):
        return list(data.batches(options.batch_size))
    if backbone.transform is None:
        raise InputFileError(f"{options.backbone} takes texts, and {options.data} is a folder: give a file of texts")
    data.transform = backbone.transform
    source: Any = data
    return DataLoader(source, batch_size=options.batch_size, num_workers=options.workers or 0)
