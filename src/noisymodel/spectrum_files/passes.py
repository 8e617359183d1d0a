"""A pass over one file, or over two files of the same samples in parallel."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from tqdm import tqdm

from ..errors import InputFileError
from ..features.opening.rows import block_rows
from ..spectrum.analysis import nonfinite, row_operations
from ..subspace import SubspaceAccumulator
from .planning import Opened, Plan

_QUIET = 1.0  # seconds before a progress bar appears


def read(files: Sequence[Opened], plan: Plan, products: SubspaceAccumulator | None = None) -> None:
    """Read the rows of one file, or of two files of the same samples in parallel.

    The rows go into the accumulators of each file that was not read before, and those of two files into ``products``.

    Raises:
        InputFileError: a damaged file, or a row with NaN or infinity; the message has its number in the file.
    """
    first, last = files[0].span
    size = min(block_rows(one.file.num_features) for one in files)
    streams = [one.file.blocks(first, last, size) for one in files]
    name = " and ".join(one.name for one in files)
    normalize, center = plan.settings["normalize"], plan.settings["center_rows"]
    row = first
    # without a terminal, such as in a log, a line every ten seconds is enough
    with tqdm(total=last - first, desc=name, unit="row", unit_scale=True, leave=False, disable=not plan.progress,
              delay=_QUIET, mininterval=0.2 if sys.stderr.isatty() else 10.0) as bar:  # fmt: skip
        for blocks in zip(*streams, strict=True):
            for one, block in zip(files, blocks, strict=True):
                if len(bad := nonfinite(block)):
                    place = row + int(bad[0])
                    raise InputFileError(
                        f"{one.file.path}: row {place} holds NaN or infinity; drop or repair such rows"
                    )
                if one.parts is not None:
                    one.parts.update(block)
            if products is not None:
                pair = (block.to(torch.float64) for block in blocks)
                products.update(*(row_operations(block, normalize=normalize, center=center) for block in pair))
            row += len(blocks[0])
            bar.update(len(blocks[0]))
    if row != last:
        raise InputFileError(f"{files[0].file.path} ends at row {row} of {last}: it is damaged")
    for one in files:
        one.finish()
