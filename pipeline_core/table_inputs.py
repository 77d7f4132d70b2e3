"""Tables of pandas, Arrow, polars and datasets behind one face: their columns, those of text, and their rows."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline_core.input_columns import is_text
from pipeline_core.tables import BATCH_ROWS, Row, rows_of

TableInput = tuple[Sequence[str], Callable[[], list[str]], Callable[[list[str]], Iterator[Any]]]
"""The columns; what tells those of strings; and what reads the rows with at least some columns."""


def as_table(inputs: Any) -> TableInput | None:
    """The table that ``inputs`` is; None for what is no table."""
    if is_a("pandas", "DataFrame", inputs):
        return _pandas_table(inputs)
    if isinstance(inputs, pa.Table | pa.RecordBatch | pa.RecordBatchReader):
        return _arrow_table(inputs)
    if is_typed(inputs):
        return datasets_table(inputs)
    if is_a("polars", "DataFrame", inputs):
        return _arrow_table(inputs.to_arrow())
    return None


def datasets_table(dataset: Any) -> TableInput:
    """A dataset of ``datasets`` that knows its columns; its media come as bytes and paths."""

    def read(columns: list[str]) -> Iterator[Any]:
        # A transform that the user set may need every column.
        if getattr(dataset, "format", {}).get("type") == "custom":
            yield from dataset
        elif _holds_media(dataset.features, columns):
            yield from _undecoded(dataset, columns)
        else:
            yield from dataset.select_columns(columns)

    text = [field.name for field in dataset.features.arrow_schema if is_text(field)]
    return list(dataset.features), lambda: text, read


def is_typed(dataset: Any) -> bool:
    """Whether this is a dataset of ``datasets`` that knows its columns."""
    return is_a("datasets", "Dataset", dataset) or (
        is_a("datasets", "IterableDataset", dataset) and bool(dataset.features)
    )


def is_a(module: str, name: str, value: Any) -> bool:
    """Whether ``value`` is of a class of a package, which is not imported: a value of it has imported it."""
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(value, found)


def pandas_cells(series: Any) -> list[Any]:
    """The cells of a pandas column or index as Python values, missing ones as None."""
    missing = series.isna().tolist()
    return [None if gone else plain(cell) for cell, gone in zip(series.tolist(), missing, strict=True)]


def plain(value: Any) -> Any:
    """A value of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def known_cell(cell: Any) -> Any:
    """A cell, or None in the place of NaN."""
    return None if isinstance(cell, float) and cell != cell else cell


def _pandas_table(frame: Any) -> TableInput:
    import pandas as pd

    def text_columns() -> list[str]:
        return [name for name in frame.columns if pd.api.types.infer_dtype(frame[name], skipna=True) == "string"]

    def read(columns: list[str]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(frame), BATCH_ROWS):
            piece = frame.iloc[start : start + BATCH_ROWS]
            cells = [pandas_cells(piece[name]) for name in columns]
            yield from (dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True))

    return list(frame.columns), text_columns, read


def _arrow_table(table: Any) -> TableInput:
    def read(columns: list[str]) -> Iterator[Row]:
        for batch in [table] if isinstance(table, pa.RecordBatch) else _batches(table):
            for row in rows_of(batch, columns):
                yield {name: known_cell(cell) for name, cell in row.items()} if isinstance(row, dict) else row

    return table.schema.names, lambda: [field.name for field in table.schema if is_text(field)], read


def _batches(table: Any) -> Iterator[Any]:
    yield from table if isinstance(table, pa.RecordBatchReader) else table.to_reader(BATCH_ROWS)


def _holds_media(features: Any, columns: Iterable[str]) -> bool:
    from datasets.features.features import require_decoding

    return any(require_decoding(features[column]) for column in columns)


def _undecoded(dataset: Any, columns: list[str]) -> Iterator[Any]:
    """The rows with their media as bytes and paths: ``datasets`` would decode them with packages of its own."""
    dataset = dataset.select_columns(columns)
    if is_a("datasets", "IterableDataset", dataset):
        yield from dataset.decode(False)
        return
    table = dataset.with_format("arrow")
    for start in range(0, len(table), BATCH_ROWS):
        yield from rows_of(table[start : start + BATCH_ROWS], columns)
