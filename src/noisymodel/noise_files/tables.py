"""Tables in files: one column read as text, and the file written anew with that column changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from ..errors import InputFileError, MissingExtraError

csv.field_size_limit(2**31 - 1)

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH = 65536


class Table(Protocol):
    """A file with rows and named columns."""

    path: Path

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def values(self, *names: str) -> Iterator[tuple[str, ...]]:
        """The columns ``names`` of each row, as text."""
        ...

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """The same table with the column ``name`` changed, row by row; None leaves a row as it is."""
        ...


def open_table(path: Path) -> Table:
    """A table by the suffix of its file: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.

    Raises:
        InputFileError: there is no such file, or it is none of these.
    """
    if not path.is_file():
        raise InputFileError(f"there is no file {path}")
    suffix = path.suffix.lower()
    if suffix in _DELIMITERS:
        return DelimitedTable(path, _DELIMITERS[suffix])
    if suffix in {".jsonl", ".ndjson"}:
        return JsonTable(path)
    if suffix == ".parquet":
        return ParquetTable(path)
    raise InputFileError(f"{path} is no table that is known: .csv, .tsv, .jsonl, .parquet, or .tar shards")


class DelimitedTable:
    """CSV or TSV with a header, UTF-8. Quotes are written where they are needed, lines end as the header's does."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self.path, self.delimiter = path, delimiter

    def columns(self) -> list[str]:
        """See `Table`."""
        with self._reading() as rows:
            return next(rows, (0, []))[1]

    def values(self, *names: str) -> Iterator[tuple[str, ...]]:
        """See `Table`."""
        with self._reading() as rows:
            places = _places(self.path, next(rows, (0, []))[1], names)
            for _, row in rows:
                yield tuple(row[place] for place in places)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`."""
        ending = "\r\n" if _first_line(self.path).endswith(b"\r\n") else "\n"
        with self._reading() as rows, out.open("w", encoding="utf-8", newline="") as file:
            header = next(rows, (0, []))[1]
            (place,) = _places(self.path, header, (name,))
            writer = csv.writer(file, delimiter=self.delimiter, lineterminator=ending)
            writer.writerow(header)
            for (_, row), value in zip(rows, changed, strict=True):
                if value is not None:
                    row[place] = value
                writer.writerow(row)

    @contextmanager
    def _reading(self) -> Generator[Iterator[tuple[int, list[str]]]]:
        with self.path.open(encoding="utf-8", newline="") as file:
            yield self._checked(csv.reader(file, delimiter=self.delimiter, strict=True))

    def _checked(self, rows: Any) -> Iterator[tuple[int, list[str]]]:
        width = None
        while True:
            try:
                row = cast("list[str] | None", next(rows, None))
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputFileError(f"{self.path}, after line {rows.line_num}: {error}") from None
            if row is None:
                return
            width = len(row) if width is None else width
            if len(row) != width:
                raise InputFileError(f"{self.path}, line {rows.line_num}: {len(row)} fields, the header has {width}")
            yield rows.line_num, row


class JsonTable:
    """JSON objects, one a line. Lines that do not change are kept byte by byte."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """See `Table`: those of the first line."""
        for _, record in self._records():
            return list(record)
        return []

    def values(self, *names: str) -> Iterator[tuple[str, ...]]:
        """See `Table`."""
        for number, (_, record) in enumerate(self._records(), start=1):
            for name in names:
                if name not in record or isinstance(record[name], (dict, list, type(None), float)):
                    raise InputFileError(f"{self.path}, line {number}: {name!r} must be a text or an integer")
            yield tuple(str(record[name]) for name in names)

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`: integers stay integers."""
        with out.open("wb") as file:
            for (line, record), value in zip(self._records(), changed, strict=True):
                if value is not None:
                    record[name] = int(value) if isinstance(record[name], int) else value
                    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
                file.write(line)

    def _records(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise InputFileError(f"{self.path}, line {number}: no JSON ({error})") from None
                if not isinstance(record, dict):
                    raise InputFileError(f"{self.path}, line {number}: expected a JSON object")
                yield line, cast("dict[str, Any]", record)


class ParquetTable:
    """Parquet, batch by batch; types and other columns stay as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """See `Table`."""
        return list(self._file().schema_arrow.names)

    def values(self, *names: str) -> Iterator[tuple[str, ...]]:
        """See `Table`."""
        file = self._file()
        _places(self.path, list(file.schema_arrow.names), names)
        row = 0
        for batch in self._batches(file, list(names)):
            columns = [batch.column(place).to_pylist() for place in map(batch.schema.get_field_index, names)]
            for values in zip(*columns, strict=True):
                for name, value in zip(names, values, strict=True):
                    if not isinstance(value, (str, int)):
                        raise InputFileError(f"{self.path}, row {row}: {name!r} must be a text or an integer")
                yield tuple(map(str, values))
                row += 1

    def write(self, out: Path, name: str, changed: Iterable[str | None]) -> None:
        """See `Table`."""
        pyarrow = _pyarrow()
        from pyarrow import parquet

        file, values = self._file(), iter(changed)
        place = file.schema_arrow.get_field_index(name)
        kind = file.schema_arrow.field(place).type
        with parquet.ParquetWriter(out, file.schema_arrow) as writer:
            for batch in self._batches(file, None):
                own = batch.column(place).to_pylist()
                new = [old if value is None else type(old)(value) for old, value in zip(own, values, strict=False)]
                columns = list(batch.columns)
                columns[place] = pyarrow.array(new, type=kind)
                writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=file.schema_arrow))

    def _file(self) -> Any:
        _pyarrow()
        from pyarrow import ArrowException, parquet

        try:
            return parquet.ParquetFile(self.path)
        except (ArrowException, OSError) as error:
            raise InputFileError(f"{self.path} cannot be read as Parquet: {error}") from None

    def _batches(self, file: Any, names: list[str] | None) -> Iterator[Any]:
        from pyarrow import ArrowException

        try:
            yield from file.iter_batches(batch_size=_BATCH, columns=names)
        except (ArrowException, OSError) as error:
            raise InputFileError(f"{self.path} is damaged: {error}") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", extra="tables", purpose="Parquet files") from None
    return pyarrow


def _places(path: Path, header: list[str], names: Iterable[str]) -> list[int]:
    for name in names:
        if name not in header:
            raise InputFileError(f"{path} has no column {name!r}, only {', '.join(header) or 'nothing'}")
    return [header.index(name) for name in names]


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()
