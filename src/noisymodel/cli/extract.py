"""``noisymodel extract``: a backbone by name and data, to a feature store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._parser import INTERRUPTED, positive
from .checking import device_name, existing, make_output_folder

if TYPE_CHECKING:
    from ..features import Backbone
    from ._parser import Commands

_AUTOCAST = ("bfloat16", "float16")


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    extract = commands.add_parser(
        "extract",
        help="features of pictures or texts, from a backbone by name, into a feature store",
        description="Compute a backbone's features. Needs a backbone (timm:NAME, open_clip:MODEL/WEIGHTS, hf:NAME or "
        "hf:FOLDER) and data that it takes: a folder of pictures with a folder for each class, or texts (a file with "
        "one a line, or a CSV or TSV file with a column text, and label where there are labels). A stopped run goes on "
        "when called again.",
    )
    extract.add_argument("backbone", metavar="BACKBONE", help="such as timm:resnet50 or hf:bert-base-uncased")
    extract.add_argument("data", metavar="DATA", help="folder of pictures, or file of texts")
    extract.add_argument("--out", metavar="STORE", required=True, help="the feature store's folder")
    extract.add_argument("--layer", metavar="NAME", help="a part of the backbone (default: its output)")
    extract.add_argument("--pooling", choices=("mean", "cls", "last"), default="mean", help="of tokens (default: mean)")
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

    from ..errors import ConfigError, InputFileError
    from ..features import extract, load_backbone

    device = device_name(options.device) or ("cuda" if torch.cuda.is_available() else "cpu")
    existing(options.data)
    make_output_folder(options.out)
    try:
        loader, classes = _loader(options, load_backbone(options.backbone))
        store = extract(
            options.backbone,
            loader,
            options.out,
            layer=options.layer,
            pooling=options.pooling,
            device=device,
            dtype=options.dtype,
            autocast=getattr(torch, options.autocast) if options.autocast else None,
            metadata={"classes": classes},
            progress=True,
        )
    except InputFileError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    except KeyboardInterrupt:
        print(f"\nStopped; what is committed in {options.out} is kept. The same command goes on.", file=sys.stderr)
        return INTERRUPTED
    print(f"{len(store)} rows of {store.num_features} features ({store.dtype})\nResults: {options.out}")
    return 0


def _loader(options: argparse.Namespace, backbone: Backbone) -> tuple[Any, list[str]]:
    """Batches of the data, and the classes by number."""
    from torch.utils.data import DataLoader

    from ..errors import InputFileError
    from ..features.extraction.files import PictureFolder, read_texts

    data = Path(options.data)
    if not data.is_dir():
        found = read_texts(data, text_column=options.text_column, label_column=options.label_column)
        return list(found.batches(options.batch_size)), found.classes
    if backbone.transform is None:
        raise InputFileError(f"{options.backbone} takes texts, and {data} is a folder: give a file of texts")
    pictures = PictureFolder(data, backbone.transform)
    loader: Any = DataLoader(pictures, batch_size=options.batch_size, num_workers=options.workers or 0)  # pyright: ignore[reportArgumentType] - a sequence is a data set
    return loader, pictures.classes
