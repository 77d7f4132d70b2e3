"""CSV, record by record: a record that can't be read is an error of its own and swallows no other."""

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipeline_core.errors import FormatError, InvalidInputError
from pipeline_core.lines import Lines

_DELIMITERS = ",;\t|"
# Python's own limit of 128 KiB a field is under what a long text has; a quote that is never closed
# must not read on to the end of a huge file either.
_MAX_RECORD_BYTES = 16 << 20
_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TYPES = {None: pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "string": pa.string()}


class CsvRows:
    """The CSV format of one file: its delimiter and columns, as its first record tells them.

    Raises:
        FormatError: The header can't be read, or names a column twice.
    """

    def __init__(self, lines: Lines) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_RECORD_BYTES))
        begin = lines.offset
        first = lines.readline()
        while first and not first.strip():
            begin, first = lines.offset, lines.readline()
        lines.rewind(begin)
        self._delimiter = _sniff(first.decode("utf-8", "replace"))
        self.columns: list[str] = []
        header = next(self._records(lines), [])
        if isinstance(header, InvalidInputError):
            raise FormatError(f"the CSV header can't be read: {header}")
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise FormatError(f"the CSV header names {', '.join(map(repr, sorted(twice)))} more than once")
        self.columns = header
        self._kinds: dict[str, str | None] = dict.fromkeys(header)

    def rows(self, lines: Lines) -> Iterator[dict[str, Any] | InvalidInputError]:
        """The rows from where ``lines`` is, cells as written, with None for an empty one."""
        for cells in self._records(lines):
            if isinstance(cells, InvalidInputError):
                yield cells
            elif len(cells) == len(self.columns):
                yield {column: cell or None for column, cell in zip(self.columns, cells, strict=True)}
            else:
                yield InvalidInputError(f"the row has {len(cells)} fields, but the header has {len(self.columns)}")

    def observe(self, row: dict[str, Any]) -> None:
        """Widen the columns' types to what ``row`` holds."""
        for column, cell in row.items():
            known = self._kinds[column]
            if cell is None or known == "string":
                continue
            kind = _kind(cell)
            if known not in (None, kind):
                kind = "float" if {known, kind} == {"int", "float"} else "string"
            self._kinds[column] = kind

    def fields(self) -> list[Any]:
        """The columns with the types of what was observed."""
        return [pa.field(column, _TYPES[kind]) for column, kind in self._kinds.items()]

    @staticmethod
    def caster(field: Any) -> Callable[[Any], Any] | None:
        """What turns a cell as written into ``field``'s type."""
        if pa.types.is_boolean(field.type):
            return lambda cell: None if cell is None else cell.lower() == "true"
        if pa.types.is_integer(field.type):
            return lambda cell: None if cell is None else int(cell)
        if pa.types.is_floating(field.type):
            return lambda cell: None if cell is None else float(cell)
        return None

    def _records(self, lines: Lines) -> Iterator[list[str] | InvalidInputError]:
        source = _RecordLines(lines)
        reader = csv.reader(source, delimiter=self._delimiter)
        while True:
            source.begin_record()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield InvalidInputError(f"the row is not CSV: {error}")
                continue
            if source.cut or self._took_in_other_rows(cells, source.record):
                lines.rewind(source.first_line_end)
                reader = csv.reader(source, delimiter=self._delimiter)
                yield InvalidInputError("a quote that the row opens is not closed, or not within 16 MiB")
            elif source.undecodable is not None:
                yield InvalidInputError(f"the row is not UTF-8: {source.undecodable}")
            elif cells and (len(cells) > 1 or len(self.columns) == 1 or cells[0].strip()):
                yield cells

    def _took_in_other_rows(self, cells: list[str], record: list[str]) -> bool:
        """Whether a quote that was never closed ran on to the opening one of a later row."""
        if len(record) == 1 or not self.columns or len(cells) == len(self.columns):
            return False
        try:
            next(csv.reader(record, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return True
        return False


class _RecordLines:
    """Hands csv.reader its lines and notes what became of the record at hand.

    Attributes:
        record: Its lines.
        first_line_end: Where the record's first line ends.
        cut: Whether the record asked for more lines than there are or than may be.
        undecodable: Why one of its lines is no text.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.begin_record()

    def begin_record(self) -> None:
        self._begin = self.first_line_end = self._lines.offset
        self.record: list[str] = []
        self.cut = False
        self.undecodable: UnicodeDecodeError | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        begin = self._lines.offset
        line = self._lines.readline() if begin - self._begin < _MAX_RECORD_BYTES else b""
        if not line:
            self.cut = True
            raise StopIteration
        if begin == self._begin:
            self.first_line_end = self._lines.offset
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.undecodable = error
            text = line.decode("utf-8", "replace")
        self.record.append(text)
        return text


def _sniff(header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=unquoted.count)


def _kind(cell: str) -> str:
    if _INTEGER.fullmatch(cell):
        return "int" if len(cell) < 19 or -(2**63) <= int(cell) < 2**63 else "string"
    if _FLOAT.fullmatch(cell):
        return "float"
    return "bool" if cell.lower() in ("true", "false") else "string"
