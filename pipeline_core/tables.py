"""Tables of rows that can be read from any row on: parquet and Arrow files, a piece at a time."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from pipeline_core.data_file import DataFile
from pipeline_core.errors import FormatError, InvalidInputError

Row = dict[str, Any] | InvalidInputError
"""A row's cells by column, as they were written; or why the row can't be read."""

BATCH_ROWS = 1000
_BATCH_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20


class Table(Protocol):
    """Rows 0 to ``rows`` of one file or Hub dataset.

    Attributes:
        name: What the ids of its rows start with; "" for nothing.
        format: "parquet", "arrow", "csv", "jsonl", "text" or "hub".
        rows: How many rows it has.
        schema: Its columns with their types. One that held only nulls is of the type null.
    """

    name: str
    format: str
    rows: int
    schema: Any

    def content(self, start: int, stop: int) -> str:
        """A hash that changes when a row from ``start`` up to ``stop`` does; files are looked at again for it."""

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``, with at least these columns, all of which it has."""

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """What turns a cell as written into one of ``field``'s type; None where nothing has to."""


class ParquetTable:
    """A parquet file, of which only the row groups and columns that are asked for are read.

    Raises:
        FormatError: The file is not parquet.
    """

    format = "parquet"

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        self._file = file
        self._metadata: Any = None
        with self._open() as parquet:
            self._metadata = parquet.metadata
            self.schema = _without_dictionaries(parquet.schema_arrow)
        self.rows = self._metadata.num_rows

    def content(self, start: int, stop: int) -> str:  # noqa: ARG002
        """The hash of the file."""
        return self._file.content()

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        counts = (self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups))
        ends = list(accumulate(counts))
        first = bisect_right(ends, start)
        groups = [group for group in range(first, len(ends)) if (ends[group - 1] if group else 0) < stop]
        if start >= stop or not groups:
            return
        position = ends[first - 1] if first else 0
        with self._open() as parquet:
            size = self._batch_rows(groups, columns)
            batches = parquet.iter_batches(size, row_groups=groups, columns=list(columns), use_threads=False)
            yield from _rows_between(batches, position, start, stop, columns)

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(self.schema.field(field.name).type, field.type)

    def _batch_rows(self, groups: Sequence[int], columns: Sequence[str]) -> int:
        rows = size_bytes = 0
        for group in map(self._metadata.row_group, groups):
            rows += group.num_rows
            chunks = map(group.column, range(group.num_columns))
            size_bytes += sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
        return _batch_rows(rows, size_bytes)

    def _open(self) -> Any:
        source = self._file.path if self._file.is_local else self._file.open()
        try:
            # Without pre_buffer and with a buffer a column chunk is read in pieces, not as a whole.
            return pq.ParquetFile(
                source,
                metadata=self._metadata,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
            )
        except (pa.ArrowInvalid, OSError) as error:
            # An OSError of pyarrow's own about the content has no errno, one of the file system has.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise FormatError(f"{self._file.url!r} is not a parquet file: {error}") from error


class ArrowTable:
    """An Arrow IPC file or stream, memory-mapped where it is local.

    Raises:
        FormatError: The file is neither.
    """

    format = "arrow"

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        self._file = file
        self._ends, schema = _arrow_layout(file, file.version())
        self.schema = _without_dictionaries(schema)
        self.rows = self._ends[-1] if self._ends else 0

    def content(self, start: int, stop: int) -> str:  # noqa: ARG002
        """The hash of the file."""
        return self._file.content()

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        included = [self.schema.names.index(column) for column in columns]
        first = bisect_right(self._ends, start)
        if start >= stop or first >= len(self._ends):
            return
        position = self._ends[first - 1] if first else 0
        with _arrow_source(self._file) as source:
            batches = _arrow_batches(source, first, included)
            yield from _rows_between(batches, position, start, stop, columns)

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(self.schema.field(field.name).type, field.type)


def arrow_caster(held: Any, wanted: Any) -> Callable[[Any], Any] | None:
    """What turns the Python value of one Arrow type into that of another; None where they are the same."""
    if held == wanted or pa.types.is_null(held) or (pa.types.is_integer(held) and pa.types.is_integer(wanted)):
        return None
    if pa.types.is_floating(held) and pa.types.is_floating(wanted):
        return None
    if pa.types.is_floating(wanted):
        return lambda cell: None if cell is None else float(cell)
    return lambda cell: pa.scalar(cell, held).cast(wanted).as_py()


def rows_of(batch: Any, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of an Arrow table or record batch as Python values; a row whose bytes are no text is an error."""
    size = _batch_rows(batch.num_rows, batch.nbytes)
    for start in range(0, batch.num_rows, size):
        piece = batch.slice(start, size)
        arrays = [piece.column(piece.schema.names.index(column)) for column in columns]
        if not arrays:
            yield from ({} for _ in range(piece.num_rows))
            continue
        try:
            cells = [array.to_pylist() for array in arrays]
        except UnicodeDecodeError:
            yield from (_row_at(arrays, columns, row) for row in range(piece.num_rows))
        else:
            yield from (dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True))


def _batch_rows(rows: int, size_bytes: int) -> int:
    """How many rows to hold at once: a thousand, or as few as their media leave room for."""
    return max(1, min(BATCH_ROWS, _BATCH_BYTES * rows // max(1, size_bytes)))


def _row_at(arrays: Sequence[Any], columns: Sequence[str], row: int) -> Row:
    cells = {}
    for column, array in zip(columns, arrays, strict=True):
        try:
            cells[column] = array[row].as_py()
        except UnicodeDecodeError as error:
            return InvalidInputError(f"column {column!r} is not UTF-8: {error}")
    return cells


def _rows_between(
    batches: Iterator[Any], position: int, start: int, stop: int, columns: Sequence[str]
) -> Iterator[Row]:
    """The rows of ``batches``, the first of which is row ``position``, from ``start`` up to ``stop``."""
    for batch in batches:
        skipped = max(0, start - position)
        taken = min(batch.num_rows, stop - position) - skipped
        if taken > 0:
            yield from rows_of(batch.slice(skipped, taken), columns)
        position += batch.num_rows
        if position >= stop:
            return


def _without_dictionaries(schema: Any) -> Any:
    """The schema of the values, without metadata: a dictionary is only how a column is stored."""
    return pa.schema(
        [
            pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
            for field in schema
        ]
    )


def _arrow_source(file: DataFile) -> Any:
    return pa.memory_map(file.path) if file.is_local else pa.PythonFile(file.open(), mode="r")


def _arrow_batches(source: Any, first: int, included: Sequence[int]) -> Iterator[Any]:
    options = pa.ipc.IpcReadOptions(included_fields=sorted(set(included)))
    if _is_arrow_file(source):
        reader = pa.ipc.open_file(source, options=options)
        for number in range(first, reader.num_record_batches):
            yield reader.get_batch(number)
        return
    for number, batch in enumerate(pa.ipc.open_stream(source, options=options)):
        if number >= first:
            yield batch


def _is_arrow_file(source: Any) -> bool:
    magic = source.read(6)
    source.seek(0)
    return bool(magic == b"ARROW1")


@lru_cache(maxsize=256)
def _arrow_layout(file: DataFile, version: tuple[Any, ...]) -> tuple[list[int], Any]:  # noqa: ARG001
    try:
        with _arrow_source(file) as source:
            reader = pa.ipc.open_file(source) if _is_arrow_file(source) else pa.ipc.open_stream(source)
            schema = reader.schema
            source.seek(0)
            ends = list(accumulate(batch.num_rows for batch in _arrow_batches(source, 0, [0])))
            return ends, schema
    except pa.ArrowInvalid as error:
        raise FormatError(f"{file.url!r} is neither an Arrow file nor an Arrow stream: {error}") from error
