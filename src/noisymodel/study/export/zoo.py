"""Export of a study's pre-trained networks, each into its own folder; the export is complete or absent."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch

from ... import __version__
from ...errors import InputFileError, OutputFolderError
from ...files import file_checksum, new_folder
from ..cell import Cell
from ..config import StudyConfig
from ..data import Source
from ..identity import made_with
from ..output_folder import CACHE_FOLDER, CONFIG_FILE, read_claim
from ..part_cache import PartCache
from ..plan import NETWORKS, CellName, Part, Plan, plan
from ..pretraining import Network
from ..pretraining.libraries import transformers_configuration
from ..rows import CLEAN_SHIFT
from .audit import noise_audit
from .card import model_card, overview
from .loading import ARCHITECTURE_FOLDER, AUDIT_FILE, FORMAT, MANIFEST_FILE, STUDY_FILE, WEIGHTS_FILE

CARD_FILE = "README.md"
VOCABULARY_FILE = "vocabulary.json"
LICENCE = "apache-2.0"


class Exported(NamedTuple):
    """The result of an export."""

    path: Path
    networks: tuple[str, ...]
    """Folders in ``path``, one per network."""
    missing: tuple[CellName, ...]
    """Cells of the study without stored networks."""


def export_study(
    folder: str | Path, to: str | Path, *, cache: str | Path | None = None, licence: str | None = None
) -> Exported:
    """Write every pre-trained network of a study, finished or not, into a new folder.

    Each gets a folder of its own with ``model.safetensors``, ``config.json`` (architecture, inputs, settings),
    ``noise_audit.json`` (:mod:`~noisymodel.study.export.audit`), ``README.md`` (a model card), ``vocabulary.json`` (for
    texts and captions) and ``manifest.json`` (SHA-256 of these files). Beside them are ``README.md``, ``study.json``
    (the study's configuration) and a ``manifest.json`` of everything. Nothing is downloaded. The same networks give the
    same files to the byte.

    Args:
        folder: the study's folder, written by ``noisymodel study --out``.
        to: the new folder; it must not exist, or be empty. It appears only when it is complete.
        cache: the study's folder of finished parts, if it is not the one inside ``folder``.
        licence: the licence of the weights, an SPDX identifier. The default is ``"apache-2.0"``, that of the library,
            for generated data, and ``"other"`` for data from files.

    Raises:
        InputFileError: no study in ``folder``, or no stored networks, for example after a change of the library's
            version.
        OutputFolderError: ``to`` is a file or not empty.
    """
    claim = read_claim(Path(folder))
    if claim is None:
        raise InputFileError(f"{str(folder)!r} holds no study: it has no readable {CONFIG_FILE}")
    config = StudyConfig.from_mapping(claim)
    target = Path(to)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputFolderError(f"{str(target)!r} is not empty; choose a new folder for the networks")
    planned = plan(config)
    parts = PartCache(cache or Path(folder) / CACHE_FOLDER)
    there = [name for name in planned.cells if parts.has_networks(planned.pretraining(name))]
    if not there:
        raise InputFileError(
            f"{str(parts.folder)!r} holds no networks of this study that this version of the library made; "
            f"`noisymodel study --resume --out {shlex.quote(str(folder))}` makes them, and `--cache` names another "
            f"folder of parts"
        )
    if target.exists():
        target.rmdir()  # it is empty
    with new_folder(target) as partial:
        cells = (Cell(planned, name, parts) for name in there)
        names = _write_all(partial, planned, cells, licence or _licence(config))
    return Exported(target, names, tuple(name for name in planned.cells if name not in there))


def _licence(config: StudyConfig) -> str:
    return "other" if config.data == "suite" else LICENCE


def _write_all(folder: Path, planned: Plan, cells: Iterable[Cell], licence: str) -> tuple[str, ...]:
    records = [record for cell in cells for record in _write_cell(folder, cell, licence)]
    config = planned.config.to_dict()
    _write_json(folder / STUDY_FILE, config)
    (folder / CARD_FILE).write_text(overview(planned.source, records, licence), encoding="utf-8")
    described = [{key: record[key] for key in _IN_THE_LIST} for record in records]
    write_manifest(folder, {"study": config, "versions": made_with(), "networks": described})
    return tuple(record["folder"] for record in records)


_IN_THE_LIST = ("folder", "objective", "architecture", "noise_kind", "noise_rate", "seed")


def _write_cell(folder: Path, cell: Cell, licence: str) -> Iterator[dict[str, Any]]:
    """Write the networks of a cell, one per noise rate."""
    trained = cell.stored_networks()
    if trained is None:
        raise InputFileError(f"the networks of {cell.name} are damaged in {str(cell.cache.folder)!r}: delete them")
    numbers = _numbers(cell)
    for index, rate in enumerate(cell.rates):
        record = _described(cell, trained.network, rate, folder)
        audit = noise_audit(cell.request, rate)
        place = folder / record["folder"]
        place.mkdir()
        weights = {name: value.contiguous() for name, value in trained.states[index].items()}
        (place / WEIGHTS_FILE).write_bytes(safetensors.torch.save(weights, {"format": "pt"}))
        _write_json(place / CONFIG_FILE, record)
        _write_json(place / AUDIT_FILE, audit)
        spelling = getattr(cell.source, "spelling", ())
        if spelling:
            _write_json(place / VOCABULARY_FILE, list(spelling))
        library, _, name = cell.name.architecture.partition(":")
        if library == "transformers":  # loading must not need the folder, or the Hub
            transformers_configuration(name, local=True).save_pretrained(place / ARCHITECTURE_FOLDER)
        checks = numbers.get(rate, {})
        (place / CARD_FILE).write_text(model_card(record, audit, checks, cell.source, licence), encoding="utf-8")
        write_manifest(place, {})
        yield {**record, "audit": audit, "checks": checks}


def _described(cell: Cell, network: Network, rate: float, folder: Path) -> dict[str, Any]:
    """The content of a network's ``config.json``; its own folder is to be a new one in ``folder``."""
    name, request, config = cell.name, cell.request, cell.plan.config
    captions = request.examples.captions
    architecture = _without_folder(name.architecture)
    return {
        "format": FORMAT,
        "library_version": __version__,
        "folder": _new_name(folder, f"{name.objective} {architecture} {name.noise_kind} {rate:.15g} seed{name.seed}"),
        "name": _without_folder(network.name),
        "objective": name.objective,
        "architecture": architecture,
        "noise_kind": name.noise_kind,
        "noise_rate": rate,
        "seed": name.seed,
        "data": {"source": config.data, "options": dict(config.data_options), "title": cell.source.title},
        "inputs": _inputs(cell.source, tuple(request.examples.inputs.shape[1:])),
        "caption_length": 0 if captions is None else captions.shape[1],
        "vocabulary": cell.source.vocabulary,
        "classes": cell.source.pretraining_classes,
        "num_features": network.num_features,
        "pretraining": request.config.training(),
        "loading": "noisymodel.study.load_exported(folder).features(inputs)",
    }


def _inputs(source: Source, shape: tuple[int, ...]) -> dict[str, Any]:
    """The inputs of the network, and their preparation."""
    if source.kind == "texts":
        return {"kind": "token ids", "dtype": "int64", "shape": list(shape), "padding": 0}
    return {
        "kind": "pictures",
        "dtype": "float32",
        "shape": list(shape),
        "axes": ["height", "width"] if len(shape) == 2 else ["channels", "height", "width"],
        "range": [0.0, 1.0],
        "normalization": "none outside the network",
    }


def _without_folder(architecture: str) -> str:
    """The name of an architecture; of a local folder only its last part."""
    library, colon, name = architecture.partition(":")
    return f"{library}:{Path(name).name}" if colon and Path(name).is_dir() else architecture


def _new_name(folder: Path, text: str) -> str:
    """A new name in ``folder``, of letters, digits, points and hyphens."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", text)
    names = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
    return next(name for name in names if not (folder / name).exists())


def _numbers(cell: Cell) -> dict[float, dict[str, float]]:
    """Rate -> in-domain numbers of its network and of its features by name; of each task where there are several."""
    found: dict[float, dict[str, float]] = {}
    for part in (NETWORKS, *(Part("features", task) for task in cell.tasks)):
        values = cell.plan.stored(cell.name, part, cell.cache)
        suffix = f" ({part.task})" if len(cell.tasks) > 1 and part.task else ""
        for rate, shift, metric, value in values.numbers if values is not None else ():
            if shift == CLEAN_SHIFT:
                found.setdefault(rate, {})[metric + suffix] = value
    return found


def write_manifest(folder: Path, record: Mapping[str, Any]) -> None:
    """``manifest.json`` with the SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    checksums = {path.relative_to(folder).as_posix(): file_checksum(path) for path in files}
    _write_json(
        folder / MANIFEST_FILE, {"format": FORMAT, "library_version": __version__, **record, "files": checksums}
    )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
