"""Raw inputs of any kind as records, taken one by one as they are asked for."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline_core.catalog import find_task
from pipeline_core.errors import ColumnNotFoundError, InvalidInputError, SpecError
from pipeline_core.input_columns import Column, check_columns, choose_column, input_columns, input_of
from pipeline_core.media import MediaRoot
from pipeline_core.records import Record
from pipeline_core.sources import DatasetRef, open_dataset
from pipeline_core.table_inputs import as_table, datasets_table, is_a, is_typed, known_cell, pandas_cells, plain
from pipeline_core.tables import BATCH_ROWS, rows_of
from pipeline_core.task_inputs import Input

ACCEPTED = (
    "a list or another iterable, a numpy array, a pandas, Arrow or datasets table or column, "
    "a torch dataset or a DatasetRef"
)


def iterate_inputs(
    inputs: Any,
    column: Column | None = None,
    id_column: str | None = None,
    task: str | None = None,
    parameters: Collection[str] = (),
    media_root: str | os.PathLike[str] | None = None,
) -> Iterator[Record]:
    """The inputs as records, numbered from 0; nothing is taken from ``inputs`` before it is asked for.

    Args:
        inputs: Any of ``ACCEPTED``. Cells of tables that are null or NaN become None.
        column: The column to take as input, for tables and for rows that are dicts; or a dict from
            the task's inputs to columns. None takes columns of a table that have the usual names of
            the task's inputs, or its only text column, and other inputs as they are.
        id_column: The column that names the records, for tables and for rows that are dicts.
        task: The pipeline task that the records are for.
        parameters: Names of the pipeline's parameters; an input that is among them needs no column.
        media_root: The folder whose files strings may name where media belong; None for none, or for what a
            ``DatasetRef`` says.

    Raises:
        SpecError: ``inputs`` is a single input, or can't be iterated in an order.
        ColumnNotFoundError: A column is not there, or none can be taken without being named.
    """
    _refuse_single(inputs)
    folder = None if media_root is None else os.fspath(media_root)
    if isinstance(inputs, DatasetRef):
        return _records_of_ref(inputs, column, id_column, task, parameters, folder)
    records = _records_of(inputs, column, id_column, task, parameters)
    if folder is None:
        return records
    root = MediaRoot(folder)
    return (replace(record, media_root=root) for record in records)


def _records_of(
    inputs: Any, column: Column | None, id_column: str | None, task: str | None, parameters: Collection[str]
) -> Iterator[Record]:
    known = find_task(task).inputs if task is not None else ()
    name = type(inputs).__name__
    if is_a("datasets", "IterableDataset", inputs) and inputs.features is None and column is None:
        return _records_of_untyped(inputs, id_column, name, known, parameters)
    table = as_table(inputs)
    if table is None:
        return _records(_rows(inputs), column, id_column, name)
    columns, text_columns, read = table
    ids = [] if id_column is None else [id_column]
    column = choose_column(
        name, column, columns, lambda: [text for text in text_columns() if text not in ids], known, parameters
    )
    check_columns(name, ids, columns)
    return _records(read(list(dict.fromkeys([*input_columns(column), *ids]))), column, id_column, name)


def count_inputs(inputs: Any, task: str | None = None, parameters: Collection[str] = ()) -> int | None:
    """How many records there will be for the task with these parameters; None where only reading them can tell.

    Raises:
        SpecError: As in ``iterate_inputs``.
    """
    _refuse_single(inputs)
    if isinstance(inputs, DatasetRef):
        return None if inputs.where else open_dataset(inputs, task, parameters).rows
    try:
        return len(inputs)
    except (TypeError, NotImplementedError):
        return inputs.num_rows if isinstance(inputs, pa.Table | pa.RecordBatch) else None


def _refuse_single(inputs: Any) -> None:
    if is_a("datasets", "DatasetDict", inputs) or is_a("datasets", "IterableDatasetDict", inputs):
        raise SpecError(
            f"inputs has several splits: take one of {', '.join(inputs)}, as in inputs[{next(iter(inputs))!r}]"
        )
    kind = type(inputs).__name__
    if isinstance(inputs, str | bytes | bytearray | Mapping | os.PathLike):
        raise SpecError(f"inputs must be {ACCEPTED}, but is one {kind} instead; wrap a single input in a list")
    if isinstance(inputs, set | frozenset):
        raise SpecError(f"inputs must come in an order, but a {kind} has none; sort it into a list")
    is_iterable = hasattr(inputs, "__iter__") or hasattr(inputs, "__getitem__") or isinstance(inputs, DatasetRef)
    if not is_iterable or (isinstance(inputs, np.ndarray) and inputs.ndim == 0):
        raise SpecError(f"inputs must be {ACCEPTED}, but is a {kind} instead; wrap a single input in a list")


def _records_of_ref(
    ref: DatasetRef,
    column: Column | None,
    id_column: str | None,
    task: str | None,
    parameters: Collection[str],
    media_root: str | None,
) -> Iterator[Record]:
    named = {"column": column, "id_column": id_column, "media_root": media_root}
    ref = ref.model_copy(update={name: value for name, value in named.items() if value is not None})
    yield from open_dataset(ref, task, parameters).records()


def _records(rows: Iterable[Any], column: Column | None, id_column: str | None, name: str) -> Iterator[Record]:
    for number, row in enumerate(rows):
        position = str(number)
        if isinstance(row, InvalidInputError):
            yield Record(position, None, error=row)
        elif column is None and id_column is None:
            yield Record(position, row)
        elif isinstance(row, Mapping):
            yield _record_of_mapping(row, position, column, id_column, name)
        else:
            error = InvalidInputError(
                f"the row must be a dict with the column asked for, but is a {type(row).__name__}"
            )
            if row is not None and number == 0:
                raise SpecError(f"column and id_column are for tables and rows that are dicts, not for {name}: {error}")
            yield Record(position, None, error=error)


def _record_of_mapping(
    row: Mapping[str, Any], position: str, column: Column | None, id_column: str | None, name: str
) -> Record:
    if column is not None:
        for wanted in input_columns(column):
            if wanted not in row:
                missing = ColumnNotFoundError(name, wanted, map(str, row))
                if position == "0":
                    raise missing
                return Record(position, None, error=InvalidInputError(str(missing)))
    named = row.get(id_column) if id_column is not None else None
    inputs = row if column is None else input_of(row, column)
    return Record(position if named is None else str(named), inputs)


def _records_of_untyped(
    dataset: Any, id_column: str | None, name: str, known: Sequence[Input], given: Collection[str]
) -> Iterator[Record]:
    """The rows of a stream whose columns only its first row tells."""
    rows = iter(dataset)
    for first in rows:
        texts = [column for column, cell in first.items() if isinstance(cell, str) and column != id_column]
        column = choose_column(name, None, list(first), texts.copy, known, given)
        yield from _records(chain([first], rows), column, id_column, name)


def _rows(inputs: Any) -> Iterator[Any]:
    """What an iterable, a column or a torch dataset gives, one by one."""
    if is_a("pandas", "Series", inputs) or is_a("pandas", "Index", inputs):
        return _pandas_rows(inputs)
    if isinstance(inputs, pa.Array | pa.ChunkedArray):
        return _arrow_rows(inputs)
    for kind, keys in (("KeyDataset", {"": "key"}), ("KeyPairDataset", {"text": "key1", "text_pair": "key2"})):
        if is_a("transformers.pipelines.pt_utils", kind, inputs):
            columns = {key: getattr(inputs, attribute) for key, attribute in keys.items()}
            return _key_rows(inputs.dataset, columns.get("", columns))
    source: Any = getattr(inputs, "source", None)
    if is_typed(source):
        return _key_rows(source, inputs.column_name)
    if not hasattr(inputs, "__iter__") and hasattr(inputs, "__len__"):
        return (inputs[number] for number in range(len(inputs)))
    return map(plain, inputs)


def _pandas_rows(series: Any) -> Iterator[Any]:
    series = series if hasattr(series, "iloc") else series.to_series()
    for start in range(0, len(series), BATCH_ROWS):
        yield from pandas_cells(series.iloc[start : start + BATCH_ROWS])


def _arrow_rows(array: Any) -> Iterator[Any]:
    for row in rows_of(pa.table({"": array}), [""]):
        yield known_cell(row[""]) if isinstance(row, dict) else row


def _key_rows(dataset: Any, column: Column) -> Iterator[Any]:
    """The cells behind a KeyDataset, whose own indexing fails on a stream."""
    names = input_columns(column)
    if is_typed(dataset):
        dataset = datasets_table(dataset)[2](names)
    for row in _rows(dataset):
        if isinstance(row, InvalidInputError):
            yield row
            continue
        yield row[column] if isinstance(column, str) else {key: row[name] for key, name in column.items()}
