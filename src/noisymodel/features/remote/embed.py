"""`embed`: embed texts into a feature store, through any client, without paying twice."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from ..._checks import check_integer
from ...errors import EmbeddingError, FeatureStoreError
from ..columns import id_column, label_column
from ..extraction.ranks import PARTS, Share
from ..store import FeatureStore
from ..store_folder import holds_store
from .cache import EmbeddingCache
from .client import EmbeddingClient
from .requests import Vectors, check_text, check_texts

DIGEST = "text_sha256"  # the column that identifies the text of each row


def embed(
    texts: Iterable[str],
    path: str | Path,
    *,
    client: EmbeddingClient,
    labels: Sequence[int] | None = None,
    ids: Sequence[str] | Sequence[int] | None = None,
    dtype: str = "float32",
    cache: str | Path | bool = True,
    block_rows: int = 4096,
    resume: bool = True,
    progress: bool = False,
) -> FeatureStore:
    """Embed texts through an API into a feature store, one row for each text, in their order.

    To resume a killed run, call it again with the same arguments. Rows in the store are compared with the texts and not
    requested again, and replies that had arrived are in the cache. Equal texts are sent once.

    In an initialised process group (`torchrun`) every rank calls this with all texts, and the ranks share the work:
    they take blocks in turn, and rank 0 links the blocks into the store in the order of the texts.

    Args:
        texts: N strings, none empty; a generator is allowed, since texts are read block by block.
        path: the store's folder.
        client: an `OpenAIEmbeddings`, or any `EmbeddingClient`. Its ``metadata`` becomes the store's.
        labels: class ids (N,), or None.
        ids: N strings or integers, or None.
        dtype: the dtype of the store: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        cache: the file of the cache (SQLite), which several stores may share; True: ``path`` with the ending
            ``.cache.sqlite``; False: none. It holds vectors and hashes of texts, not the texts.
        block_rows: rows that are committed together.
        resume: whether to resume an existing store; if not, an existing store is a ``FileExistsError``.
        progress: whether to show a progress bar on stderr.

    Returns:
        The store, open for reading, with a column ``"text_sha256"``.

    Raises:
        EmbeddingError: the endpoint failed; finished replies are kept, and the next call resumes there.
        FeatureStoreError: the store's rows are of other texts, or of another model.
        TypeError: ``labels`` or ``ids`` of a type that a store does not hold, such as class names.
        ValueError: no texts, an empty text, or ``labels`` or ``ids`` of another length.

    >>> import tempfile, numpy as np
    >>> from noisymodel.features import embed
    >>> class Lengths:
    ...     metadata = {"backbone": "lengths"}
    ...     def embed(self, texts, *, received=None):
    ...         return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)
    >>> store = embed(["one", "three"], tempfile.mkdtemp() + "/store", client=Lengths(), labels=[0, 1])
    >>> store[:].tolist(), store.labels[1].item()
    ([[3.0, 1.0], [5.0, 1.0]], 1)
    """
    check_texts(texts)
    block_rows = check_integer(block_rows, "block_rows", minimum=1)
    folder = Path(path).absolute()
    given = {name: values for name, values in (("labels", labels), ("ids", ids)) if values is not None}
    if isinstance(texts, Sized):
        for name, values in given.items():
            if len(values) != len(texts):
                raise ValueError(f"`{name}` must have one entry per text, {len(texts)}, got {len(values)}")
    for name, column in (("labels", label_column), ("ids", id_column)):
        if name in given:
            column(given[name])  # raises what the store would raise, before anything is paid
    file = folder.with_name(f"{folder.name}.cache.sqlite") if cache is True else cache
    opened = nullcontext(None) if file is False else EmbeddingCache(Path(file), client.metadata)
    share = Share.current()
    blocks = _blocks(texts, block_rows, progress and (share is None or share.rank == 0))
    make = partial(_Target, client=client, dtype=dtype, block_rows=block_rows)
    with opened as known:
        if share is not None:
            _embed_shared(share, make, folder, resume, blocks, given, known)
        else:
            with make(folder, resume) as target:
                stop = 0
                for start, block in blocks:
                    stop = start + len(block)
                    target.add(block, _columns(given, start, stop), known)
                _check_end(stop, given, len(target.there), folder)
    return FeatureStore.open(folder)


def _blocks(texts: Iterable[str], size: int, progress: bool) -> Iterator[tuple[int, list[str]]]:
    """The texts in blocks, each with the place of its first text."""
    iterator, start = iter(texts), 0
    total = len(texts) if isinstance(texts, Sized) else None
    with tqdm(total=total, unit="text", disable=not progress) as bar:
        while block := list(islice(iterator, size)):
            yield start, [check_text(text, start + place) for place, text in enumerate(block)]
            start += len(block)
            bar.update(len(block))


def _columns(given: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: values[start:stop] for name, values in given.items()}


class _Target:
    """A store that is created with the first vectors; its existing rows must match the texts."""

    def __init__(self, folder: Path, resume: bool, *, client: EmbeddingClient, dtype: str, block_rows: int) -> None:
        self.folder, self.client, self.dtype, self.block_rows = folder, client, dtype, block_rows
        self.metadata = {**client.metadata, "versions": {"noisymodel": version("noisymodel")}}
        self.store: FeatureStore | None = None
        self.there: list[str] = []
        if holds_store(folder):
            if not resume:
                raise FileExistsError(f"{folder} is there: `resume=True` goes on with it")
            self._continue(FeatureStore.open(folder))
        self.seen = 0

    def _continue(self, store: FeatureStore) -> None:
        if DIGEST not in store.columns and len(store):
            raise FeatureStoreError(f"{self.folder} was not written by embed: name another folder")
        store.check_backbone(self.metadata)
        if "model" in store.metadata.get("versions", {}):
            self.metadata["versions"]["model"] = store.metadata["versions"]["model"]
        self.there = cast("list[str]", list(store.column(DIGEST)[:])) if len(store) else []
        self._open(store.num_features)

    def _open(self, num_features: int) -> FeatureStore:
        self.store = FeatureStore.create(
            self.folder,
            num_features=num_features,
            dtype=self.dtype,
            metadata=self.metadata,
            append=True,
            shard_rows=self.block_rows,
        )
        return self.store

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *error: object) -> None:
        if self.store is not None:
            self.store.close()

    def add(self, texts: list[str], columns: dict[str, Any], known: EmbeddingCache | None) -> None:
        """Append the rows of a block, except existing ones."""
        digests = _digests(texts)
        skipped = min(len(texts), max(0, len(self.there) - self.seen))
        _check_same(digests[:skipped], self.there[self.seen :], self.folder, self.seen)
        self.seen += len(texts)
        if skipped == len(texts):
            return
        vectors = _vectors(texts[skipped:], self.client, known)
        self._check_model(getattr(self.client, "answering_model", None))
        store = self._open(vectors.shape[1]) if self.store is None else self.store
        if vectors.shape[1] != store.num_features:
            raise EmbeddingError(
                f"embeddings have {vectors.shape[1]} dimensions now, those in {self.folder} have {store.num_features}: "
                "the model behind the endpoint has changed"
            )
        rest = {name: values[skipped:] for name, values in columns.items()}
        store.append(vectors, rest.get("labels"), rest.get("ids"), columns={DIGEST: digests[skipped:]})

    def _check_model(self, now: str | None) -> None:
        """Record the model that answers, and raise if another one answered before."""
        versions = self.metadata["versions"]
        before = versions.get("model")
        if before and now and before != now:
            raise EmbeddingError(
                f"the model behind the endpoint has changed: the rows in {self.folder} are of {before!r}, now {now!r} "
                "answers: name another folder, and another `cache`"
            )
        if now:
            versions["model"] = now

    def adopt(self, block: FeatureStore) -> None:
        """Link the rows of another store after the existing rows."""
        if self.store is None:
            self.metadata = dict(block.metadata)
        else:
            self._check_model(block.metadata["versions"].get("model"))
        store = self._open(block.num_features) if self.store is None else self.store
        store.adopt(block)


def _embed_shared(
    share: Share,
    make: Callable[[Path, bool], _Target],
    folder: Path,
    resume: bool,
    blocks: Iterable[tuple[int, list[str]]],
    given: dict[str, Any],
    known: EmbeddingCache | None,
) -> None:
    """Fill a store by several ranks: a block is a store of its own until rank 0 has linked it."""
    held: list[str] = []
    spans: list[tuple[int, int]] = []

    def part(start: int, stop: int) -> Path:
        return folder / PARTS / f"texts-{start:012d}-{stop:012d}"

    def read() -> None:
        if not share.rank and holds_store(folder):
            with make(folder, resume) as target:
                held.extend(target.there)

    def embed_own() -> None:
        for number, (start, block) in enumerate(blocks):
            stop = start + len(block)
            spans.append((start, stop))
            if number % share.world != share.rank:
                continue
            first = min(stop, max(start, len(there)))
            _check_same(_digests(block[: first - start]), there[start:], folder, start)
            if first < stop:
                with make(part(first, stop), True) as target:
                    target.add(block[first - start :], _columns(given, first, stop), known)
        _check_end(spans[-1][1] if spans else 0, given, len(there), folder)

    def join() -> None:
        for start, stop in () if share.rank else spans:
            if stop > len(there):
                block = FeatureStore.open(part(max(start, len(there)), stop))
                with make(folder, True) as target:
                    target.adopt(block)
        if not share.rank:
            shutil.rmtree(folder / PARTS, ignore_errors=True)

    _together(share, read)
    there = share.told(held)
    _together(share, embed_own)
    if len({str(found) for found in share.all(spans)}) > 1:
        raise ValueError("`texts` and `block_rows` must be the same on every rank")
    _together(share, join)


def _together(share: Share, work: Callable[[], None]) -> None:
    """Do the work on all ranks; an error on one rank raises on all, so that none waits."""
    failed: Exception | None = None
    try:
        work()
    except Exception as error:
        failed = error
    said = share.all("" if failed is None else str(failed))
    if failed is not None:
        raise failed
    for rank, text in enumerate(said):
        if text:
            raise EmbeddingError(f"rank {rank}: {text}")


def _check_end(count: int, given: dict[str, Any], there: int, folder: Path) -> None:
    """Raise if there were no texts, fewer texts than rows, or columns of another length."""
    if count == 0:
        raise ValueError("`texts` is empty")
    if count < there:
        raise FeatureStoreError(f"{folder} has {there} rows and `texts` only {count}")
    for name, values in given.items():
        if len(values) != count:
            raise ValueError(f"`{name}` must have one entry per text, {count}, got {len(values)}")


def _digests(texts: list[str]) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]


def _check_same(digests: list[str], there: Sequence[str], folder: Path, first: int) -> None:
    """Raise if an existing row is of another text."""
    for row, (now, before) in enumerate(zip(digests, there, strict=False), first):
        if now != before:
            raise FeatureStoreError(
                f"row {row} of {folder} is of another text than `texts[{row}]`: "
                "texts must come in the same order as before; or name another folder"
            )


def _vectors(texts: list[str], client: EmbeddingClient, known: EmbeddingCache | None) -> Vectors:
    """The vectors (n, D) of a block: from the cache, or, once for each other text, from the client."""
    found = known.get(texts) if known is not None else {}
    missing = [text for text in dict.fromkeys(texts) if text not in found]

    def keep(places: Sequence[int], vectors: Vectors) -> None:
        if known is not None:
            known.put([missing[place] for place in places], vectors)

    if missing:
        fresh = np.asarray(client.embed(missing, received=keep), dtype=np.float32)
        if fresh.ndim != 2 or len(fresh) != len(missing):
            raise EmbeddingError(f"the client returned {fresh.shape} for {len(missing)} texts, expected (N, D)")
        found.update(zip(missing, fresh, strict=True))
    sizes = sorted({len(vector) for vector in found.values()})
    if len(sizes) > 1:
        raise EmbeddingError(
            f"embeddings have {sizes} dimensions: the model behind the endpoint has changed since the cache was written"
        )
    return np.stack([found[text] for text in texts])
