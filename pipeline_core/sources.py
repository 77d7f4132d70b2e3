"""Any dataset as a fixed sequence of rows, of which every range can be read by itself, each row as one record."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources

import pyarrow as pa
import xxhash

from pipeline_core.catalog import find_task
from pipeline_core.conditions import matcher
from pipeline_core.data_file import DataFile, Format
from pipeline_core.data_files import Listing, find_files, is_file_path, list_files
from pipeline_core.dataset_ref import DatasetRef
from pipeline_core.errors import DatasetNotFoundError, SpecError
from pipeline_core.hub_tables import hub_media_root, open_hub_table
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
from pipeline_core.media import MediaRoot
from pipeline_core.media_folder import holds_media, is_medium, media_tables
from pipeline_core.records import Record
from pipeline_core.table_sequence import SourceRow, TableSequence
from pipeline_core.tables import ArrowTable, ParquetTable, Table
from pipeline_core.task_inputs import Input
from pipeline_core.text_tables import TextTable

__all__ = ["DEMO_DATASET", "DatasetRef", "OpenDataset", "check_exists", "open_dataset"]

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


class OpenDataset:
    """A dataset as the source positions 0 to ``rows``, in an order that does not change.

    Attributes:
        ref: What it was opened by, with the columns that were found.
        rows: Past the last row; with a ``limit``, past the row that meets it.
        kept_schema: The Arrow schema of the kept columns.
    """

    def __init__(
        self,
        ref: DatasetRef,
        tables: TableSequence,
        inputs: Sequence[Input] = (),
        given: Collection[str] = (),
        media_root: str | None = None,
    ) -> None:
        """Read ``tables`` as ``ref`` says.

        Columns it does not name are found for ``inputs``, those ``given`` aside. ``media_root`` is where media
        are that rows name, unless ``ref`` says so.
        """
        self._tables = tables
        media_root = ref.media_root or media_root
        self._media_root = None if media_root is None else MediaRoot(media_root)
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
        return (record for _, record in self.numbered_records(start, stop))

    def numbered_records(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """As ``records``, each with its position."""
        columns = [*self._input_columns, *self._ids]
        rows = self._tables.read(*self._range(start, stop), columns, self._typed)
        return ((row.position, self._record(row)) for row in rows if self._is_taken(row))

    def fingerprint(self, start: int = 0, stop: int | None = None) -> str:
        """32 hex digits that change when the records from ``start`` up to ``stop`` could.

        They stand for the content of the files that hold the rows, the rows' places in them, the
        columns in use and ``where``.
        """
        pieces = self._tables.pieces(*self._range(start, stop))
        content = {
            "rows": [(table.name, begin, end, table.content(begin, end)) for table, begin, end in pieces],
            "column": self._column,
            "id_column": self.ref.id_column,
            "kept": [(field.name, str(field.type)) for field in self.kept_schema],
            "where": [str(condition) for condition in self.ref.where],
            "media_root": self.ref.media_root,
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
            media_root=self._media_root,
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
    elif _means_files(ref.path):
        _refuse_settings(ref, "files", "name", "revision")
        listing = list_files(ref.path)
        kind = _media_kind(inputs)
        if _is_media(ref, listing, kind):
            return _open_media(ref, listing, kind, inputs, parameters)
        files = find_files(listing, ref.split, ref.format)
    else:
        _refuse_settings(ref, "a Hub dataset", "format")
        table = open_hub_table(ref.path, ref.name, ref.split, ref.revision, ref.streaming)
        return OpenDataset(ref, TableSequence(ref.path, [table]), inputs, parameters, hub_media_root(ref.path))
    tables = [_READERS[file.format](file) for file in files]
    folder = files[0].path[: -len(files[0].name)] if files[0].is_local and files[0].name else None
    return OpenDataset(ref, TableSequence(ref.path, tables), inputs, parameters, folder)


def check_exists(ref: DatasetRef) -> None:
    """Raise what ``open_dataset`` would where this machine has no such files; nothing is read, and nobody is asked.

    Raises:
        DatasetNotFoundError: Nothing is there.
    """
    if ref.path.startswith("demo:"):
        _demo(ref)
    elif _means_files(ref.path) and "://" not in ref.path and "::" not in ref.path:
        list_files(ref.path)


def _means_files(path: str) -> bool:
    return is_file_path(path) or not _HUB_ID.fullmatch(path)


def _media_kind(inputs: Sequence[Input]) -> str:
    """What files of media are, to a task: "image", "audio" or "video"; "" if it takes none."""
    kinds = [one.kind.removesuffix("s") for one in inputs if one.required]
    return next((kind for kind in kinds if kind in ("image", "audio", "video")), "")


def _is_media(ref: DatasetRef, listing: Listing, kind: str) -> bool:
    if ref.format == "media" and not kind:
        raise SpecError("format 'media' is for tasks that take images, audio or video")
    if not kind or ref.format not in (None, "media"):
        return False
    if ref.format == "media" and not any(is_medium(name, kind) for name in listing.files):
        raise DatasetNotFoundError(f"dataset {ref.path!r} has no {kind} file")
    return ref.format == "media" or holds_media(listing, kind)


def _open_media(
    ref: DatasetRef, listing: Listing, kind: str, inputs: Sequence[Input], given: Collection[str]
) -> OpenDataset:
    _refuse_settings(ref, "a folder of media", "media_root")
    tables = media_tables(listing, kind, ref.split, lambda file: _READERS[file.format](file))
    if ref.id_column is None and not any(_ID in table.schema.names for table in tables):
        ref = ref.model_copy(update={"id_column": kind})
    return OpenDataset(ref, TableSequence(ref.path, tables), inputs, given, listing.url)


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
    return [DataFile(file.fs, file.path, "", file.format) for file in find_files(list_files(path))]


def _refuse_settings(ref: DatasetRef, kind: str, *settings: str) -> None:
    for setting in settings:
        if getattr(ref, setting) is not None:
            raise SpecError(f"{setting} is not for {kind}: leave it out of the dataset {ref.path!r}")
