"""Exceptions of this library; everything else is a ``ValueError`` or a ``TypeError``."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class MissingExtraError(ImportError):
    """An optional package is needed and not installed.

    The message names the package and the extra of ``noisymodel`` that brings it.

    >>> from noisymodel.errors import MissingExtraError
    >>> str(MissingExtraError("matplotlib", extra="study", purpose="the study's figures"))
    "`matplotlib` is needed for the study's figures: pip install 'noisymodel[study]'"
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"`{package}` is needed for {purpose}: pip install 'noisymodel[{extra}]'", name=package)
        self.package, self.extra, self.purpose = package, extra, purpose

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(MissingExtraError, extra=self.extra, purpose=self.purpose), (self.package,), self.__dict__


def import_extra(package: str, *, extra: str, purpose: str) -> Any:
    """An optional package, imported.

    Raises:
        MissingExtraError: it is not installed; a package that is there and broken keeps its own error.
    """
    try:
        return import_module(package)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra=extra, purpose=purpose) from None


def check_extra(package: str, *, extra: str, purpose: str) -> None:
    """Raise a `MissingExtraError` unless an optional package is installed; it is not imported."""
    if find_spec(package) is None:
        raise MissingExtraError(package, extra=extra, purpose=purpose)


class ConfigError(ValueError):
    """A study's configuration is wrong; the message is one line and names the key."""


class MissingDataError(ConfigError):
    """Files that a study needs are not there; a first line that names the key, then each, where to get it and how."""


class InputFileError(ValueError):
    """An input file is invalid; one line names the file, the place in it and the cure."""


class FeatureStoreError(InputFileError):
    """A folder is no feature store, a file of one is damaged, or another writer has it; one line with its name."""


class EmbeddingError(RuntimeError):
    """An embedding endpoint failed for good, or its reply is invalid; one line, never with a key."""


class SpendLimitError(EmbeddingError):
    """The next request would exceed the spending limit; earlier replies are kept."""


class StudyError(RuntimeError):
    """A part of a study failed; the message is one line."""


class MissingClassesWarning(UserWarning):
    """The number of classes was counted as the largest label + 1, and some of these classes have no sample."""


class StudyWarning(UserWarning):
    """Some cells of a study failed and are left out of its results."""


class OutputFolderError(FileExistsError):
    """The output folder of a study holds something that must not be overwritten; one line that says what to do."""
