"""Verification of an audit: draw the noise again and compare every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from .injection import Subset
from .inputs import Labels, as_numpy
from .instance import instance_dependent
from .open_set_noise import open_set
from .posterior import posterior_dependent
from .result import NoisyLabels
from .specification import INJECTORS, from_json
from .targets import multi_label, with_top_classes

METHODS: dict[str, Callable[..., NoisyLabels]] = {
    **INJECTORS,
    "instance_dependent": instance_dependent,
    "posterior_dependent": posterior_dependent,
    "open_set": open_set,
    "multi_label": multi_label,
}
_UNCHECKED = {"library_version", "inputs", "after"}  # inputs and earlier noise have their own checksums


def verify(audit: Mapping[str, Any], labels: Labels, *, subset: Subset | None = None, **inputs: Any) -> NoisyLabels:
    """Draw the noise of an audit again and compare every entry.

    Args:
        audit: the dictionary of :meth:`NoisyLabels.audit`, also after a round trip through JSON.
        labels: the clean labels; for `soft_label` the clean soft labels.
        subset: the mask, if the noise had one. (In noise on noise, every step with a subset gets the same mask.)
        inputs: the arrays of which the audit holds only a checksum: ``features``, ``posterior``, ``prototypes``,
            ``counts``, or ``matrix``.

    Returns:
        The noisy labels, equal to those of the audit.

    Raises:
        ValueError: labels, a subset or an input other than the audit's; a missing array; a noisy label or a figure
            that differs; a method that this version does not know.

    >>> from noisymodel.noise import symmetric
    >>> audit = symmetric([0, 1, 2, 0], 0.5, seed=1).audit()
    >>> verify(audit, [0, 1, 2, 0]).labels
    array([2, 0, 2, 0])
    >>> verify(audit, [0, 1, 2, 1])
    Traceback (most recent call last):
    ValueError: `audit` is of other labels: its clean_checksum is ...
    """
    _check_audit(audit)
    if isinstance(audit["inputs"], Mapping) and "soft" in audit["inputs"]:
        return _verify_soft(audit, labels, subset, inputs)
    method = audit.get("method")
    if method not in METHODS:
        raise ValueError(f"`audit` is of method {method!r}; this version knows {', '.join(METHODS)}")
    before = audit.get("after")
    given: Any = labels if before is None else verify(before, labels, subset=subset, **inputs)
    options: dict[str, Any] = {name: from_json(name, value) for name, value in audit["parameters"].items()}
    chosen = audit.get("subset")
    if chosen is not None and "classes" in chosen:
        options["classes"] = chosen["classes"]
    if chosen is not None and "checksum" in chosen:
        if subset is None:
            raise ValueError("`subset` must be given: the audit is of noise on a subset and has only its checksum")
        options["subset"] = subset
    elif subset is not None and not audit.get("after"):
        raise ValueError("`subset` must be None: the audit is of noise on all samples, or on `classes`")
    arrays = {name: _input(name, known, inputs) for name, known in audit["inputs"].items()}
    again = METHODS[method](given, **options, **arrays, seed=audit["seed"])
    _compare(audit, again.audit())
    return again


def _check_audit(audit: object) -> None:
    if not isinstance(audit, Mapping):
        raise TypeError(f"`audit` must be a dictionary, as .audit() gives it, got {type(audit).__name__}")
    known = cast("Mapping[Any, Any]", audit)
    for name in ("method", "parameters", "inputs", "seed"):
        if name not in known:
            raise ValueError(f"`audit` must have the key {name!r}, as .audit() gives it, got {sorted(map(str, known))}")


def _verify_soft(
    audit: Mapping[str, Any], targets: Any, subset: Subset | None, inputs: Mapping[str, Any]
) -> NoisyLabels:
    """Verify soft labels: draw the noise of their top classes, then apply it to the soft labels."""
    array = as_numpy(targets)
    if array.ndim != 2:
        raise ValueError(f"`labels` must be the clean soft labels (N, K), got shape {array.shape}")
    others = {name: known for name, known in audit["inputs"].items() if name != "soft"}
    hard = verify({**audit, "inputs": others}, array.argmax(axis=1), subset=subset, **inputs)
    again = with_top_classes(targets, hard)
    found, wanted = again.audit()["inputs"]["soft"], audit["inputs"]["soft"]
    if found != wanted:
        raise ValueError(f"`audit` is of other soft labels: it has {wanted}, these labels give {found}")
    return again


def _input(name: str, known: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    if "values" in known:
        return np.array(known["values"])
    if name not in inputs:
        raise ValueError(f"`{name}` must be given: the audit has only its checksum")
    return inputs[name]


def _compare(audit: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    if audit["clean_checksum"] != again["clean_checksum"]:
        raise ValueError(
            f"`audit` is of other labels: its clean_checksum is {audit['clean_checksum']}, that of the labels "
            f"{again['clean_checksum']}"
        )
    for name, known in audit["inputs"].items():
        found = again["inputs"][name]["checksum"]
        if known["checksum"] != found:
            raise ValueError(
                f"`audit` does not hold with this `{name}`: its checksum is {found}, in the audit {known['checksum']}"
            )
    for name, value in again.items():
        if name not in _UNCHECKED and audit.get(name) != value:
            raise ValueError(f"`audit` does not hold: its {name} is {audit.get(name)!r}, drawn again {value!r}")
