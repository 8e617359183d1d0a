"""The error for a missing library."""

from __future__ import annotations

from ..errors import import_extra


def require(package: str, *, extra: str) -> None:
    """Import ``package``, or raise an error that names its extra."""
    import_extra(package, extra=extra, purpose=f"noisymodel.integrations.{package}")
