"""Any dataset as a fixed sequence of rows, of which every range can be read by itself, each row as one record."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Self

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from pipeline_core.catalog import find_task
from pipeline_core.conditions import Condition, matcher
from pipeline_core.data_files import DataFile, Format, find_files, is_file_path
from pipeline_core.errors import DatasetNotFoundError, SpecError
from pipeline_core.hub_tables import open_hub_table
from pipeline_core.input_columns import (
    HOLDS,
    Column,
    check_columns,
    choose_column,
    input_columns,
    input_of,
    is_plain,
    is_text,
)
from pipeline_core.records import Record
from pipeline_core.table_sequence import SourceRow, TableSequence
from pipeline_core.tables import ArrowTable, ParquetTable, Table
from pipeline_core.task_inputs import Input
from pipeline_core.text_tables import TextTable

DEMO_DATASET = "demo:reviews"

_ID = "id"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_READERS: Mapping[Format, Callable[[DataFile], Table]] = {
    "parquet": ParquetTable,
    "arrow": ArrowTable,
    "csv": TextTable,
    "jsonl": TextTable,
    "text": TextTable,
}


class DatasetRef(BaseModel):
    """Which rows of which dataset, and which of their columns; a plain string stands for its path.

    Building one reads nothing; ``open_dataset`` does.

    Attributes:
        path: "demo:reviews", a Hub id, a file, a glob, a folder, or an fsspec URL such as s3://...
        name: A configuration of a Hub dataset.
        split: A split of a Hub dataset; of files, those named so or in a subfolder named so.
        revision: A branch, tag or commit of a Hub dataset.
        streaming: Whether a Hub dataset is read over the network instead of downloaded first.
        format: The files' format; None goes by their names.
        column: The column to take as input; or a dict from the task's inputs to columns, such as
            {"question": "q", "context": "passage"}; None takes columns that have the usual names of
            the task's inputs, or the only text column.
        id_column: The column that names the rows; None takes a column "id" of strings or integers if there
            is one that is not the input. Rows without a name, or null there, are named by file and position.
        keep_columns: Columns to carry to the output; None for all of plain scalars.
        limit: Rows to take, at most, counted after ``where``.
        where: Conditions that all hold for a row that is taken, as ``Condition`` or as text, such as
            "stars >= 4", "lang == 'en'", "label in [0, 1]" or "text is not null".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(min_length=1)
    name: str | None = None
    split: str | None = None
    revision: str | None = None
    streaming: bool = False
    format: Format | None = None
    column: str | dict[str, str] | None = None
    id_column: str | None = None
    keep_columns: list[str] | None = None
    limit: PositiveInt | None = None
    where: list[Condition] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, data: Any) -> Any:
        return {"path": data} if isinstance(data, str) else data

    @field_validator("where", mode="before")
    @classmethod
    def _one_or_many(cls, where: Any) -> Any:
        if where is None:
            return []
        return [where] if isinstance(where, str | dict | Condition) else where

    @field_validator("column")
    @classmethod
    def _some_column(cls, column: Column | None) -> Column | None:
        if column is not None and not column:
            raise ValueError('column must name a column or map keys to columns, as {"text": "body"}, but is empty')
        return column

    def keeping(self, column: str) -> Self:
        """The same rows, with ``column`` among the ones that are carried to the output."""
        if self.keep_columns is None or column in self.keep_columns:
            return self
        return self.model_copy(update={"keep_columns": [*self.keep_columns, column]})


class OpenDataset:
    """A dataset as the source positions 0 to ``rows``, in an order that does not change.

    Attributes:
        ref: What it was opened by, with the columns that were found.
        rows: Past the last row; with a ``limit``, past the row that meets it.
        kept_schema: The Arrow schema of the kept columns.
    """

    def __init__(
        self, ref: DatasetRef, tables: TableSequence, inputs: Sequence[Input] = (), given: Collection[str] = ()
    ) -> None:
        """Read ``tables`` as ``ref`` says; columns it does not name are found for ``inputs``, those ``given`` aside."""
        self._tables = tables
        column = _find_column(ref, tables, inputs, given)
        self._input_columns = input_columns(column)
        id_column = ref.id_column or (_ID if _ID not in self._input_columns and tables.names_rows(_ID) else None)
        self.ref = ref.model_copy(update={"column": column, "id_column": id_column})
        self._ids = [] if id_column is None else [id_column]
        kept = [tables.field(name) for name in self._kept_columns()]
        self.kept_schema = pa.schema([field.remove_metadata() for field in kept])
        self._where = [tables.field(name) for name in dict.fromkeys(condition.column for condition in ref.where)]
        self._typed = list({field.name: field for field in [*kept, *self._where]}.values())
        self._meets = matcher(
            ref.where, {field.name: None if HOLDS in (field.metadata or {}) else field.type for field in self._where}
        )
        self.rows = self._count_rows()

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[Record]:
        """The rows from ``start`` up to ``stop`` that meet ``where``, in order.

        Ranges that follow one another give every row once. A row that can't be read comes as a
        record with an error, whatever ``where`` says, for it can't be asked.
        """
        columns = [*self._input_columns, *self._ids]
        rows = self._tables.read(*self._range(start, stop), columns, self._typed)
        return (self._record(row) for row in rows if self._is_taken(row))

    def fingerprint(self, start: int = 0, stop: int | None = None) -> str:
        """32 hex digits that change when the records from ``start`` up to ``stop`` could.

        They stand for the content of the files that hold the rows, the rows' places in them, the
        columns in use and ``where``.
        """
        pieces = self._tables.pieces(*self._range(start, stop))
        content = {
            "rows": [(table.name, begin, end, table.content()) for table, begin, end in pieces],
            "column": self._column,
            "id_column": self.ref.id_column,
            "kept": [(field.name, str(field.type)) for field in self.kept_schema],
            "where": [str(condition) for condition in self.ref.where],
        }
        return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())

    @property
    def _column(self) -> Column:
        assert self.ref.column is not None
        return self.ref.column

    def _kept_columns(self) -> list[str]:
        if self.ref.keep_columns is not None:
            return list(dict.fromkeys(self.ref.keep_columns))
        others = [name for name in self._tables.columns if name not in self._input_columns + self._ids]
        return [name for name in others if is_plain(self._tables.field(name))]

    def _count_rows(self) -> int:
        if self.ref.limit is None:
            return self._tables.rows
        if not self.ref.where:
            return min(self._tables.rows, self.ref.limit)
        taken = 0
        for row in self._tables.read(0, self._tables.rows, [], self._where):
            taken += self._is_taken(row)
            if taken == self.ref.limit:
                return row.position + 1
        return self._tables.rows

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        stop = self.rows if stop is None else min(stop, self.rows)
        if start < 0 or stop < 0:
            raise ValueError(f"positions run from 0 to {self.rows}, but are {start} to {stop} instead")
        return start, stop

    def _is_taken(self, row: SourceRow) -> bool:
        return not isinstance(row.written, dict) or self._meets(row.typed)

    def _record(self, row: SourceRow) -> Record:
        if not isinstance(row.written, dict):
            return Record(row.name, None, error=row.written)
        named = row.written.get(self.ref.id_column) if self.ref.id_column is not None else None
        return Record(
            id=row.name if named is None else str(named),
            inputs=input_of(row.written, self._column),
            kept={name: row.typed[name] for name in self.kept_schema.names},
        )


def open_dataset(ref: DatasetRef | str, task: str | None = None, parameters: Collection[str] = ()) -> OpenDataset:
    """Find the dataset's files or Hub split, its rows and its columns.

    Args:
        ref: What to read.
        task: The pipeline task that the rows are for; its inputs are found in columns of their usual
            names where ``ref`` names none. Without one, a column "text" or the only text column is taken.
        parameters: Names of the pipeline's parameters; an input that is among them needs no column.

    Raises:
        DatasetNotFoundError: Nothing is there, or nothing that can be read.
        SplitNotFoundError: No such split, or none is named and a Hub dataset has several.
        ColumnNotFoundError: A column is not there, or none can be taken without being named.
        InputNotFoundError: No column can be taken for an input that the task requires.
        FormatError: A file is of no accepted format, or not what its name says.
        SpecError: A setting is not for this kind of dataset, or a condition not for its column.
    """
    if isinstance(ref, str):
        ref = DatasetRef(path=ref)
    inputs = find_task(task).inputs if task is not None else ()
    if ref.path.startswith("demo:"):
        files = _demo(ref)
    elif is_file_path(ref.path) or not _HUB_ID.fullmatch(ref.path):
        _refuse_settings(ref, "files", "name", "revision")
        files = find_files(ref.path, ref.split, ref.format)
    else:
        _refuse_settings(ref, "a Hub dataset", "format")
        table = open_hub_table(ref.path, ref.name, ref.split, ref.revision, ref.streaming)
        return OpenDataset(ref, TableSequence(ref.path, [table]), inputs, parameters)
    tables = [_READERS[file.format](file) for file in files]
    return OpenDataset(ref, TableSequence(ref.path, tables), inputs, parameters)


def _find_column(ref: DatasetRef, tables: TableSequence, inputs: Sequence[Input], given: Collection[str]) -> Column:
    if not tables.columns and not tables.rows:
        return ref.column or "text"

    def text_columns() -> list[str]:
        texts = [name for name in tables.columns if name != ref.id_column and is_text(tables.field(name))]
        return [name for name in texts if name != _ID] or texts

    column = choose_column(ref.path, ref.column, tables.columns, text_columns, inputs, given)
    ids = [] if ref.id_column is None else [ref.id_column]
    where = [condition.column for condition in ref.where]
    check_columns(ref.path, [*ids, *(ref.keep_columns or []), *where], tables.columns)
    tables.require([*input_columns(column), *ids, *where])
    return column


def _demo(ref: DatasetRef) -> list[DataFile]:
    if ref.path != DEMO_DATASET:
        raise DatasetNotFoundError(f"dataset {ref.path!r} is not bundled; {DEMO_DATASET!r} is")
    _refuse_settings(ref, DEMO_DATASET, "name", "split", "revision", "format")
    path = str(resources.files("pipeline_core.demo") / "reviews.jsonl")
    return [DataFile(file.fs, file.path, "", file.format) for file in find_files(path)]


def _refuse_settings(ref: DatasetRef, kind: str, *settings: str) -> None:
    for setting in settings:
        if getattr(ref, setting) is not None:
            raise SpecError(f"{setting} is not for {kind}: leave it out of the dataset {ref.path!r}")
