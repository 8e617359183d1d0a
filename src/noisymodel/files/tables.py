"""Tables in files: read columns as text, and write a copy of the file with one column changed.

The formats are CSV (separated by commas, semicolons or tabs), TSV, JSON lines and Parquet; arrays in ``.npy``, ``.npz``
and safetensors files are columns too. Every line or row is read, or an error names the unreadable one.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Protocol, cast

from ..errors import InputFileError, import_extra
from .reading import BYTE_ORDER_MARK, PICKLES, check_file, open_bytes, parse_json, reason, shown, suffix_of, text_lines

TEXT_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
ARRAYS = (".npy", ".npz", ".safetensors")
LINES = ".txt"
KNOWN = ".csv, .tsv, .jsonl, .txt (these also with .gz), .parquet, .npy, .npz or .safetensors"
_SEPARATORS = (",", ";", "\t")
_BATCH = 65536
_LONGEST = 2**31 - 1

Row = tuple[int, tuple[str, ...]]


class Table(Protocol):
    """A file with rows and named columns."""

    path: Path
    unit: str  # the unit of row numbers: lines of the file, or rows from 0

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def values(self, *names: str) -> Iterator[Row]:
        """Yield the number of each row, and its values in the columns ``names`` as text."""
        ...

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """Write the table with new values in the column ``name``, row by row; None keeps a row's value."""
        ...


def open_table(path: str | Path) -> Table:
    """Open a table by the ending of its file; case does not matter.

    Raises:
        InputFileError: the file does not exist, or is not a table.
    """
    file = check_file(Path(path))
    suffix = suffix_of(file)
    packed = file.suffix.lower() == ".gz"
    if suffix in (".csv", ".tsv"):
        return DelimitedTable(file)
    if suffix in (".jsonl", ".ndjson"):
        return JsonTable(file)
    if suffix == LINES:
        return LineTable(file)
    if suffix == ".parquet" and not packed:
        return ParquetTable(file)
    if suffix in ARRAYS and not packed:
        from .arrays import ArrayTable

        return ArrayTable(file)
    if suffix in PICKLES:
        raise InputFileError(f"{shown(file)} may be a pickle, which can run code: save it as {KNOWN}")
    raise InputFileError(f"{shown(file)} is no table that is known: {KNOWN}")


class DelimitedTable:
    """CSV or TSV with a header, in UTF-8.

    The separator of a ``.csv`` file is the comma, semicolon or tab that divides its header into the most columns.
    Quotes are those of CSV. In a file with tabs a row is one line, so an unclosed quote is an error and cannot swallow
    later lines. A written copy keeps the separator, the byte order mark and the line ends of the file.
    """

    unit = "line"

    def __init__(self, path: Path) -> None:
        self.path = path
        csv.field_size_limit(_LONGEST)
        with open_bytes(path) as stream:
            first = next(text_lines(path, stream), "")
        self.separator = "\t" if suffix_of(path) == ".tsv" else _separator(first)
        self._ending = "\r\n" if first.endswith("\r\n") else "\n"

    def columns(self) -> list[str]:
        """See `Table`."""
        with self._reading() as rows:
            return next(rows, (0, []))[1]

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        with self._reading() as rows:
            places = column_places(self.path, next(rows, (0, []))[1], names)
            for number, row in rows:
                yield number, tuple(row[place] for place in places)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`."""
        with self._reading() as rows, _writing(out, like=self.path) as binary:
            file = io.TextIOWrapper(cast("Any", binary), encoding="utf-8", newline="", write_through=True)
            header = next(rows, (0, []))[1]
            (place,) = column_places(self.path, header, (name,))
            writer = csv.writer(file, delimiter=self.separator, lineterminator=self._ending)
            writer.writerow(header)
            for (_, row), value in zip(rows, changed, strict=True):
                if value is not None:
                    row[place] = value
                writer.writerow(row)
            file.detach()

    @contextmanager
    def _reading(self) -> Generator[Iterator[tuple[int, list[str]]]]:
        with open_bytes(self.path) as stream:
            lines = text_lines(self.path, stream)
            yield self._checked(csv.reader(lines, delimiter=self.separator, strict=True))

    def _checked(self, rows: Any) -> Iterator[tuple[int, list[str]]]:
        width, line, place = None, 1, shown(self.path)
        while True:
            try:
                row = cast("list[str] | None", next(rows, None))
            except csv.Error as error:
                raise InputFileError(f"{place}, line {line}: {error}; a quote inside a text is written twice") from None
            if row is None:
                return
            if self.separator == "\t" and rows.line_num > line:
                raise InputFileError(
                    f"{place}, line {line}: a quote opens a text that ends in line {rows.line_num}; where tabs part "
                    "the columns every line is a row; write the quote twice inside quotes, or save the table as .csv"
                )
            width = len(row) if width is None else width
            if len(row) != width:
                raise InputFileError(f"{place}, line {line}: {len(row)} fields, the header has {width}")
            yield line, row
            line = rows.line_num + 1


class LineTable:
    """One text a line, without a header; the only column is called ``label``."""

    unit = "line"

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """See `Table`."""
        return ["label"]

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        column_places(self.path, self.columns(), names)
        for number, line in self._lines():
            yield number, (line.removesuffix("\n").removesuffix("\r"),) * len(names)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`: line ends do not change."""
        column_places(self.path, self.columns(), [name])
        with _writing(out, like=self.path) as file:
            for (_, line), value in zip(self._lines(), changed, strict=True):
                bare = line.removesuffix("\n").removesuffix("\r")
                file.write((line if value is None else value + line[len(bare) :]).encode())

    def _lines(self) -> Iterator[tuple[int, str]]:
        with open_bytes(self.path) as stream:
            yield from enumerate(text_lines(self.path, stream), start=1)


class JsonTable:
    """JSON objects, one a line. Unchanged lines are copied byte by byte."""

    unit = "line"

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """See `Table`: the keys of the first line."""
        for _, _, record in self._records():
            return list(record)
        return []

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        for number, _, record in self._records():
            yield number, tuple(as_text(record.get(name), self.path, f"line {number}", name) for name in names)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`: integers remain integers."""
        with _writing(out, like=self.path) as file:
            for (_, line, record), value in zip(self._records(), changed, strict=True):
                if value is not None:
                    record[name] = alike(record[name], value)
                    line = _encoded(record) + b"\n"
                file.write(line)

    def _records(self) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        with open_bytes(self.path) as stream:
            for number, text in enumerate(text_lines(self.path, stream), start=1):
                try:
                    record = parse_json(text)
                except ValueError as error:
                    raise InputFileError(f"{shown(self.path)}, line {number}: no JSON ({reason(error)})") from None
                if not isinstance(record, dict):
                    raise InputFileError(f"{shown(self.path)}, line {number}: expected a JSON object")
                yield number, text.encode(), cast("dict[str, Any]", record)


class ParquetTable:
    """A Parquet file, read and written in batches; types and other columns do not change."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """See `Table`."""
        return list(self._schema().names)

    def values(self, *names: str) -> Iterator[Row]:
        """See `Table`."""
        column_places(self.path, self.columns(), names)
        row = 0
        for batch in parquet_batches(self.path, list(dict.fromkeys(names)), _BATCH):
            try:
                columns = [batch.column(place).to_pylist() for place in map(batch.schema.get_field_index, names)]
            except (ValueError, ArithmeticError) as error:
                raise InputFileError(f"{shown(self.path)}, from row {row}: {reason(error)}") from None
            for values in zip(*columns, strict=True):
                found = zip(names, values, strict=True)
                yield row, tuple(as_text(value, self.path, f"row {row}", name) for name, value in found)
                row += 1

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`."""
        pyarrow = load_pyarrow()
        from pyarrow import parquet

        schema, values = self._schema(), iter(changed)
        place = schema.get_field_index(name)
        kind = schema.field(place).type
        with parquet.ParquetWriter(out, schema) as writer:
            for batch in parquet_batches(self.path, None, _BATCH):
                own = batch.column(place).to_pylist()
                new = [old if value is None else alike(old, value) for old, value in zip(own, values, strict=False)]
                columns = list(batch.columns)
                columns[place] = pyarrow.array(new, type=kind)
                writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))

    def _schema(self) -> Any:
        with open_parquet(self.path) as file:
            return file.schema_arrow


@contextmanager
def open_parquet(path: Path) -> Generator[Any]:
    """Open a ``pyarrow.parquet.ParquetFile``, read page by page; a damaged file is an `InputFileError` in the block."""
    arrow = load_pyarrow()
    from pyarrow import parquet

    check_file(path)
    try:
        # the buffer makes it a stream of pages; without it whole column chunks are read
        options: dict[str, Any] = {"buffer_size": 1 << 20, "pre_buffer": False, "page_checksum_verification": True}
        with parquet.ParquetFile(path, **options) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        raise InputFileError(f"{shown(path)} is no Parquet file, or damaged ({reason(error)})") from None


def parquet_batches(path: Path, names: Sequence[str] | None, size: int) -> Iterator[Any]:
    """The rows of a Parquet file as record batches of the columns ``names``, or of all columns."""
    with open_parquet(path) as file:
        yield from file.iter_batches(batch_size=size, columns=None if names is None else list(names))


def load_pyarrow() -> Any:
    """Import the optional package pyarrow."""
    return import_extra("pyarrow", extra="tables", purpose="Arrow tables and Parquet files")


def column_places(path: Path, header: Sequence[str], names: Iterable[str]) -> list[int]:
    """The positions of the columns ``names``; each must occur once."""
    for name in names:
        count = list(header).count(name)
        if not count:
            raise InputFileError(f"{shown(path)} has no column {name!r}, only {listed(map(repr, header))}")
        if count > 1:
            raise InputFileError(f"{shown(path)} has {count} columns {name!r}: give each a name of its own")
    return [list(header).index(name) for name in names]


def matching(names: Sequence[str], key: str) -> list[str]:
    """The column called ``key``, or all columns that it matches as a pattern such as ``f*``."""
    return [key] if key in names else [name for name in names if fnmatchcase(name, key)]


def listed(names: Iterable[str], most: int = 8) -> str:
    """List names for a message, at most ``most`` of them."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most])}{more}" if every else "nothing"


def as_text(value: object, path: Path, place: str, name: str) -> str:
    """Return a text unchanged, or an integer in decimal; anything else is an error that names the row."""
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = f"{value[error.start]!r} at character {error.start}"
            raise InputFileError(
                f"{shown(path)}, {place}: {name!r} holds {half}, half of a surrogate pair, which no file can hold"
            ) from None
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    got = "nothing" if value is None else f"{value!r} ({type(value).__name__})"
    raise InputFileError(f"{shown(path)}, {place}: {name!r} must be a text or an integer, got {got[:80]}")


def alike(old: object, new: str) -> str | int:
    """Convert a new text to the type of the old value: an integer if that was one."""
    if isinstance(old, int):
        try:
            return int(new)
        except ValueError:
            return new
    return new


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=lambda one: len(next(csv.reader([header], delimiter=one), [])))


@contextmanager
def _writing(out: Path, *, like: Path) -> Generator[IO[bytes]]:
    """Open a file for writing, with the compression and the byte order mark of the file ``like``."""
    with open_bytes(like) as stream:
        marked = stream.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK
    with out.open("wb") as file:
        packed = like.suffix.lower() == ".gz"
        target = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if packed else file
        if marked:
            target.write(BYTE_ORDER_MARK)
        yield cast("IO[bytes]", target)
        if packed:
            target.close()


def _encoded(record: dict[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate in another column
        return json.dumps(record).encode()
