"""`extract`: compute a backbone's features of all samples of a loader, and write them into a feature store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..._checks import check_choice
from ..store import FeatureStore
from .backbones import Backbone, load_backbone
from .inputs import Batch, read_batch, size_of
from .layers import OUTPUT, POOLINGS, check_layers
from .passes import Passes
from .ranks import Share, Shared, Whole
from .target import Target, check_folder
from .weights import architecture_fingerprint, precision, weights_fingerprint

_OTHER_SEED = 1


@overload
def extract(
    backbone: nn.Module | Backbone | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: str | None = ...,
    pooling: str | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    autocast: torch.dtype | None = ...,
    resume: bool = ...,
    check_determinism: bool = ...,
    weights: str | None = ...,
    prompt: str | None = ...,
    metadata: dict[str, Any] | None = ...,
    shard_rows: int | None = ...,
    progress: bool = ...,
) -> FeatureStore: ...
@overload
def extract(
    backbone: nn.Module | Backbone | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: Sequence[str],
    pooling: str | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    autocast: torch.dtype | None = ...,
    resume: bool = ...,
    check_determinism: bool = ...,
    weights: str | None = ...,
    prompt: str | None = ...,
    metadata: dict[str, Any] | None = ...,
    shard_rows: int | None = ...,
    progress: bool = ...,
) -> dict[str, FeatureStore]: ...
def extract(
    backbone: nn.Module | Backbone | str,
    loader: Iterable[Any],
    path: str | Path,
    *,
    layer: str | Sequence[str] | None = None,
    pooling: str | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    autocast: torch.dtype | None = None,
    resume: bool = True,
    check_determinism: bool = True,
    weights: str | None = None,
    prompt: str | None = None,
    metadata: dict[str, Any] | None = None,
    shard_rows: int | None = None,
    progress: bool = False,
) -> FeatureStore | dict[str, FeatureStore]:
    """Compute a backbone's features of all samples, and write them, with labels and ids, into a feature store.

    The backbone runs in evaluation mode without gradients; the modes of all parts, the device and the hooks are
    restored afterwards. A killed run resumes after its last committed shard, if the loader gives the same samples in
    the same order. To check this, the features of the first batch and the labels and ids of all committed rows are
    compared.

    Args:
        backbone: a module, a name (``"timm:..."``, ``"open_clip:..."``, ``"hf:..."``, ``"st:..."``, ``"onnx:..."``,
            see `load_backbone`), or the result of `load_backbone`.
        loader: any iterable of batches, such as a `DataLoader`. A batch is a tensor; (inputs, labels);
            (inputs, labels, ids); or a dictionary of the backbone's keywords, which may include ``labels`` and ``ids``
            (or ``label``, ``id``, ``__key__``). For a backbone by name, inputs may be lists of texts or PIL pictures.
        path: the store's folder; with several layers the parent folder of the stores, each named after its layer.
        layer: ``None``: the backbone's output. ``"blocks.11"``: the output of that part, by its name in
            `named_modules`; ``"fc:input"``: its input, such as the features before a projection. Several names:
            all of them in one pass (``"output"`` is the backbone's own). For an ONNX file: tensors of its graph.
        pooling: (B, T, D) to (B, D), over the tokens that the attention mask keeps: ``"mean"``, ``"cls"`` (the first),
            ``"last"``, ``"max"``, and sentence-transformers' ``"mean_sqrt_len_tokens"`` and ``"weightedmean"``. None:
            the pooling, and maybe the normalisation, that the files of a model by name declare; otherwise the mean
            (with a warning for token models of ``"hf:"``). (B, C, H, W) is averaged over H and W.
        device: where to compute; ``None``: the device of the backbone.
        dtype: the dtype of the store, ``"float32"``, ``"float16"`` or ``"bfloat16"``; ``None``: as computed, float32
            for float64.
        autocast: ``torch.bfloat16`` or ``torch.float16``: compute under autocast.
        resume: whether to resume an existing store; if not, an existing store is a ``FileExistsError``.
        check_determinism: pass the first batch twice, and raise if the features differ, for example by dropout. If
            weights of a backbone by name may be missing, the batch also passes a second copy with new random weights
            in their place; so a head that the checkpoint lacks is an error. The copy exists for that batch only.
        weights: a name for the weights, instead of their hash. A module without parameters (one that calls another
            runtime) needs it: without a name its features cannot be compared with others, and comparisons raise.
        prompt: the prompt of a backbone by name, see `load_backbone`.
        metadata: further entries of the store's metadata; ``backbone``, ``weights``, ``transform``, ``layer``,
            ``architecture`` and ``precision`` make up its fingerprint and are filled in.
        shard_rows: rows in a shard, see `FeatureStore.create`; rows are also committed every two minutes.
        progress: whether to show a progress bar on stderr.

    Returns:
        The store, open for reading; with several layers a dictionary of them.

    Raises:
        ValueError: no such layer, an output that cannot be pooled, non-finite features, no batches, features that
            differ between two passes, or, with several ranks, a loader that shuffles.
        TypeError: batches of another form.
        FeatureStoreError: the store is of another backbone, layer, order or data.

    >>> import tempfile, torch
    >>> from noisymodel.features import extract
    >>> backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> batches = [(torch.ones(2, 2, 2), torch.tensor([0, 1])), (torch.zeros(1, 2, 2), torch.tensor([1]))]
    >>> store = extract(backbone, batches, tempfile.mkdtemp() + "/store", layer="1")
    >>> store.shape, store.labels[:].tolist(), backbone.training
    ((3, 3), [0, 1, 1], True)
    """
    names = [layer or OUTPUT] if layer is None or isinstance(layer, str) else list(layer)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`layer` must be different names, at least one, got {names}")
    several = layer is not None and not isinstance(layer, str)
    folder = Path(path).absolute()
    folders = {name: folder / name if several else folder for name in names}
    if isinstance(loader, Sized) and len(loader) == 0:
        raise ValueError("`loader` has no batches")
    for place in folders.values():
        check_folder(place, resume)  # checks before the model is loaded
    loaded, passes, told = begin(backbone, names, pooling, prompt=prompt, weights=weights, autocast=autocast)
    there = device if device is None else torch.device(device)
    targets = [
        Target(place, told[name] | (metadata or {}), dtype, resume, shard_rows) for name, place in folders.items()
    ]
    share = Share.current()
    work = Whole(loader, targets) if share is None else Shared(share, loader, targets)
    quiet = not progress or (share is not None and share.rank > 0)
    with closing(work), passes.ready(there) as forward:
        for start, given, own in tqdm(work, unit="batch", disable=quiet):
            batch = read_batch(given, loaded.prepare)
            count = size_of(given)
            if start and all(start + count <= target.end for target in own):
                for target in own:
                    target.check_columns(start, count, batch.labels, batch.ids)
                continue
            rows = forward(batch)
            if check_determinism and not start:
                passes.check(rows, forward(batch))
                _check_weights(passes, loaded, rows, batch, there)
            for target, values in zip(own, rows.values(), strict=True):
                target.add(values, start, batch.labels, batch.ids)
    work.finish()
    stores = {name: FeatureStore.open(place) for name, place in folders.items()}
    return stores if several else stores[names[0]]


def begin(
    backbone: nn.Module | Backbone | str,
    names: list[str],
    pooling: str | None,
    *,
    prompt: str | None,
    weights: str | None,
    autocast: torch.dtype | None,
) -> tuple[Backbone, Passes, dict[str, dict[str, Any]]]:
    """Load the backbone; return its passes over batches, and the target and metadata of each layer's store."""
    if pooling is not None:
        check_choice(pooling, "pooling", tuple(POOLINGS))
    loaded = _loaded(backbone, prompt, weights, autocast)
    check_layers(loaded.module, names)
    whole = loaded.metadata["backbone"].startswith("st:")  # the model includes its pooling
    if pooling is not None and whole and OUTPUT in names:
        raise ValueError("`pooling` has no part in st: models, which bring their own; hf: takes the tokens themselves")
    passes = Passes(loaded.module, names, pooling, loaded.pooling, autocast, _note(loaded))
    told = {name: f"{name}, own" if whole and name == OUTPUT else passes.described(name) for name in names}
    return loaded, passes, {name: loaded.metadata | {"layer": layer} for name, layer in told.items()}


def _loaded(
    backbone: nn.Module | Backbone | str, prompt: str | None, weights: str | None, autocast: torch.dtype | None
) -> Backbone:
    """Load the backbone, with the metadata of its stores except the layer."""
    if isinstance(backbone, nn.Module):
        name = f"{type(backbone).__module__}.{type(backbone).__qualname__}"
        known: dict[str, Any] = {"backbone": name, "architecture": architecture_fingerprint(backbone)}
        known["versions"] = {"torch": str(torch.__version__)}
        backbone = Backbone(backbone, None, None, known, complete=True)
    elif isinstance(backbone, str):
        backbone = load_backbone(backbone, prompt=prompt)
        prompt = None
    if prompt is not None:
        raise ValueError("`prompt` is for backbones by name: give it to load_backbone")
    found = dict(backbone.metadata)
    found["versions"] = {**found.get("versions", {}), "noisymodel": version("noisymodel")}
    if weights is not None or "weights" not in found:
        found["weights"] = weights or _fingerprint(backbone.module)
    found |= {"autocast": str(autocast), "precision": precision(backbone.module, autocast)}
    return backbone._replace(metadata=found)


def _fingerprint(module: nn.Module) -> str | None:
    if not any(isinstance(value, Tensor) for value in module.state_dict().values()):
        return None
    return weights_fingerprint(module)


def _note(loaded: Backbone) -> str:
    """The warning for the mean over tokens as the default, when the model's own pooling is unknown."""
    name = loaded.metadata["backbone"]
    if not name.startswith("hf:"):
        return ""
    why = "its files do not say how its authors pool"
    if loaded.pooling is not None:
        why = f"its files ask for {loaded.pooling.unknown}, which st: can do (st:{name[3:]})"
    return f"{name}: the mean over all tokens is taken, since {why}; `pooling` ('cls', 'last', ...) says what to take"


def _check_weights(
    passes: Passes, loaded: Backbone, rows: dict[str, Tensor], batch: Batch, device: torch.device | None
) -> None:
    """Raise if the rows depend on weights that the checkpoint may lack: a second copy draws them anew."""
    if not loaded.complete:
        other = load_backbone(loaded.metadata["backbone"], seed=_OTHER_SEED).module
        check_layers(other, passes.names)
        passes.check_other(rows, batch, other, device)
