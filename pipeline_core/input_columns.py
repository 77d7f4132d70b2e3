"""Which columns of a dataset make up an input: those named, else the one that can be taken without a word."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline_core.errors import ColumnNotFoundError

Column = str | dict[str, str]

# In the metadata of a field: its cells are of several types ("mixed") or lists and objects ("nested").
HOLDS = b"holds"


def choose_column(
    dataset: str,
    named: Column | None,
    columns: Sequence[str],
    text_columns: Callable[[], Sequence[str]],
    preferred: str = "text",
) -> Column:
    """The column to take as input: the one named, else ``preferred`` if there is one, else the only text column.

    Args:
        dataset: Its name, for the error.
        named: A column, or the columns that make up one input by the pipeline's keys.
        columns: All the dataset's columns.
        text_columns: Tells those of strings; called only if nothing else decides.
        preferred: Taken wherever it exists.

    Raises:
        ColumnNotFoundError: A named column is missing, or there are no or several text columns.
    """
    if named is not None:
        check_columns(dataset, input_columns(named), columns)
        return named
    if preferred in columns:
        return preferred
    texts = text_columns()
    if len(texts) != 1:
        raise ColumnNotFoundError(dataset, None, columns)
    return texts[0]


def check_columns(dataset: str, wanted: Iterable[str], columns: Sequence[str]) -> None:
    """Refuse a column that is not there.

    Raises:
        ColumnNotFoundError: One of ``wanted`` is not in ``columns``.
    """
    for column in wanted:
        if column not in columns:
            raise ColumnNotFoundError(dataset, column, columns)


def input_columns(column: Column) -> list[str]:
    """The dataset's columns that make up one input."""
    return [column] if isinstance(column, str) else list(column.values())


def input_of(row: Mapping[str, Any], column: Column) -> Any:
    """The input that a row holds: a cell, or a dict of cells by the pipeline's keys."""
    if isinstance(column, str):
        return row.get(column)
    return {key: row.get(name) for key, name in column.items()}


def is_text(field: Any) -> bool:
    """Whether a field holds strings, and only them."""
    strings = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    return bool(strings and HOLDS not in (field.metadata or {}))


def is_plain(field: Any) -> bool:
    """Whether a field holds plain scalars: numbers, booleans, strings, dates and times."""
    if (field.metadata or {}).get(HOLDS) == b"nested" or not field.name:
        return False
    kind = field.type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_temporal(kind)
    )


def text_field(name: str, holds: bytes | None = None) -> Any:
    """A field of strings; with ``holds``, of JSON text that stands for cells of other types."""
    return pa.field(name, pa.string(), metadata=None if holds is None else {HOLDS: holds})
