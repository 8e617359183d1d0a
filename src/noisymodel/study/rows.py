"""The record of a study: tidy rows, spectra, sample pictures, and everything needed to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CLEAN_SHIFT = "none"
"""The value of ``shift`` in rows of the in-domain split."""

PRETRAINING = "pretraining"
"""The value of ``method`` in rows that describe the pre-trained network itself."""

FEATURES = "features"
"""The value of ``method`` in rows that describe the frozen features, before any tuning."""


class Row(NamedTuple):
    """One number of a study; the columns of ``results.csv``.

    ``split`` is ``"id"`` (with ``shift`` ``"none"``) or ``"ood"``. Metrics: ``accuracy`` (fraction) of each tuning
    method, with ``balanced_accuracy``, ``macro_f1``, ``average_precision``, ``log_loss`` and ``calibration_error``;
    ``singular_value_entropy``, ``largest_singular_value_ratio`` and ``effective_rank`` of the frozen features
    (method ``"features"``) and, on the in-domain split, of the features reshaped by a method that reshapes them;
    ``clean_accuracy`` (on held-out images with clean labels) and ``noisy_label_fit`` (the share of the given, noisy
    training labels that the network reproduces) of the pre-trained network (method ``"pretraining"``). ``shots`` is
    0 where no downstream labels are involved.
    """

    data: str
    objective: str
    architecture: str
    noise_kind: str
    noise_rate: float
    method: str
    shots: int
    split: str
    shift: str
    seed: int
    metric: str
    value: float


class CurveRow(NamedTuple):
    """One number of one epoch of tuning; the columns of ``curves.csv``: those of `Row`, and the epoch.

    Metrics: ``training_loss`` (mean over the rows as they were met in training, regularizers included; split ``"id"``)
    and ``accuracy`` on each test set, after the epoch.
    """

    data: str
    objective: str
    architecture: str
    noise_kind: str
    noise_rate: float
    method: str
    shots: int
    split: str
    shift: str
    seed: int
    metric: str
    value: float
    epoch: int
    """From 1."""


class Gap(NamedTuple):
    """Missing numbers, with the reason; the columns are those of `Row`."""

    data: str
    objective: str
    architecture: str
    noise_kind: str
    method: str
    shots: int
    seed: int
    reason: str


class MethodNote(NamedTuple):
    """The texts about a tuning method for tables and figures."""

    name: str
    """Its key in the table of methods and in ``results.csv``, as ``"nmtune_tuned"``."""
    label: str
    """A few words for legends, as ``"NMTune, tuned weights"``."""
    description: str
    """One sentence with the hyper-parameters."""
    role: str
    """``"method"``, ``"baseline"``, ``"control"`` or ``"ablation"``."""
    base: str = ""
    """The method that it is a variation of, for ablations and the variants of a configuration."""


class ShiftNote(NamedTuple):
    """The texts about a distribution shift, and its use."""

    name: str
    description: str
    role: str
    """``"report"``, or ``"tuning"``: used to choose hyper-parameters, and therefore never reported."""


@dataclass(frozen=True)
class StudyRecord:
    """Everything that the report is written from."""

    config: Mapping[str, Any]
    """The full configuration, JSON-ready."""
    methods: tuple[MethodNote, ...]
    shifts: tuple[ShiftNote, ...]
    data_title: str
    """A few words, as ``"procedural glyphs"``."""
    data_description: str
    """A paragraph about the images, the pre-training and the downstream task."""
    table: tuple[Row, ...]
    spectra: Mapping[str, NDArray[np.float64]]
    """``"rate=0.05/seed=7000/id"`` -> singular values of the frozen features of that test set, descending."""
    samples: Mapping[str, NDArray[np.float32]]
    """``"clean"`` and each shift's name -> a few pictures ``(k, height, width)`` in [0, 1], the same objects each."""
    command: str
    """The command that repeats the study."""
    versions: Mapping[str, str]
    seconds: float
    """Wall time."""
    finished: str
    """ISO 8601 date and time, UTC."""
    remarks: tuple[str, ...] = field(default=())
    """Sentences that the page must say, such as known limits of the data source."""
    curves: tuple[CurveRow, ...] = field(default=())
    """Loss and accuracies by epoch, where the configuration asks for them."""
    failures: tuple[str, ...] = field(default=())
    """A line for each part that failed."""
    gaps: tuple[Gap, ...] = field(default=())
    """The numbers missing in the table, with the reasons."""
