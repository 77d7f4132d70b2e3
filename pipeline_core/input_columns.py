"""Which columns of a dataset make up an input: those named, and those that can be taken without a word."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline_core.errors import ColumnNotFoundError, InputNotFoundError, SpecError
from pipeline_core.task_inputs import Input

Column = str | dict[str, str]

# In the metadata of a field: its cells are of several types ("mixed") or lists and objects ("nested").
HOLDS = b"holds"
_ANY_TASK = (Input("text", "text", ("text",)),)


def choose_column(
    dataset: str,
    named: Column | None,
    columns: Sequence[str],
    text_columns: Callable[[], Sequence[str]],
    inputs: Sequence[Input] = (),
    given: Collection[str] = (),
) -> Column:
    """The column to take as input, or the columns by the names of the task's inputs where it takes several.

    A column that is named alone stands for the input that usually has its name, else for the first.
    Required inputs that are not named are found in columns of their usual names; optional ones only
    where nothing is named.

    Args:
        dataset: Its name, for the error.
        named: A column, or the columns that make up one input by the pipeline's keys.
        columns: All the dataset's columns.
        text_columns: Tells those of strings; the only one is taken for a text that nothing else decides.
        inputs: What the task takes; none for a task that the catalog has no inputs of: any keys are taken.
        given: Parameters of the pipeline, which may stand for an input, as "candidate_labels" may.

    Raises:
        ColumnNotFoundError: A named column is missing, or there are no or several text columns.
        InputNotFoundError: There is no column for an input that the task requires.
        SpecError: A key is not among the task's inputs.
    """
    if named is not None:
        check_columns(dataset, input_columns(named), columns)
        if not inputs:
            return named
    known = inputs or _ANY_TASK
    chosen = _named_inputs(named, known)
    _take_usual(chosen, [one for one in known if one.required or (named is None and not one.replaces)], known, columns)
    if named is None and _missing(known, chosen, given):
        _take_usual(chosen, [one for one in known if one.replaces], known, columns)
    missing = _missing(known, chosen, given)
    if [one.kind for one in missing] == ["text"]:
        texts = [name for name in text_columns() if name not in chosen.values()]
        if len(texts) == 1:
            chosen[missing.pop().name] = texts[0]
        elif len([one for one in known if one.required]) == 1:
            raise ColumnNotFoundError(dataset, None, columns)
    if missing:
        raise InputNotFoundError(dataset, missing[0], known, columns)
    replaced = set() if isinstance(named, dict) else _replaced(known, chosen)
    chosen = {one.name: chosen[one.name] for one in known if one.name in chosen and one.name not in replaced}
    if isinstance(named, dict):
        return chosen
    return chosen[known[0].name] if chosen.keys() == {known[0].name} else chosen


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


def _named_inputs(named: Column | None, known: Sequence[Input]) -> dict[str, str]:
    if named is None:
        return {}
    if isinstance(named, str):
        owner = next((one for one in known if named in one.columns), known[0])
        return {owner.name: named}
    names = [one.name for one in known]
    for name in named:
        if name not in names:
            raise SpecError(
                f"column must map the task's inputs {', '.join(names)} to columns, but names {name!r} instead"
            )
    return dict(named)


def _take_usual(
    chosen: dict[str, str], wanted: Iterable[Input], known: Sequence[Input], columns: Sequence[str]
) -> None:
    for one in wanted:
        if one.name not in chosen and one.name not in _replaced(known, chosen):
            column = next((name for name in one.columns if name in columns and name not in chosen.values()), None)
            if column is not None:
                chosen[one.name] = column


def _missing(known: Sequence[Input], chosen: Mapping[str, str], given: Collection[str]) -> list[Input]:
    there = {*chosen, *given, *_replaced(known, chosen)}
    return [one for one in known if one.required and one.name not in there]


def _replaced(known: Sequence[Input], chosen: Collection[str]) -> set[str]:
    return {name for one in known if one.name in chosen for name in one.replaces}


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
