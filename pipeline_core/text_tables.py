"""JSON lines, CSV and plain text as tables, read in place from an index that one pass over the file builds."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from lzma import LZMAError
from typing import Any, Protocol

import pyarrow as pa
import xxhash

from pipeline_core.csv_rows import CsvRows
from pipeline_core.data_file import DataFile
from pipeline_core.errors import FormatError, InvalidInputError
from pipeline_core.input_columns import text_field
from pipeline_core.json_rows import JsonRows
from pipeline_core.lines import Lines
from pipeline_core.tables import BATCH_ROWS, Row


class TextTable:
    """A file of JSON lines, CSV or plain text.

    The first one of a file reads it through once, for its number of rows, its columns' types, its
    hash and the places where every 1,000th row starts; later ones in this process know them.

    Raises:
        FormatError: The file can't be decompressed, or has no CSV header that can be read.
    """

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        self.format = str(file.format)
        self._file = file
        self._index = _index(file, file.version())
        self.rows = self._index.rows
        self.schema = self._index.schema

    def content(self, start: int, stop: int) -> str:  # noqa: ARG002
        """The hash of the decompressed file, as it is now."""
        return _index(self._file, self._file.version()).content

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:  # noqa: ARG002
        """The rows from ``start`` up to ``stop``, with every column."""
        stop = min(stop, self.rows)
        if start >= stop:
            return
        skipped = start % BATCH_ROWS
        with Lines(self._file.open, self._index.offsets[start // BATCH_ROWS]) as lines:
            yield from islice(self._index.rows_of_text.rows(lines), skipped, skipped + stop - start)

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """What turns a cell as written into ``field``'s type."""
        return self._index.rows_of_text.caster(field)


class _TextRows(Protocol):
    def rows(self, lines: Lines) -> Iterator[Row]: ...
    def observe(self, row: dict[str, Any]) -> None: ...
    def fields(self) -> list[Any]: ...
    def caster(self, field: Any) -> Callable[[Any], Any] | None: ...


class PlainRows:
    """Plain text, one row a line, in the column "text"."""

    def __init__(self, lines: Lines) -> None:
        pass

    def rows(self, lines: Lines) -> Iterator[Row]:
        """The lines from where ``lines`` is, without their ends."""
        while line := lines.readline():
            try:
                yield {"text": line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")}
            except UnicodeDecodeError as error:
                yield InvalidInputError(f"the line is not UTF-8: {error}")

    def observe(self, row: dict[str, Any]) -> None:
        """Nothing: its type is known."""

    def fields(self) -> list[Any]:
        """The one column."""
        return [text_field("text")]

    @staticmethod
    def caster(field: Any) -> None:
        """Nothing has to be cast."""


@dataclass(frozen=True, slots=True)
class _Index:
    rows: int
    schema: Any
    content: str
    offsets: list[int]
    rows_of_text: _TextRows


_ROWS: dict[str, Callable[[Lines], _TextRows]] = {"jsonl": JsonRows, "csv": CsvRows, "text": PlainRows}


@lru_cache(maxsize=256)
def _index(file: DataFile, version: tuple[Any, ...]) -> _Index:  # noqa: ARG001
    digest = xxhash.xxh3_128()
    offsets: list[int] = []
    rows = seen = 0
    try:
        with Lines(file.open, digest=digest) as lines:
            rows_of_text = _ROWS[file.format](lines)
            # Asked before each row, for the reader knows the place of a row only while it is there.
            found = rows_of_text.rows(lines)
            while True:
                if seen % BATCH_ROWS == 0:
                    offsets.append(lines.offset)
                row = next(found, None)
                if row is None:
                    break
                seen += 1
                if isinstance(row, dict):
                    rows_of_text.observe(row)
                if file.format != "text" or not _is_blank(row):
                    rows = seen
    except (EOFError, zlib.error, LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(f"{file.url!r} can't be decompressed: {error}") from error
    except FormatError as error:
        raise FormatError(f"{file.url!r}: {error}") from error
    return _Index(rows, pa.schema(rows_of_text.fields()), digest.hexdigest(), offsets, rows_of_text)


def _is_blank(row: Row) -> bool:
    """Whether a row of plain text is a blank line; at the end of a file such lines are no rows."""
    return isinstance(row, dict) and not row["text"].strip()
