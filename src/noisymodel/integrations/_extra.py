"""The one error of a missing library."""

from __future__ import annotations

from ..errors import import_extra


def require(package: str, *, extra: str) -> None:
    """Import ``package`` or say which extra brings it."""
    import_extra(package, extra=extra, purpose=f"noisymodel.integrations.{package}")
