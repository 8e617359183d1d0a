"""Class labels in files: every command maps a text to the same class, and writes the same text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .reading import PICKLES, check_file, shown, suffix_of
from .tables import ARRAYS, TEXT_TABLES, LineTable, Table, listed, open_table

NAMES = ("label", "labels", "target", "targets", "y")  # the default names of the column; the first that exists is used
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_REFUSED = (*PICKLES, ".json", ".xlsx", ".xls", ".zip", ".tar")


@dataclass(frozen=True, eq=False)
class LabelFile:
    """The labels of a file: N class ids, and the texts of the K classes in the file.

    Attributes:
        path: the file.
        codes: (N,) int64, the class id of each row, in [0, K).
        classes: K different texts, exactly as in the file; see `class_order`.

    >>> found = LabelFile(Path("x.csv"), np.array([1, 0, 1]), ("9", "10"))
    >>> found.values.tolist(), found.labels.tolist(), found.encode(["10", 9]).tolist(), found.decode([0]).tolist()
    (['10', '9', '10'], [10, 9, 10], [1, 0], ['9'])
    """

    path: Path
    codes: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def values(self) -> npt.NDArray[np.str_]:
        """(N,) texts, exactly as in the file."""
        return self.decode(self.codes)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """(N,) labels for a classifier: int64 if every class is an integer, else the texts."""
        numbers = integers_of(self.classes)
        return self.values if numbers is None else numbers[self.codes]

    def encode(self, labels: Iterable[object]) -> npt.NDArray[np.int64]:
        """The class ids of labels, texts or integers.

        Raises:
            ValueError: a label that the file does not hold.
        """
        ids = {name: index for index, name in enumerate(self.classes)}
        texts = [label_text(label) for label in labels]
        unknown = list(dict.fromkeys(text for text in texts if text not in ids))
        if unknown:
            raise ValueError(f"{listed(map(repr, unknown))} is no class of {shown(self.path)}, which has "
                             f"{listed(map(repr, self.classes))}")  # fmt: skip
        return np.array([ids[text] for text in texts], dtype=np.int64)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.str_]:
        """The texts of class ids."""
        return np.array(self.classes, dtype=np.str_)[np.asarray(ids, dtype=np.int64)]


def read_labels(path: str | Path, *, column: str | None = None) -> LabelFile:
    r"""Read the labels (N,) in a file, each as its exact text.

    The formats are: CSV (separated by commas, semicolons or tabs), TSV and JSON lines, also with ``.gz``, in UTF-8 with
    or without a byte order mark; Parquet; an array of integers or texts in ``.npy``, ``.npz`` or safetensors. Any other
    file has one label a line. A label keeps its spaces, zeros and case.

    Args:
        path: the file; `noisymodel.features.opening.read_labels` takes feature stores too.
        column: the column of a table, or the array of an archive; None: the first existing one of ``label``,
            ``labels``, ``target``, ``targets`` and ``y``, or the only one.

    Raises:
        InputFileError: no such file or column; no labels; or a label that is missing, neither a text nor an integer,
            or differs from another label only in spaces at its ends. The message names the line or row.
        MissingExtraError: the file is a Parquet file, and pyarrow is not installed.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels.CSV"
    >>> _ = file.write_bytes(b"\xef\xbb\xbfid;label\n1;10\n2;9\n3;-1\n")
    >>> found = read_labels(file)
    >>> found.classes, found.codes.tolist()
    (('-1', '9', '10'), [2, 1, 0])
    """
    file = check_file(Path(path))
    suffix = suffix_of(file)
    if suffix in (*TEXT_TABLES, *ARRAYS, ".parquet"):
        table = open_table(file)
        name = label_column(table, column)
        return collect_labels(file, ((number, text) for number, (text,) in table.values(name)), table.unit)
    if suffix in _REFUSED:
        raise InputFileError(f"{shown(file)} is no file of labels: give a table, an array, or one label a line")
    if column is not None:
        raise InputFileError(f"{shown(file)} has one label a line and no columns, so none called {column!r}")
    return collect_labels(file, ((number, text) for number, (text,) in LineTable(file).values("label")), "line")


def label_column(table: Table, name: str | None, wanted: Sequence[str] = NAMES) -> str:
    """The column of the labels: the named one, the first existing one of ``wanted``, or the only one."""
    present = table.columns()
    if name is None:
        found = [one for one in wanted if one in present] or (present if len(present) == 1 else [])
        name = found[0] if found else wanted[0]
    if name not in present:
        raise InputFileError(f"{shown(table.path)} has no column {name!r}, only {listed(map(repr, present))}: name one")
    return name


def collect_labels(path: Path, numbered: Iterable[tuple[int | str, str]], unit: str) -> LabelFile:
    """Collect labels from pairs (number of the row, text); ``unit`` says what the numbers count."""
    known: dict[str, int] = {}
    first: list[int | str] = []
    codes = array("q")
    for number, text in numbered:
        code = known.get(text)
        if code is None:
            place = f"{shown(path)}, {unit} {number}"
            if not text.strip():
                raise InputFileError(f"{place}: the label is missing")
            if "\n" in text or "\r" in text:
                raise InputFileError(f"{place}: the label {text[:40]!r} has a line break: is a quote not closed?")
            code = known[text] = len(first)
            first.append(number)
        codes.append(code)
    if not known:
        raise InputFileError(f"{shown(path)} has no rows, so no labels")
    _refuse_spaces(path, known, first, unit)
    classes = class_order(known)
    ids = np.empty(len(classes), dtype=np.int64)
    ids[[known[name] for name in classes]] = np.arange(len(classes))
    return LabelFile(path, ids[np.frombuffer(codes, dtype=np.int64)], tuple(classes))


def class_order(classes: Iterable[object]) -> list[str]:
    """Sort the texts of classes: by value if all are numbers, else by their letters.

    >>> class_order(["10", "9", "-1"]), class_order([2, 10]), class_order(["b", "B", "a"])
    (['-1', '9', '10'], ['2', '10'], ['B', 'a', 'b'])
    """
    texts = {label_text(label) for label in classes}
    if all(_INTEGER.fullmatch(text) for text in texts):
        return sorted(texts, key=lambda text: (int(text), text))
    if all(_NUMBER.fullmatch(text) for text in texts):
        return sorted(texts, key=lambda text: (float(text), text))
    return sorted(texts)


def label_text(label: object) -> str:
    """The text of a label in a file: a text does not change, an integer is written in decimal.

    Raises:
        TypeError: for any other type, including truth values and floats.

    >>> label_text("007"), label_text(7), label_text(np.int64(7))
    ('007', '7', '7')
    """
    if isinstance(label, str):
        return str(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return str(int(label))
    raise TypeError(f"a label must be a text or an integer, got {label!r} ({type(label).__name__})")


def integers_of(classes: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """The classes as int64, if every class is the decimal text of an integer; else None.

    >>> integers_of(["1", "20"]), integers_of(["01", "20"])
    (array([ 1, 20]), None)
    """
    if not all(_INTEGER.fullmatch(name) and str(int(name)) == name for name in classes):
        return None
    numbers = [int(name) for name in classes]
    return np.array(numbers, dtype=np.int64) if all(-(2**63) <= number < 2**63 for number in numbers) else None


def _refuse_spaces(path: Path, known: dict[str, int], first: Sequence[int | str], unit: str) -> None:
    """Refuse two classes that differ only in spaces: only the author of the file knows which one is right."""
    bare: dict[str, str] = {}
    for text in known:
        other = bare.setdefault(text.strip(), text)
        if other != text:
            raise InputFileError(
                f"{shown(path)}: the labels {other!r} ({unit} {first[known[other]]}) and {text!r} ({unit} "
                f"{first[known[text]]}) differ in spaces at their ends alone: make them one, or tell them apart"
            )
