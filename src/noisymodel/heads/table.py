"""The heads by name: for everything that makes a head of a name and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType

from .base import Head
from .nmtune import MLPProbe, NMTune, SpectralProbe
from .probes import LinearProbe

HEADS: Mapping[str, type[Head]] = MappingProxyType(
    {"nmtune": NMTune, "mlp": MLPProbe, "linear": LinearProbe, "spectral": SpectralProbe}
)
"""Name of a head -> its class."""

_NO_SETTINGS = frozenset({"in_features", "num_classes", "generator"})


def settings_of(head: type[Head]) -> tuple[str, ...]:
    """The names of a head's settings: its arguments, but its widths and what draws its initial weights.

    >>> settings_of(LinearProbe)
    ('normalize', 'label_smoothing', 'gather', 'classifier_init')
    """
    return tuple(name for name in inspect.signature(head).parameters if name not in _NO_SETTINGS)
