"""Features of a Ray Data dataset: an actor for each GPU computes them, into one store or Parquet files, in order."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...errors import FeatureStoreError, MissingExtraError
from ...features import Backbone, EmbeddingClient, FeatureStore
from ...features.extraction.extract import begin
from ...features.extraction.inputs import read_batch
from ...features.extraction.layers import OUTPUT
from ...features.extraction.target import Target

if TYPE_CHECKING:
    from ray.data import Dataset

_FEATURES, _KNOWN, _LABELS, _IDS = "features", "known", "labels", "ids"
_PURPOSE = "features of a Ray dataset"

Block = dict[str, npt.NDArray[Any]]


def extract(
    dataset: Dataset,
    backbone: nn.Module | Backbone | str,
    path: str | Path,
    *,
    column: str,
    labels: str | None = None,
    ids: str | None = None,
    layer: str | None = None,
    pooling: str | None = None,
    prompt: str | None = None,
    weights: str | None = None,
    autocast: torch.dtype | None = None,
    dtype: torch.dtype | str | None = None,
    metadata: dict[str, Any] | None = None,
    batch_size: int = 64,
    actors: int | None = None,
    num_gpus: float | None = None,
    resume: bool = True,
    parquet: bool = False,
) -> FeatureStore | Path:
    """Compute a backbone's features of all rows of a dataset, on all machines of a Ray cluster.

    Actors, one for each GPU, hold the backbone. Every row comes out once, in the dataset's order. A worker that dies is
    replaced, and its rows are computed again. This process writes the store, which equals that of
    `noisymodel.features.extract`.

    Args:
        dataset: of any size; a resumed run needs the same order.
        backbone: a module, a name or a `Backbone`, as in `noisymodel.features.extract`.
        path: the store's folder; with ``parquet=True`` a folder or address that Ray writes to.
        column: the backbone's inputs: texts; pictures as encoded bytes or uint8 arrays (H, W, 3); or tensors.
        labels: the column of class ids.
        ids: the column of strings or integers, different in all rows. With ids, a resumed run skips the rows in the
            store; without them, it computes these rows again and compares them.
        layer: one layer, as in `noisymodel.features.extract`.
        pooling: as in `noisymodel.features.extract`.
        prompt: as in `noisymodel.features.extract`.
        weights: as in `noisymodel.features.extract`.
        autocast: as in `noisymodel.features.extract`.
        dtype: the dtype of the store.
        metadata: further entries of the store's metadata.
        batch_size: rows that pass through the backbone together.
        actors: the number of actors; None: the number of GPUs in the cluster, at least one.
        num_gpus: GPUs of each actor; None: one if the cluster has any.
        resume: whether to resume an existing store.
        parquet: write Parquet files of ``features``, ``labels`` and ``ids`` from the workers, without a store.

    Returns:
        The store, open for reading; with ``parquet=True`` the path.

    Raises:
        MissingExtraError: without Ray.
        FeatureStoreError: the store is of another backbone or of other rows, or ids are repeated.
        ValueError: no such column, or no rows.

    >>> extract(ray.data.read_images("pictures/"), "timm:resnet50", "store", column="image")  # doctest: +SKIP
    FeatureStore('store', rows=1281167, num_features=2048, dtype='float32', columns=['features'])
    """
    ray = load_ray(_PURPOSE)
    names = [layer or OUTPUT]
    loaded, _, told = begin(backbone, names, pooling, prompt=prompt, weights=weights, autocast=autocast)
    described = told[names[0]] | (metadata or {})
    settings = {"names": names, "pooling": pooling, "autocast": autocast}
    make = partial(_Network, backbone=ray.put(loaded), **settings)
    if num_gpus is None:
        num_gpus = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    if actors is None:
        actors = max(1, int(ray.cluster_resources().get("GPU", 0) / num_gpus)) if num_gpus else 1
    run = {"batch_size": batch_size, "concurrency": actors, "num_gpus": num_gpus}
    if parquet:
        rows = _Rows(make, (column, labels, ids), ()).of(dataset, **run)
        rows.drop_columns([_KNOWN]).write_parquet(str(path))
        return Path(path)
    return _into_store(dataset, make, (column, labels, ids), Path(path), described, dtype, resume, run)


def embed(
    dataset: Dataset,
    path: str | Path,
    *,
    client: EmbeddingClient,
    column: str,
    labels: str | None = None,
    ids: str | None = None,
    dtype: str = "float32",
    batch_size: int = 1024,
    actors: int = 1,
    resume: bool = True,
) -> FeatureStore:
    """Embed a dataset's column of texts through an API, from several processes, into one store in the dataset's order.

    The client is pickled for the workers, which read its key from their environment. Each worker has the limits of pace
    and cost for itself. There is no cache; with ``ids`` a resumed run requests no row that is already in the store.

    Args:
        dataset: as in `extract`.
        path: the store's folder.
        client: an `OpenAIEmbeddings`, or any `EmbeddingClient` that can be pickled.
        column: the column of texts.
        labels: the column of class ids.
        ids: the column of strings or integers, different in all rows.
        dtype: the dtype of the store.
        batch_size: texts that a worker gives to the client together.
        actors: the number of workers.
        resume: whether to resume an existing store; needs ``ids``.

    Returns:
        The store, open for reading.

    Raises:
        MissingExtraError: without Ray.
        FeatureStoreError: the store is of another model or of other rows, or ids are repeated.
    """
    load_ray(_PURPOSE)
    make = partial(_Client, client)
    run = {"batch_size": batch_size, "concurrency": actors, "num_gpus": 0}
    return _into_store(dataset, make, (column, labels, ids), Path(path), dict(client.metadata), dtype, resume, run)


class _Network:
    """A backbone in a worker."""

    def __init__(self, backbone: Any, names: list[str], pooling: str | None, autocast: torch.dtype | None) -> None:
        import ray

        held: Backbone = ray.get(backbone)
        self.backbone, self.passes, _ = begin(held, names, pooling, prompt=None, weights="named", autocast=autocast)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._stack = ExitStack()
        self.forward = self._stack.enter_context(self.passes.ready(self.device))

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with torch.no_grad():
            batch = read_batch(_samples(values), self.backbone.prepare)
            (rows,) = self.forward(batch).values()
        return rows.float().cpu().numpy()


class _Client:
    """A client of an API in a worker."""

    def __init__(self, client: EmbeddingClient) -> None:
        self.client = client

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self.client.embed([str(text) for text in values])


def _samples(values: npt.NDArray[Any]) -> Any:
    """Convert a column's values to texts, pictures, or a tensor."""
    first = values[0]
    if isinstance(first, (str, np.str_)):
        return [str(text) for text in values]
    if isinstance(first, Mapping):
        first, values = first["bytes"], np.array([one["bytes"] for one in values], dtype=object)
    if isinstance(first, (bytes, memoryview)) or getattr(first, "dtype", None) == np.uint8:
        from PIL import Image

        encoded = isinstance(first, (bytes, memoryview))
        return [Image.open(io.BytesIO(one)) if encoded else Image.fromarray(one) for one in values]
    return np.stack(list(values))


class _Rows(NamedTuple):
    """An actor's work on a block: compute the features of rows that are not in the store."""

    make: Callable[[], Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]
    columns: tuple[str, str | None, str | None]
    known: Any

    def of(self, dataset: Dataset, **run: Any) -> Dataset:
        """The features of a dataset."""
        return dataset.map_batches(
            _Actor, fn_constructor_args=(self,), batch_format="numpy", max_restarts=-1, max_task_retries=-1, **run
        )


class _Actor:
    def __init__(self, rows: _Rows) -> None:
        import ray

        known, self.width = (set[Any](), 1) if not isinstance(rows.known, ray.ObjectRef) else ray.get(rows.known)
        self.known, self.compute = known, rows.make()
        self.columns = dict(zip((_FEATURES, _LABELS, _IDS), rows.columns, strict=True))

    def __call__(self, block: Block) -> Block:
        missing = [name for name in self.columns.values() if name is not None and name not in block]
        if missing:
            raise ValueError(f"the dataset has the columns {sorted(block)}, and no {missing[0]!r}")
        found = {name: block[column] for name, column in self.columns.items() if column is not None}
        values = found.pop(_FEATURES)
        there = np.array([_key(one) in self.known for one in found.get(_IDS, ())] or [False] * len(values))
        rows = np.zeros((len(values), self.width), np.float32)
        if not there.all():
            computed = self.compute(values[~there])
            rows = np.zeros((len(values), computed.shape[1]), np.float32)
            rows[~there] = computed
        return {_FEATURES: rows, _KNOWN: there, **found}


def _key(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _into_store(
    dataset: Dataset,
    make: Callable[[], Any],
    columns: tuple[str, str | None, str | None],
    path: Path,
    metadata: dict[str, Any],
    dtype: Any,
    resume: bool,
    run: dict[str, Any],
) -> FeatureStore:
    """Write the actors' rows into a store, in order, except those that it already has."""
    import ray

    target = Target(path.absolute(), metadata, dtype, resume, None)
    known: Any = ()
    if target.held is not None and target.held.ids is not None and columns[2] is not None and target.rows:
        ids = {_key(one) for one in target.held.ids[:]}
        if len(ids) < target.rows:
            raise FeatureStoreError(f"the ids in {path} are not different: a run cannot go on by them")
        known = ray.put((ids, target.held.num_features))
    start = 0
    with ExitStack() as stack:
        stack.callback(target.close)
        rows = stack.enter_context(in_order(_Rows(make, columns, known).of(dataset, **run)))
        blocks: Any = rows.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)
        for block in blocks:
            start += _append(target, block, start, bool(known))
    if not start:
        raise ValueError("`dataset` has no rows")
    target.check_end(start)
    return FeatureStore.open(path)


def _append(target: Target, block: Block, start: int, by_ids: bool) -> int:
    count = len(block[_FEATURES])
    there = max(0, min(count, target.rows - start))
    ids = None if _IDS not in block else [_key(one) for one in block[_IDS]]
    flags = block[_KNOWN]
    if by_ids and (not flags[:there].all() or flags[there:].any()):
        raise FeatureStoreError(
            f"rows {start} to {start + count - 1} are in another order than in {target.folder}, or their ids are not "
            "different: a run can go on only with the same rows in the same order"
        )
    features = torch.from_numpy(np.array(block[_FEATURES]))
    target.add(features, start, block.get(_LABELS), ids, compare=not by_ids)
    return count


@contextmanager
def in_order(dataset: Dataset) -> Generator[Dataset]:
    """Read the blocks in the order of the dataset; restore its options afterwards."""
    options: Any = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield dataset
    finally:
        options.preserve_order = before


def load_ray(purpose: str) -> Any:
    """Import the optional package Ray with its Ray Data."""
    try:
        import ray
        import ray.data  # pyright: ignore[reportUnusedImport] - whether it is there
    except ImportError:
        raise MissingExtraError("ray[data]", extra="ray", purpose=purpose) from None
    return ray
