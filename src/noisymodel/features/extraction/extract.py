"""`extract`: a backbone's features of all samples of a loader, into a feature store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from contextlib import ExitStack, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..._checks import check_choice
from ...errors import FeatureStoreError
from ..store import FeatureStore
from ..store_folder import holds_store
from .backbones import load_backbone
from .inputs import Batch, Prepare, moved, read_batch
from .layers import OUTPUT, as_tensor, caught, check_layers, pooled
from .weights import left_as_it_was, weights_fingerprint

POOLINGS = ("mean", "cls", "last")
_SAME = 1e-3  # relative difference of two passes that is taken for rounding
_STORED = {torch.float16: torch.float16, torch.bfloat16: torch.bfloat16}
_OTHER_SEED = 1


@overload
def extract(
    backbone: nn.Module | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: str | None = ...,
    pooling: str = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    autocast: torch.dtype | None = ...,
    resume: bool = ...,
    check_determinism: bool = ...,
    metadata: dict[str, Any] | None = ...,
    shard_rows: int | None = ...,
    progress: bool = ...,
) -> FeatureStore: ...
@overload
def extract(
    backbone: nn.Module | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: Sequence[str],
    pooling: str = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    autocast: torch.dtype | None = ...,
    resume: bool = ...,
    check_determinism: bool = ...,
    metadata: dict[str, Any] | None = ...,
    shard_rows: int | None = ...,
    progress: bool = ...,
) -> dict[str, FeatureStore]: ...
def extract(
    backbone: nn.Module | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: str | Sequence[str] | None = None,
    pooling: str = "mean",
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    autocast: torch.dtype | None = None,
    resume: bool = True,
    check_determinism: bool = True,
    metadata: dict[str, Any] | None = None,
    shard_rows: int | None = None,
    progress: bool = False,
) -> FeatureStore | dict[str, FeatureStore]:
    """Compute a backbone's features of all samples, and write them, with labels and ids, into a feature store.

    The backbone runs in evaluation mode without gradients, and is left as it was: modes of all parts, device, hooks.

    A run that was killed goes on where its last shard was committed: what is committed is not computed again. For that
    the loader must give the same samples in the same order: the first batch's features, and labels and ids of all
    committed rows are compared.

    Args:
        backbone: a module, or a name: ``"timm:..."``, ``"open_clip:..."``, ``"hf:..."``, see `load_backbone`.
        loader: any iterable of batches, such as a `DataLoader`: a tensor; (inputs, labels); (inputs, labels, ids); or a
            dictionary of the backbone's keywords, with ``labels`` and ``ids`` (or ``label``, ``id``, ``__key__``) among
            them. Inputs may be lists of texts or PIL pictures where the backbone is given by name.
        path: the store's folder; with several layers the folder of the stores, each named as its layer.
        layer: ``None``: the backbone's output. ``"blocks.11"``: the output of that part, by its name in
            `named_modules`; ``"fc:input"``: what goes into it, such as the features before a projection. Several names:
            all of them in one pass (``"output"`` is the backbone's own).
        pooling: (B, T, D) to (B, D): ``"mean"`` over the tokens that the attention mask keeps, ``"cls"``: the first,
            ``"last"``: the last that it keeps. (B, C, H, W) is averaged over H and W.
        device: where to compute; ``None``: where the backbone is.
        dtype: of the store, ``"float32"``, ``"float16"`` or ``"bfloat16"``; ``None``: as computed, float32 for float64.
        autocast: ``torch.bfloat16`` or ``torch.float16``: compute under autocast.
        resume: whether to go on with a store that is there; if not, it is a ``FileExistsError``.
        check_determinism: pass the first batch twice, and with a backbone by name through a second copy of it whose
            missing weights are drawn anew: dropout, or a head that the checkpoint does not hold, is an error.
        metadata: further entries for the store's; ``backbone``, ``weights``, ``transform`` and ``layer`` make up its
            fingerprint and are filled in.
        shard_rows: rows in a shard, see `FeatureStore.create`.
        progress: whether to show a progress bar on stderr.

    Returns:
        The store, open for reading; with several layers a dictionary of them.

    Raises:
        ValueError: no such layer, an output that cannot be pooled, non-finite features, no batches, or features that
            are not the same twice.
        TypeError: batches that are none of the above.
        FeatureStoreError: the store is of another backbone, layer, order or data.

    >>> import tempfile, torch
    >>> from noisymodel.features import extract
    >>> backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> batches = [(torch.ones(2, 2, 2), torch.tensor([0, 1])), (torch.zeros(1, 2, 2), torch.tensor([1]))]
    >>> store = extract(backbone, batches, tempfile.mkdtemp() + "/store", layer="1")
    >>> store.shape, store.labels[:].tolist(), backbone.training
    ((3, 3), [0, 1, 1], True)
    """
    check_choice(pooling, "pooling", POOLINGS)
    names = [layer or OUTPUT] if layer is None or isinstance(layer, str) else list(layer)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`layer` must be different names, at least one, got {names}")
    several = layer is not None and not isinstance(layer, str)
    prepare: Prepare | None = None
    known: dict[str, Any] = {"backbone": _class_name(backbone), "versions": {"torch": torch.__version__}}
    other: nn.Module | None = None
    module = backbone
    if isinstance(module, str):
        loaded = load_backbone(module)
        if check_determinism:
            other = load_backbone(module, seed=_OTHER_SEED).module
        module, prepare, known = loaded.module, loaded.prepare, loaded.metadata
    check_layers(module, names)
    known["versions"]["noisymodel"] = version("noisymodel")
    described = {**known, "weights": weights_fingerprint(module), "autocast": str(autocast), **(metadata or {})}
    run = _Run(module, names, pooling, prepare, autocast, device if device is None else torch.device(device))
    folder = Path(path).absolute()
    folders = {name: folder / name if several else folder for name in names}
    targets = {
        name: _Target(place, described | {"layer": f"{name}, {pooling}"}, dtype, resume, shard_rows)
        for name, place in folders.items()
    }
    with ExitStack() as stack:
        for target in targets.values():
            stack.callback(target.close)
        run.through(loader, targets, other if check_determinism else None, check_determinism, progress)
    stores = {name: FeatureStore.open(place) for name, place in folders.items()}
    return stores if several else stores[names[0]]


def _class_name(backbone: nn.Module | str) -> str:
    return backbone if isinstance(backbone, str) else f"{type(backbone).__module__}.{type(backbone).__qualname__}"


class _Run:
    """One pass over a loader."""

    def __init__(
        self,
        module: nn.Module,
        names: list[str],
        pooling: str,
        prepare: Prepare | None,
        autocast: torch.dtype | None,
        device: torch.device | None,
    ) -> None:
        self.module, self.names, self.pooling, self.prepare = module, names, pooling, prepare
        self.autocast, self.device = autocast, device

    def through(
        self,
        loader: Iterable[Any],
        targets: dict[str, _Target],
        other: nn.Module | None,
        check: bool,
        progress: bool,
    ) -> None:
        done = min(target.rows for target in targets.values())
        total = len(loader) if isinstance(loader, Sized) else None
        start = 0
        with (
            torch.no_grad(),
            left_as_it_was(self.module, self.device) as there,
            caught(self.module, self.names) as held,
        ):
            for given in tqdm(loader, total=total, unit="batch", disable=not progress):
                batch = read_batch(given, self.prepare)
                count = _size(batch)
                if start and start + count <= done:
                    _check_known(targets, start, count, batch)
                else:
                    rows = self.forward(self.module, batch, there, held)
                    if not start and check:
                        self._check(rows, batch, there, held, other)
                    for name, target in targets.items():
                        target.add(rows[name], start, batch)
                start += count
        if not start:
            raise ValueError("`loader` has no batches")
        for target in targets.values():
            target.check_end(start)

    def forward(
        self, module: nn.Module, batch: Batch, device: torch.device, held: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The rows (B, D) of each layer."""
        arguments = [moved(value, device) for value in batch.arguments]
        keywords = {name: moved(value, device) for name, value in batch.keywords.items()}
        context = torch.autocast(device.type, self.autocast) if self.autocast is not None else nullcontext()
        with context:
            output = module(*arguments, **keywords)
        if OUTPUT in self.names:
            held[OUTPUT] = as_tensor(output, OUTPUT)
        missing = [name for name in self.names if name not in held]
        if missing:
            raise ValueError(f"`layer` {missing[0]!r} was not used in the forward pass: name another one")
        rows = {name: pooled(held[name], self.pooling, batch.mask, name) for name in self.names}
        held.clear()
        return rows

    def _check(
        self,
        rows: dict[str, Tensor],
        batch: Batch,
        device: torch.device,
        held: dict[str, Tensor],
        other: nn.Module | None,
    ) -> None:
        again = self.forward(self.module, batch, device, held)
        for name in self.names:
            if _differ(rows[name], again[name]):
                raise ValueError(
                    f"the features of layer {name!r} are not the same when the first batch is passed twice: something "
                    "in the backbone is random in evaluation mode; cure that, or give check_determinism=False"
                )
        if other is None:
            return
        with left_as_it_was(other, device) as there, caught(other, self.names) as fresh:
            drawn = self.forward(other, batch, there, fresh)
        for name in self.names:
            if _differ(rows[name], drawn[name]):
                raise ValueError(
                    f"the features of layer {name!r} depend on weights that the checkpoint does not hold and that are "
                    "drawn at random whenever it is loaded: name another `layer`"
                )


class _Target:
    """The store of one layer, made with the first rows."""

    def __init__(
        self, folder: Path, metadata: dict[str, Any], dtype: Any, resume: bool, shard_rows: int | None
    ) -> None:
        self.folder, self.metadata, self.dtype, self.shard_rows = folder, metadata, dtype, shard_rows
        self.store: FeatureStore | None = None
        self.held: FeatureStore | None = None
        self.rows = 0
        if holds_store(folder):
            if not resume:
                raise FileExistsError(f"{folder} is there and not empty: `resume=True` goes on with it")
            self.held = FeatureStore.open(folder)
            self.held.check_backbone(metadata)
            self.rows = len(self.held)

    def add(self, rows: Tensor, start: int, batch: Batch) -> None:
        """Append a batch's rows, but for those that are there, with which they are compared."""
        labels, ids = _plain(batch.labels), _plain(batch.ids)
        there = max(0, min(len(rows), self.rows - start))
        if there:
            self._compare(rows[:there], start)
            self.compare_columns(start, there, labels, ids)
        if there == len(rows):
            return
        store = self._create(rows) if self.store is None else self.store
        part = slice(there, None)
        store.append(rows[part].detach(), None if labels is None else labels[part], None if ids is None else ids[part])

    def _create(self, rows: Tensor) -> FeatureStore:
        dtype = self.held.dtype if self.held is not None and self.dtype is None else self.dtype
        self.store = FeatureStore.create(
            self.folder,
            num_features=rows.shape[1],
            dtype=dtype if dtype is not None else _STORED.get(rows.dtype, torch.float32),
            metadata=self.metadata,
            append=True,
            shard_rows=self.shard_rows,
        )
        return self.store

    def _compare(self, rows: Tensor, start: int) -> None:
        assert self.held is not None  # noqa: S101 # what there is comes from it
        stored = self.held[start : start + len(rows)].to(rows.device)
        coarse = 0.02 if stored.dtype != torch.float32 else 0.0
        if stored.shape != rows.shape or _differ(stored, rows, _SAME + coarse):
            raise FeatureStoreError(
                f"rows {start} to {start + len(rows) - 1} of {self.folder} are of other samples than the loader's: "
                "a run can go on only with the same data in the same order (no shuffling); or name another folder"
            )

    def compare_columns(self, start: int, count: int, labels: Any, ids: Any) -> None:
        """Raise where labels or ids of rows that are there are not those of the loader."""
        assert self.held is not None  # noqa: S101 # what there is comes from it
        for name, given, column in (("labels", labels, self.held.labels), ("ids", ids, self.held.ids)):
            if given is None and column is None:
                continue
            wanted = None if column is None else _plain(column[start : start + count])
            if given is None or wanted is None or list(given[:count]) != list(wanted):
                raise FeatureStoreError(
                    f"{name} of rows {start} to {start + count - 1} of {self.folder} are not those of the loader: "
                    "a run can go on only with the same data in the same order (no shuffling); or name another folder"
                )

    def check_end(self, count: int) -> None:
        """Raise where the store has more rows than the loader."""
        if count < self.rows:
            raise FeatureStoreError(f"{self.folder} has {self.rows} rows, and the loader only {count}")

    def close(self) -> None:
        """Commit what waits."""
        if self.store is not None:
            self.store.close()


def _check_known(targets: dict[str, _Target], start: int, count: int, batch: Batch) -> None:
    for target in targets.values():
        target.compare_columns(start, count, _plain(batch.labels), _plain(batch.ids))


def _size(batch: Batch) -> int:
    values = [*batch.arguments, *batch.keywords.values()]
    sizes = [len(value) for value in values if isinstance(value, Tensor) and value.ndim]
    if not sizes:
        raise TypeError("a batch of the loader holds no tensor: expected inputs (B, ...), labels and ids")
    return sizes[0]


def _plain(values: Any) -> Any:
    """Labels or ids as an array or a list."""
    if isinstance(values, Tensor):
        return values.cpu().numpy()
    return values if values is None or isinstance(values, np.ndarray) else list(cast("Sequence[Any]", values))


def _differ(first: Tensor, second: Tensor, tolerance: float = _SAME) -> bool:
    difference = (first.double() - second.double()).norm()
    return bool(difference > tolerance * first.double().norm().clamp_min(torch.finfo(torch.float32).tiny))
