"""What a preset is: parts that lie on the disk, and the suite that is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """One published data set: what is wanted of it, and where it comes from."""

    title: str
    files: Sequence[str]
    """What must be there, below the root; patterns with ``*`` and ``{a,b}``."""
    layout: str
    """The same as a tree, for people."""
    source: str
    """Official address."""
    terms: str
    """Licence and registration, as far as they are known."""
    size: str = ""
    notes: str = ""
    folders: Mapping[str, int] = field(default_factory=dict[str, int])
    """Folder -> how many folders of classes it must hold."""


@dataclass(frozen=True)
class PresetTask:
    """A task, and the parts that it needs."""

    declaration: Mapping[str, Any]
    """As in a configuration."""
    parts: Sequence[str]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.declaration["name"]


@dataclass(frozen=True)
class Preset:
    """A named suite, or a part of one."""

    title: str
    description: str
    parts: Mapping[str, Part]
    kind: str = "pictures"
    pretraining: Mapping[str, Any] | None = None
    pretraining_check: Mapping[str, Any] | None = None
    pretraining_parts: Sequence[str] = ()
    tasks: tuple[PresetTask, ...] = ()
