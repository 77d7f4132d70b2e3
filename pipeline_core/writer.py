"""One shard's rows on their way to disk: nothing is there under its own name before all of it is.

Rows go to temporary files in bounded memory. ``commit`` then, while it keeps all others out of the folder and
holds its lease, moves media files, the quarantine file, the part file and last the manifest to their names.
Stopped at any moment, this leaves a shard whose manifest is missing or does not fit its files: it is not done.
"""

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa

from pipeline_core.errors import OutputError, OutputMismatchError, RecordError
from pipeline_core.figures import Figures
from pipeline_core.lease import check_lease
from pipeline_core.manifest import ShardManifest
from pipeline_core.media_files import ShardMedia
from pipeline_core.records import Prediction, Record, RowError
from pipeline_core.requirements import check_installed
from pipeline_core.shards import RunPlan, Shard
from pipeline_core.storage import Storage
from pipeline_core.table_file import TableFile

PLAN_FILE = "_plan.json"
RUN_FILE = "_run.json"
MANIFESTS = "_manifests/"
QUARANTINE = "_quarantine/"

QUARANTINE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "input_reference", "stage", "error_class", "message")]
)

_ROWS_PER_GROUP = 4096
_BYTES_PER_GROUP = 32 * 2**20
_REFERENCE_LENGTH = 200
_MESSAGE_LENGTH = 2000


def manifest_file(shard: Shard) -> str:
    """The name of a shard's manifest."""
    return f"{MANIFESTS}{shard.index:05d}.json"


def quarantine_file(shard: Shard) -> str:
    """The name of the file of a shard's rows without an answer."""
    return f"{QUARANTINE}part-{shard.index:05d}.parquet"


class _Row(NamedTuple):
    record: Record
    values: dict[str, Any]
    files: list[str]


class ShardWriter:
    """Writes one shard; a context that leaves nothing behind unless ``commit`` was called in it."""

    def __init__(self, storage: Storage, shard: Shard, plan: RunPlan, owner: str | None = None) -> None:
        self._storage, self._shard, self._plan, self._owner = storage, shard, plan, owner
        self._fingerprint = plan.fingerprint
        self._kept_names = set(plan.kept.names)
        self._columns, self._schema = plan.columns, plan.schema
        self._pending: list[_Row] = []
        self._pending_bytes = 0
        self._rows = 0
        self._unwritable = 0
        self._empty = 0
        self._media = ShardMedia(storage, shard, owner)
        self._answers = TableFile(storage, shard.file, self._schema, owner)
        self._quarantine: TableFile | None = None
        self._is_open = False

    def __enter__(self) -> Self:
        check_installed(f"writing the files of task {self._plan.spec.task!r}", self._columns.requires)
        self._check_ours()
        self._answers.open()
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        self._pending.clear()
        for table in (self._answers, self._quarantine):
            if table is not None:
                table.discard()
        self._media.discard()

    def write(self, record: Record, prediction: Prediction) -> None:
        """Add one record with its prediction, or with why it has none.

        Raises:
            OutputError: The prediction is another record's, or the record lacks a kept column.
        """
        if not self._is_open:
            raise OutputError(f"shard {self._shard.name} is not open for writing; use the writer as a context, once")
        if prediction.record_id != record.id:
            raise OutputError(
                f"shard {self._shard.name}: record {record.id!r} came with the prediction of {prediction.record_id!r}"
            )
        self._rows += 1
        if prediction.error is not None:
            self._set_aside(record, prediction.error)
            return
        if record.kept.keys() != self._kept_names:
            raise OutputError(
                f"record {record.id!r} carries the columns {sorted(record.kept)}, "
                f"but the plan keeps {sorted(self._kept_names)}"
            )
        try:
            values, files = self._media.save(self._rows - 1, self._columns.row(prediction))
        except (RecordError, TypeError, ValueError) as error:
            self._set_aside_unwritable(record, error)
            return
        self._add(_Row(record, {"id": record.id, **record.kept, **values}, files))

    def keep(self, record: Record, row: dict[str, Any]) -> None:
        """Add a record's row as the shard had it before: an answer without files that stays as it was.

        Raises:
            OutputError: The row is another record's.
        """
        if row.get("id") != record.id:
            raise OutputError(f"shard {self._shard.name}: record {record.id!r} came with the row of {row.get('id')!r}")
        self._rows += 1
        self._add(_Row(record, row, []))

    def commit(self, figures: Figures) -> ShardManifest:
        """Make the shard done.

        Raises:
            OutputError: Not every record of the shard was written.
            LeaseLostError: Another run holds the folder; nothing was moved.
            OutputMismatchError: The folder is another plan's by now; nothing was moved.
        """
        if not self._is_open:
            raise OutputError(f"shard {self._shard.name} is not open for writing; it was committed or left before")
        self._check_complete(figures)
        self._flush()
        self._is_open = False
        part = self._answers.finish()
        quarantine = self._quarantine.finish() if self._quarantine is not None else None
        quarantined = quarantine.rows if quarantine is not None else 0
        media = self._media.summary()
        figures = figures.model_copy(
            update={"quarantined": figures.quarantined + self._unwritable, "empty": figures.empty + self._empty}
        )
        manifest = ShardManifest(
            index=self._shard.index,
            file=self._shard.file,
            rows=part.rows,
            quarantined=quarantined,
            sha256=part.sha256,
            size_bytes=part.size_bytes,
            quarantine_sha256=quarantine.sha256 if quarantine is not None else None,
            media_files=media.files,
            media_size_bytes=media.size_bytes,
            media_sha256=media.sha256,
            shard_fingerprint=self._shard.fingerprint,
            spec_fingerprint=self._plan.spec_fingerprint,
            plan_fingerprint=self._fingerprint,
            figures=figures,
            committed_at=datetime.now(UTC).isoformat(),
            owner=self._owner,
        )
        if part.rows + quarantined != self._rows:
            raise OutputError(
                f"shard {self._shard.name}: {self._rows} rows came, but {part.rows} were written "
                f"and {quarantined} quarantined"
            )
        with self._storage.exclusive():
            self._check_ours()
            self._publish(manifest)
        if not self._storage.guarded:
            self._check_ours()
        return manifest

    def _check_ours(self) -> None:
        check_lease(self._storage, self._owner)
        content = self._storage.read(PLAN_FILE)
        try:
            found = None if content is None else RunPlan.model_validate_json(content).fingerprint
        except ValueError:
            found = None
        if found != self._fingerprint:
            raise OutputMismatchError(
                f"output {self._storage.url!r} does not hold the plan of shard {self._shard.name}; adopt the plan first"
            )

    def _check_complete(self, figures: Figures) -> None:
        positions = self._shard.stop - self._shard.start
        if self._rows > positions or (self._rows < positions and not self._plan.dataset.where):
            raise OutputError(f"shard {self._shard.name} has {positions} rows, but {self._rows} were written")
        if figures.rows > self._rows:
            raise OutputError(
                f"shard {self._shard.name}: {figures.rows} rows were answered, but {self._rows} were written"
            )

    def _publish(self, manifest: ShardManifest) -> None:
        storage, name = self._storage, manifest_file(self._shard)
        tables = [self._answers] + ([self._quarantine] if self._quarantine is not None else [])
        if not all(storage.exists(table.name) for table in tables) or not self._media.is_whole():
            raise OutputError(f"shard {self._shard.name} can't be committed: its temporary file was deleted")
        storage.remove(RUN_FILE)
        storage.remove(name)
        self._media.publish()
        if self._quarantine is not None:
            storage.rename(self._quarantine.name, quarantine_file(self._shard))
            storage.sync(quarantine_file(self._shard))
        else:
            storage.remove(quarantine_file(self._shard))
        storage.rename(self._answers.name, self._shard.file)
        storage.sync(self._shard.file)
        storage.write(name, manifest.model_dump_json(indent=2).encode() + b"\n")

    def _add(self, row: _Row) -> None:
        self._pending.append(row)
        self._pending_bytes += _size_bytes(row.values)
        if len(self._pending) >= _ROWS_PER_GROUP or self._pending_bytes >= _BYTES_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending:
            return
        try:
            self._answers.add(pa.RecordBatch.from_pylist([row.values for row in pending], schema=self._schema))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pending = self._flush_one_by_one(pending)
        if self._columns.text is not None:
            self._empty += sum(not (row.values[self._columns.text] or "").strip() for row in pending)

    def _flush_one_by_one(self, pending: list[_Row]) -> list[_Row]:
        """Write the rows that fit the columns, and return them."""
        fitting, batches = [], []
        for row in pending:
            try:
                batches.append(pa.RecordBatch.from_pylist([row.values], schema=self._schema))
                fitting.append(row)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                self._media.forget(row.files)
                self._set_aside_unwritable(row.record, error)
        if batches:
            self._answers.add(pa.Table.from_batches(batches).combine_chunks())
        return fitting

    def _set_aside_unwritable(self, record: Record, error: Exception) -> None:
        self._unwritable += 1
        self._set_aside(record, RowError("write", type(error).__name__, str(error)))

    def _set_aside(self, record: Record, error: RowError) -> None:
        if self._quarantine is None:
            self._quarantine = TableFile(self._storage, quarantine_file(self._shard), QUARANTINE_SCHEMA, self._owner)
            self._quarantine.open()
        values = (record.id, _reference(record.inputs), error.stage, error.error_class, error.message[:_MESSAGE_LENGTH])
        self._quarantine.add_row(dict(zip(QUARANTINE_SCHEMA.names, map(_storable, values), strict=True)))


class _Excerpt(reprlib.Repr):
    def repr_bytes(self, value: bytes, _level: int) -> str:
        return f"<{len(value)} bytes>"

    def repr_ndarray(self, value: Any, _level: int) -> str:
        return f"<array {value.shape} {value.dtype}>"

    repr_Tensor = repr_ndarray  # noqa: N815


def _reference(inputs: Any) -> str:
    if inputs is None:
        return ""
    if isinstance(inputs, str):
        return inputs[:_REFERENCE_LENGTH]
    return f"{type(inputs).__name__}: {_Excerpt().repr(inputs)}"[:_REFERENCE_LENGTH]


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _size_bytes(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_size_bytes(item) for item in value)
    return int(getattr(value, "nbytes", 8))
