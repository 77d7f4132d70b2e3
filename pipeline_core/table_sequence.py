"""Several tables as one: their rows one after another, each column of one type."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline_core.errors import ColumnNotFoundError, FormatError
from pipeline_core.input_columns import HOLDS, is_text, text_field
from pipeline_core.tables import Row, Table


class Piece(NamedTuple):
    """Rows of one table."""

    table: Table
    start: int
    stop: int


class SourceRow(NamedTuple):
    """One row of the sequence."""

    position: int
    """Its number in the sequence."""
    name: str
    """Its table's name and its number there, or the number alone."""
    written: Row
    """Its cells as they were written, or why it can't be read."""
    typed: dict[str, Any]
    """Those of its cells that were asked for by type."""


class TableSequence:
    """The rows of ``tables``, numbered through.

    Attributes:
        rows: How many there are.
        columns: The columns of all tables, in the order in which they are first met.
    """

    def __init__(self, dataset: str, tables: Sequence[Table]) -> None:
        """Take ``tables`` in their order; ``dataset`` names them in errors."""
        self._dataset = dataset
        self._tables = tables
        self._ends = list(accumulate(table.rows for table in tables))
        self._names = [frozenset(table.schema.names) for table in tables]
        self.rows = self._ends[-1] if tables else 0
        self.columns = list(dict.fromkeys(name for table in tables for name in table.schema.names))

    def field(self, column: str) -> Any:
        """The Arrow field that holds the column's cells of all tables.

        Raises:
            FormatError: Two tables hold types that no one type can hold.
        """
        held = [
            (table, table.schema.field(table.schema.names.index(column)))
            for table, names in zip(self._tables, self._names, strict=True)
            if column in names
        ]
        field = held[0][1] if held else text_field(column)
        for table, other in held[1:]:
            wider = _wider(field, other, table.format)
            if wider is None:
                raise FormatError(
                    f"dataset {self._dataset!r}: column {column!r} is {field.type} in one file and {other.type} in "
                    f"{table.name!r}; name the files of one kind with a glob, or leave the column out of keep_columns"
                )
            field = wider
        is_untyped = pa.types.is_null(field.type) and held and held[0][0].format in ("csv", "jsonl")
        return text_field(column) if is_untyped else field

    def names_rows(self, column: str) -> bool:
        """Whether the files that have the column hold strings or integers there, or nothing."""
        held = [table for table, names in zip(self._tables, self._names, strict=True) if column in names]
        fields = [table.schema.field(table.schema.names.index(column)) for table in held]
        return bool(held) and all(map(_is_name, fields))

    def require(self, columns: Iterable[str]) -> None:
        """Refuse columns that a file lacks; a key that no JSON line of a file has is but null there.

        Raises:
            ColumnNotFoundError: A file with rows lacks one of ``columns``.
        """
        for column in columns:
            for table, names in zip(self._tables, self._names, strict=True):
                if table.rows and column not in names and (table.format != "jsonl" or column not in self.columns):
                    where = f"{self._dataset}: {table.name}" if len(self._tables) > 1 else self._dataset
                    raise ColumnNotFoundError(where, column, table.schema.names)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """The rows from ``start`` up to ``stop`` by the tables that hold them."""
        number = bisect_right(self._ends, start)
        while start < min(stop, self.rows):
            first = self._ends[number - 1] if number else 0
            end = min(stop, self._ends[number])
            if start < end:
                yield Piece(self._tables[number], start - first, end - first)
            start, number = end, number + 1

    def read(self, start: int, stop: int, written: Iterable[str], typed: Sequence[Any]) -> Iterator[SourceRow]:
        """The rows from ``start`` up to ``stop``.

        Args:
            start: The first row.
            stop: The row after the last.
            written: The columns whose cells are given as they were written.
            typed: The fields, as ``field`` tells them, whose cells are given by type.
        """
        wanted = list(dict.fromkeys([*written, *(field.name for field in typed)]))
        position = start
        for table, begin, end in self.pieces(start, stop):
            names = set(table.schema.names)
            casts: list[tuple[str, Callable[[Any], Any] | None]] = [
                (field.name, table.caster(field) if field.name in names else None) for field in typed
            ]
            for number, row in enumerate(table.read(begin, end, [name for name in wanted if name in names]), begin):
                cells = {}
                if isinstance(row, dict):
                    cells = {name: cast(row.get(name)) if cast else row.get(name) for name, cast in casts}
                yield SourceRow(position, f"{table.name}:{number}" if table.name else str(number), row, cells)
                position += 1


def _is_name(field: Any) -> bool:
    return is_text(field) or pa.types.is_integer(field.type) or pa.types.is_null(field.type)


def _wider(field: Any, other: Any, format: str) -> Any:  # noqa: A002
    """A field for the cells of both; None if there is none."""
    if field.equals(other, check_metadata=True):
        return field
    holds = {(one.metadata or {}).get(HOLDS) for one in (field, other)}
    if holds == {None} or pa.types.is_null(field.type) or pa.types.is_null(other.type):
        try:
            schemas = [pa.schema([field]), pa.schema([other])]
            wider = pa.unify_schemas(schemas, promote_options="permissive").field(0)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
        else:
            holds.discard(None)
            return text_field(field.name, holds.pop()) if holds else wider
    if format == "csv":
        return text_field(field.name)
    if format == "jsonl":
        return text_field(field.name, b"nested" if b"nested" in holds else b"mixed")
    return None
