"""`FeatureStore`: features on disk, which may be larger than memory and survive the death of their writer."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from .._checks import check_choice, check_integer, check_seed, check_sequence
from ..errors import FeatureStoreError
from .lazy_columns import ShardedRows, ShardedStrings
from .manifest import FEATURE_DTYPES, STRING, Manifest
from .provenance import differences, fingerprint, unknown
from .shardfile import Shard
from .shuffling import WINDOW_ROWS, ordered_batches, shuffled_batches
from .store_folder import open_for_writing, verify
from .writer import Writer


class FeatureStore:
    """Rows of features on disk, with labels, ids and further columns: N rows, D features.

    `FeatureStore.create` makes a store to append to, `FeatureStore.open` reads one. A store is a folder of safetensors
    files and a manifest that lists them with their checksums; ``docs/features_format.md`` specifies the format. `len`,
    `features` and the other readers show the rows that were committed when the store was opened, and the rows that
    this object has committed since. The store itself is a source of features: ``fit(head, store, store.labels)``.

    >>> import tempfile, torch
    >>> folder = tempfile.mkdtemp()
    >>> with FeatureStore.create(f"{folder}/store", num_features=2, metadata={"backbone": "none"}) as store:
    ...     store.append(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), labels=[0, 1], ids=["a", "b"])
    >>> store = FeatureStore.open(f"{folder}/store")
    >>> len(store), store.features.shape, store.features[1], store.ids[0]
    (2, (2, 2), tensor([3., 4.]), 'a')
    >>> [features.shape for features, labels in store.batches(1, shuffle=True, seed=0)]
    [torch.Size([1, 2]), torch.Size([1, 2])]
    """

    def __init__(self, path: Path, manifest: Manifest, writer: Writer | None = None) -> None:
        self._path = path
        self._writer = writer
        self._manifest = manifest
        self._shards: list[Shard] = []
        self._show(manifest)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        num_features: int,
        dtype: str | torch.dtype | np.dtype[Any] | type[np.generic] = "float32",
        metadata: Mapping[str, Any] | None = None,
        append: bool = False,
        shard_rows: int | None = None,
    ) -> Self:
        """Make a store, or continue one with ``append=True``, as its only writer.

        Args:
            path: the folder; it must not exist, or be empty. With ``append=True`` it may also be a store.
            num_features: D.
            dtype: the stored type of the features: ``"float32"``, ``"float16"`` or ``"bfloat16"``, or the same dtypes
                of torch or numpy.
            metadata: JSON about the source of the features. The entries ``backbone``, ``weights``, ``transform``,
                ``layer``, ``architecture`` and ``precision`` make up the `fingerprint`; ``versions`` is for the
                versions of libraries. With ``append=True`` it must equal the store's (except ``versions``), or be
                None.
            append: continue the store if there is one. The uncommitted files of a killed writer are deleted.
            shard_rows: rows in a shard, at least 1; ``None``: 128 MiB of features. Rows wait in memory until the
                shard is full.

        Raises:
            FileExistsError: the folder holds a store (without ``append``) or other files.
            FeatureStoreError: another writer has the store, or it is damaged.
            ValueError: an invalid argument; or with ``append`` other ``num_features``, ``dtype`` or ``metadata`` than
                the store's.
        """
        folder = Path(path).absolute()
        writer = open_for_writing(folder, num_features, dtype, metadata, append, shard_rows)
        return cls(folder, writer.manifest, writer)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store for reading: the rows that are committed now. It can be read while a writer appends to it.

        The manifest, and the existence and size of all shards, are checked; `verify` reads every byte.

        Raises:
            FileNotFoundError: there is nothing at ``path``.
            FeatureStoreError: it is not a store, or the manifest or a shard is missing, damaged or of a later version.
        """
        folder = Path(path).absolute()
        if not os.path.lexists(folder):
            raise FileNotFoundError(f"there is no feature store at {folder}: FeatureStore.create makes one")
        store = cls(folder, Manifest.read(folder))
        for shard in store._shards:
            shard.check_size()
        return store

    def append(
        self,
        features: object,
        labels: object = None,
        ids: object = None,
        *,
        columns: Mapping[str, object] | None = None,
        allow_nonfinite: bool = False,
    ) -> None:
        """Append rows; they are committed whenever ``shard_rows`` are full, by `flush`, and by `close`.

        Rows that do not fit raise an error and change nothing. The first rows fix the columns of the store (labels, ids
        and others) and their types; all later rows must have the same.

        Args:
            features: (n, D), floating point, a tensor of any device or an array; converted to the store's dtype.
            labels: integer class ids (n,), stored as int64; or class probabilities (n, K), stored as float32 (float64
                if they are); or None.
            ids: n strings, or integers; or None. They need not be unique.
            columns: further columns by name: strings (n,), or numbers or truth values (n, ...), kept in their type.
            allow_nonfinite: whether features may be NaN or infinite.

        Raises:
            TypeError: entries of the wrong type.
            ValueError: entries of the wrong shape, NaN or infinity, columns that differ from those of earlier rows, or
                a store that is not open for writing.
            OSError: a shard could not be written; the rows remain waiting, and `flush` tries again.
        """
        with self._writing() as writer:
            for name, values in (("features", features), ("labels", labels), ("ids", ids)):
                if values is not None:
                    check_sequence(values, name, "one entry for each row")
            writer.append(features, labels, ids, columns or {}, allow_nonfinite)

    def adopt(self, other: FeatureStore) -> None:
        """Append all rows of another store with the same columns by linking its files: nothing is read or copied.

        A file system without links gets copies. Waiting rows are committed first. Afterwards the other store may be
        deleted.

        Raises:
            FeatureStoreError: features or columns of other types.
        """
        with self._writing() as writer:
            writer.adopt(other.path, Manifest.read(other.path))

    def flush(self) -> None:
        """Commit the rows that wait. Each call makes a shard, so calls after few rows make many small files."""
        with self._writing() as writer:
            writer.flush()

    def close(self) -> None:
        """Commit the rows that wait and let other writers in. The store can still be read."""
        if self._writer is not None:
            with self._writing() as writer:
                writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The folder as an absolute path, which a change of the working directory does not affect."""
        return self._path

    @property
    def num_features(self) -> int:
        """D."""
        return self._manifest.num_features

    @property
    def dtype(self) -> torch.dtype:
        """The stored dtype of the features."""
        return FEATURE_DTYPES[self._manifest.dtype]

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return (len(self), self.num_features)

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy of the metadata given to `create`."""
        return copy.deepcopy(self._manifest.metadata)

    @property
    def created_with(self) -> dict[str, str]:
        """The versions of the libraries that made the store."""
        return dict(self._manifest.created_with)

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the source of the features (see `check_backbone`); None if `metadata` does not name it."""
        return fingerprint(self._manifest.metadata)

    @property
    def pending(self) -> int:
        """The number of appended rows that are not committed; 0 in a store that was opened for reading."""
        return 0 if self._writer is None else self._writer.pending

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that `column` accepts."""
        return ("features", *self._manifest.columns)

    @property
    def features(self) -> ShardedRows:
        """The features (N, D), read on indexing: see `ShardedRows`."""
        return self._features

    @property
    def labels(self) -> ShardedRows | None:
        """Class ids (N,), class probabilities (N, K), or None."""
        found = self.column("labels") if "labels" in self._manifest.columns else None
        return found if isinstance(found, ShardedRows) else None

    @property
    def ids(self) -> ShardedStrings | ShardedRows | None:
        """N strings or integers, or None."""
        return self.column("ids") if "ids" in self._manifest.columns else None

    def column(self, name: str) -> ShardedRows | ShardedStrings:
        """The column called ``name``: strings, or rows of numbers or truth values."""
        check_choice(name, "name", self.columns)
        kind = self._manifest.types()[name]
        return ShardedStrings(self._shards, name) if kind.dtype == STRING else ShardedRows(self._shards, name, kind)

    def __len__(self) -> int:
        return self._manifest.rows

    def __getitem__(self, index: object, /) -> Tensor:
        """``store.features[index]``."""
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:  # as scikit-learn indexes rows
            index = index[0]
        return self._features[index]

    def __repr__(self) -> str:
        kind = f"num_features={self.num_features}, dtype={self._manifest.dtype!r}, columns={list(self.columns)}"
        return f"{type(self).__name__}({str(self._path)!r}, rows={len(self)}, {kind})"

    def __getstate__(self) -> dict[str, Any]:
        if self._writer is not None and not self._writer.closed:
            raise TypeError("a store that is open for writing cannot be pickled: close it, or open it for reading")
        return {"path": self._path, "manifest": self._manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], state["manifest"])

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        window_rows: int = WINDOW_ROWS,
    ) -> Iterator[tuple[Tensor, Tensor]] | Iterator[Tensor]:
        """All rows once, in batches of ``batch_size`` (the last may be smaller): CPU tensors that may be changed.

        Up to ``window_rows`` rows, the shuffled order is a uniform permutation. With more rows, blocks of 256
        contiguous rows are permuted and divided into windows of about ``window_rows`` rows, and the rows of a window
        are permuted. So the disk is read in blocks, and the cache needs the pages of one window only. Two rows of a
        batch are from the same block with probability 255/(W − 1), where W is the number of rows in the window. The
        order depends only on the number of rows, ``seed`` and ``window_rows``, not on shards, dtype or batch size.

        Args:
            batch_size: at least 1.
            shuffle: whether to shuffle.
            seed: fixes the order; give each epoch another seed. None: another order each time.
            window_rows: at least 1, for ``shuffle``.

        Returns:
            An iterator over pairs (features (n, D), labels (n,) or (n, K)), or over features if there are no labels.
        """
        check_integer(batch_size, "batch_size", minimum=1)
        check_integer(window_rows, "window_rows", minimum=1)
        drawn = secrets.randbits(62) if seed is None else check_seed(seed)
        names = ["features", "labels"] if "labels" in self._manifest.columns else ["features"]
        if not self._shards:
            rows: Iterator[list[Tensor]] = iter(())
        elif shuffle:
            rows = shuffled_batches(self._shards, names, batch_size, window_rows=window_rows, seed=drawn)
        else:
            rows = ordered_batches(self._shards, names, batch_size)
        return ((batch[0], batch[1]) for batch in rows) if len(names) == 2 else (batch[0] for batch in rows)

    def verify(self) -> None:
        """Read every byte, and raise a `FeatureStoreError` that names the damaged files.

        It finds flipped bits, truncated, missing, exchanged and foreign files, and other files in the folder except
        hidden ones. A store can be verified while a writer appends to it.
        """
        verify(self._path, self._manifest, self._shards)

    def check_backbone(self, expected: FeatureStore | Mapping[str, Any] | str) -> None:
        """Raise unless these features come from the expected backbone, such as that of a head.

        It compares the entries ``backbone``, ``weights``, ``transform``, ``layer``, ``architecture`` and ``precision``
        of the metadata.

        Args:
            expected: another store, its metadata, or its fingerprint.

        Raises:
            FeatureStoreError: the sources differ, one of the two does not name its source, or one has a backbone
                without parameters and without a name.
        """
        if isinstance(expected, FeatureStore):
            expected = expected.metadata
        wanted = expected if isinstance(expected, str) else fingerprint(expected)
        if self.fingerprint is None:
            raise FeatureStoreError(f"the store {self._path} {unknown(self._manifest.metadata)}")
        if wanted is None and not isinstance(expected, str):
            raise FeatureStoreError(f"what it is compared with {unknown(expected)}")
        if wanted != self.fingerprint:
            details = "" if isinstance(expected, str) else f": {differences(self._manifest.metadata, expected)}"
            raise FeatureStoreError(
                f"the features of {self._path} are of another backbone{details}; extract them with the expected one"
            )

    @contextmanager
    def _writing(self) -> Generator[Writer]:
        """Yield the writer; afterwards show what it has committed, also where it failed."""
        if self._writer is None:
            raise ValueError(
                f"the store {self._path} was opened for reading: "
                "FeatureStore.create(..., append=True) opens it for writing"
            )
        try:
            yield self._writer
        finally:
            self._show(self._writer.manifest)

    def _show(self, manifest: Manifest) -> None:
        """Show the rows that the manifest lists; shards that are already mapped stay mapped."""
        if manifest is self._manifest and self._shards:
            return
        known, types = self._shards, manifest.types()
        self._manifest = manifest
        self._shards = [*known, *(Shard(self._path, record, types) for record in manifest.shards[len(known) :])]
        self._features = ShardedRows(self._shards, "features", types["features"])
