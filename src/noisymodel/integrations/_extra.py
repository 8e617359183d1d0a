"""The one error of a missing library."""

from __future__ import annotations

from importlib import import_module

from ..errors import MissingExtraError


def require(package: str, *, extra: str) -> None:
    """Import ``package`` or say which extra brings it; a package that is there and broken keeps its own error."""
    try:
        import_module(package)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra=extra, purpose=f"noisymodel.integrations.{package}") from None
