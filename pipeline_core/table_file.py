"""A parquet file under a temporary name, summed while it is written."""

import hashlib
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_core.storage import Storage

_ROWS_PER_GROUP = 4096


class WrittenTable(NamedTuple):
    """What a finished file holds."""

    rows: int
    sha256: str
    size_bytes: int


class TableFile:
    """A table on its way to ``final_name``; ``name`` is where it is until it is moved there."""

    def __init__(self, storage: Storage, final_name: str, schema: pa.Schema, owner: str | None) -> None:
        self.name = storage.temporary(final_name, label=owner or "")
        self._storage, self._schema = storage, schema
        self._rows = 0
        self._buffered: list[dict[str, Any]] = []
        self._file: _HashedFile | None = None
        self._writer: Any = None

    def open(self) -> None:
        """Begin the file; a table without rows is a file too."""
        self._file = _HashedFile(self._storage.open_new(self.name))
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def add(self, batch: Any) -> None:
        """Write a record batch or a table as one row group."""
        # A row group without rows makes datasets' parquet reader fail.
        if batch.num_rows:
            table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._rows += table.num_rows

    def add_row(self, row: dict[str, Any]) -> None:
        """Write a row, together with those that follow."""
        self._buffered.append(row)
        if len(self._buffered) >= _ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> WrittenTable:
        """Write what is left and make the file durable."""
        assert self._file is not None
        self._flush()
        self._writer.close()
        self._storage.finish(self._file.inner)
        return WrittenTable(self._rows, self._file.sha256.hexdigest(), self._file.size_bytes)

    def discard(self) -> None:
        """Delete the file unless it was moved away."""
        if self._file is None:
            return
        with suppress(Exception):
            self._writer.close()
        with suppress(Exception):
            self._file.inner.close()
        with suppress(OSError):
            self._storage.remove(self.name)

    def _flush(self) -> None:
        if self._buffered:
            self.add(pa.Table.from_pylist(self._buffered, schema=self._schema))
            self._buffered.clear()


class _HashedFile:
    """What pyarrow writes to; sums what was meant to be written, so that a disk's error shows later."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, content: Any) -> int:
        self.inner.write(content)
        self.sha256.update(content)
        self.size_bytes += len(content)
        return len(content)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        """Left to the storage, which makes the file durable first."""
