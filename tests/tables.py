"""A table of cases in one test: what fails names its case, and collection does not grow with the table."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def over(table: Mapping[str, Any], argument: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Calls a test with each value of the table as ``argument``; a ``tmp_path`` is a folder of the case's own."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        parameters = inspect.signature(test).parameters

        @functools.wraps(test)
        def whole(**fixtures: Any) -> None:
            assert table
            for number, (name, value) in enumerate(table.items()):
                own = dict(fixtures)
                if "tmp_path" in own:
                    own["tmp_path"] = fixtures["tmp_path"] / str(number)
                    own["tmp_path"].mkdir()
                try:
                    test(**own, **{argument: value})
                except BaseException as error:
                    error.add_note(f"in the case {name!r} of `{argument}`")
                    raise

        kept = [parameter for name, parameter in parameters.items() if name != argument]
        whole.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined] - what pytest reads
        return whole

    return decorate
