"""A model of a disk: what a process did to a folder, cut off at any step, as a kill or a power cut would leave it.

A kill leaves what was done. A power cut may also lose what was not synchronised: the bytes of a file since its last
fsync, and any of the changes of names since the last fsync of their folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest


class Dead(BaseException):
    """The process has been killed: nothing it would still do happens."""


@dataclass
class Recorder:
    """Lets `os` work, notes what it does below a folder, and kills the process at a step."""

    folder: Path
    kill_at: int | None = None
    share_written: float = 0.0  # of the bytes of the write that the process dies in
    log: list[tuple[Any, ...]] = field(default_factory=list)
    _handles: dict[int, Path] = field(default_factory=dict)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        real = {name: getattr(os, name) for name in ("open", "write", "fsync", "close", "replace", "unlink")}

        def opened(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
            if self._mine(path):
                self._step("create" if flags & os.O_CREAT else "folder", Path(path))
            handle = real["open"](path, flags, mode, **options)
            if self._mine(path):
                self._handles[handle] = Path(path)
            return handle

        def write(handle: int, content: Any) -> int:
            if handle not in self._handles:
                return real["write"](handle, content)
            if self.kill_at == len(self.log):
                real["write"](handle, bytes(content)[: int(len(content) * self.share_written)])
            self._step("write", self._handles[handle], bytes(content))
            return real["write"](handle, content)

        def fsync(handle: int) -> None:
            if handle in self._handles:
                self._step("fsync", self._handles[handle])

        def close(handle: int) -> None:
            self._handles.pop(handle, None)
            real["close"](handle)

        def replace(source: Any, target: Any) -> None:
            if self._mine(target):
                self._step("replace", Path(source), Path(target))
            real["replace"](source, target)

        def unlink(path: Any, **options: Any) -> None:
            if self._mine(path):
                self._step("unlink", Path(path))
            real["unlink"](path, **options)

        for function in (opened, write, fsync, close, replace, unlink):
            patch.setattr(os, "open" if function is opened else function.__name__, function)

    def mark(self, note: str, value: int) -> None:
        """Note what the caller was told at this point."""
        self.log.append((note, value))

    def _mine(self, path: Any) -> bool:
        return isinstance(path, (str, Path)) and Path(path).is_relative_to(self.folder)

    def _step(self, *step: Any) -> None:
        if self.kill_at is not None and len(self.log) >= self.kill_at:
            raise Dead
        self.log.append(step)


@dataclass
class _File:
    content: bytes = b""
    safe: bytes | None = None  # as of the last fsync


def after_power_cut(log: list[tuple[Any, ...]]) -> Iterator[dict[str, bytes]]:
    """Each folder (names and contents) that may be found after the steps of ``log`` and a power cut."""
    names: dict[str, _File] = {}
    safe_names: dict[str, _File] = {}
    waiting: list[tuple[str, ...]] = []  # changes of names that are not safe
    for step, *details in log:
        if step == "create":
            name = details[0].name
            names[name] = _File()
            waiting.append(("set", name))
        elif step == "write":
            names[details[0].name].content += details[1]
        elif step == "fsync" and details[0].name in names:
            file = names[details[0].name]
            file.safe = file.content
        elif step == "fsync":
            safe_names, waiting = dict(names), []
        elif step == "replace":
            source, target = (path.name for path in details)
            names[target] = names.pop(source)
            waiting += [("set", target), ("drop", source)]
        elif step == "unlink":
            names.pop(details[0].name, None)
            waiting.append(("drop", details[0].name))
    for applied in _subsets(waiting):
        found = dict(safe_names)
        for kind, name in applied:
            if kind == "drop":
                found.pop(name, None)
            elif name in names:
                found[name] = names[name]
        for lost in (b"", None):
            yield {name: _kept(file, lost) for name, file in found.items()}


def _kept(file: _File, lost: bytes | None) -> bytes:
    if file.safe == file.content:
        return file.content
    return lost if lost is not None else bytes(len(file.content))


def _subsets(changes: list[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], ...]]:
    return chain.from_iterable(combinations(changes, size) for size in range(len(changes) + 1))
