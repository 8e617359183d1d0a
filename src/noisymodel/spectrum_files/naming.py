"""The files of an analysis and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A file with its name and path, and the array in it."""

    name: str
    path: Path
    key: str | None


def sources_of(
    files: str | Path | Sequence[str | Path] | Mapping[str, str | Path], keys: Sequence[str]
) -> list[Source]:
    """One source for each file and key, each with a unique name.

    The name of a source is the file's name without ending, with as many of its folders as make it unique; with several
    keys the key is added.

    Raises:
        ValueError: no files, or a name for two of them.
    """
    if isinstance(files, (str, Path)):
        files = [files]
    if not files:
        raise ValueError("`files` must hold at least one file, got none")
    if isinstance(files, Mapping):
        named = {str(name): Path(path) for name, path in files.items()}
    else:
        paths = list(dict.fromkeys(Path(file) for file in files))
        named = dict(zip(short_names(paths), paths, strict=True))
    chosen: Sequence[str | None] = list(dict.fromkeys(keys)) or [None]
    several = len(chosen) > 1
    alone = several and len(named) == 1 and not isinstance(files, Mapping)
    return [
        Source((str(key) if alone else f"{name}:{key}") if several else name, path, key)
        for name, path in named.items()
        for key in chosen
    ]


def baseline_of(sources: Sequence[Source], baseline: str | Path | None) -> Source | None:
    """The source of the baseline: one of the sources by name or path, or another file."""
    if baseline is None:
        return None
    by_name = [source for source in sources if source.name == str(baseline)]
    by_path = [source for source in sources if source.path.resolve() == Path(baseline).resolve()]
    for found in (by_name, by_path):
        if len(found) > 1:
            raise ValueError(f"`baseline` must be one of {', '.join(source.name for source in found)}, got {baseline}")
        if found:
            return found[0]
    key = sources[0].key if len({source.key for source in sources}) == 1 else None
    name = Path(baseline).stem
    return Source(name if name not in {source.name for source in sources} else str(baseline), Path(baseline), key)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest final parts of the paths, without ending, that are all different."""
    if not paths:
        return []
    resolved = [path.resolve() for path in paths]
    bare = [(*path.parts[:-1], path.stem if path.suffix and not path.is_dir() else path.name) for path in resolved]
    for length in range(1, max(map(len, bare)) + 1):
        names = ["/".join(parts[-length:]) for parts in bare]
        if len(set(names)) == len(names):
            return names
    full = [path.name for path in paths]  # these paths differ only in their ending
    return full if len(set(full)) == len(full) else [str(path) for path in paths]


def noise_rates(names: Sequence[str]) -> list[float] | None:
    """The names as noise rates, if all are different numbers in [0, 1]; else None."""
    try:
        rates = [float(name) for name in names]
    except ValueError:
        return None
    good = len(set(rates)) == len(rates) and all(0 <= rate <= 1 for rate in rates)
    return rates if good else None
