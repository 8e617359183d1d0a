"""A pass over one file, or over two files of the same samples in parallel."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import InputFileError
from ..features.opening.rows import FeatureFile, block_rows
from ..spectrum.analysis import row_operations
from ..subspace import SubspaceAccumulator
from .dealing import Parts

_QUIET = 1.0  # seconds before a progress bar appears


class Reader(NamedTuple):
    """A file, and the accumulators of its rows besides the pair (None if the file has been read before)."""

    name: str
    file: FeatureFile
    parts: Parts | None


class Pair(NamedTuple):
    """The accumulator of the products of two files' rows, with the operations on each row."""

    products: SubspaceAccumulator
    normalize: bool
    center_rows: bool

    def update(self, blocks: Sequence[Tensor]) -> None:
        """Add the same rows of both files."""
        first, second = (
            row_operations(block.to(torch.float64), normalize=self.normalize, center=self.center_rows)
            for block in blocks
        )
        self.products.update(first, second)


def read(readers: Sequence[Reader], span: tuple[int, int], *, pair: Pair | None = None, progress: bool = False) -> None:
    """Read the rows ``span`` of one file, or for a ``pair`` of two files in parallel.

    Raises:
        InputFileError: a damaged file, or a row with NaN or infinity; the message has its number in the file.
    """
    first, last = span
    size = min(block_rows(reader.file.num_features) for reader in readers)
    streams = [reader.file.blocks(first, last, size) for reader in readers]
    name = " and ".join(reader.name for reader in readers)
    row = first
    # without a terminal, such as in a log, a line every ten seconds is enough
    with tqdm(total=last - first, desc=name, unit="row", unit_scale=True, leave=False, disable=not progress,
              delay=_QUIET, mininterval=0.2 if sys.stderr.isatty() else 10.0) as bar:  # fmt: skip
        for blocks in zip(*streams, strict=True):
            for reader, block in zip(readers, blocks, strict=True):
                _refuse_nonfinite(block, reader.file, row)
                if reader.parts is not None:
                    reader.parts.update(block)
            if pair is not None:
                pair.update(blocks)
            row += len(blocks[0])
            bar.update(len(blocks[0]))
    if row != last:
        raise InputFileError(f"{readers[0].file.path} ends at row {row} of {last}: it is damaged")


def _refuse_nonfinite(block: Tensor, file: FeatureFile, first: int) -> None:
    if torch.isfinite(block.sum(dtype=torch.float64)):
        return  # one pass: a finite sum has finite terms
    finite = torch.isfinite(block).all(dim=1)
    if not finite.all():
        place = first + int(finite.int().argmin())
        raise InputFileError(f"{file.path}: row {place} holds NaN or infinity; drop or repair such rows")
