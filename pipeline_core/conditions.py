"""Conditions on a row's columns: written as text, checked against the columns' types, then asked of every row."""

import ast
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

from pipeline_core.errors import SpecError

_WRITTEN = re.compile(
    r"""\s*(?P<column>"[^"]+"|'[^']+'|`[^`]+`|[^\s<>=!"'`]+)
        \s*(?P<op>==|!=|<=|>=|<|>|\bnot\s+in\b|\bin\b|\bis\s+not\s+null\b|\bis\s+null\b)
        \s*(?P<value>.*?)\s*""",
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"[^\W\d_][\w.:/+-]*|\d{4}-\d\d-\d\d([T ][\d:.+Z-]+)?")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda cell, values: cell in values,
    "not in": lambda cell, values: cell not in values,
}


class Condition(BaseModel):
    """What a row's cell must meet; a null meets "is null" alone, as in SQL.

    Attributes:
        column: The column's name.
        op: The comparison.
        value: What to compare with: a list for "in" and "not in", nothing for the null ones, else
            a number, a boolean or a string, which stands for a date where the column holds dates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    column: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is null", "is not null"]
    value: Any = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return _parse(data) if isinstance(data, str) else data

    @model_validator(mode="after")
    def _value_suits_the_comparison(self) -> Self:
        if self.op.endswith("null"):
            accepted, suits = "no value", self.value is None
        elif self.op.endswith("in"):
            accepted, suits = "a list of values", isinstance(self.value, list) and all(map(_is_scalar, self.value))
        else:
            accepted, suits = "a number, a boolean or a string", _is_scalar(self.value)
        if not suits:
            raise ValueError(f"{self.column} {self.op} takes {accepted}, but has {self.value!r} instead")
        return self

    def __str__(self) -> str:
        value = "" if self.op.endswith("null") else f" {self.value!r}"
        return f"{self.column} {self.op}{value}"


def matcher(conditions: Iterable[Condition], types: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """A function that tells whether a row, as a mapping of its typed cells, meets all conditions.

    Args:
        conditions: Their columns are all in ``types``.
        types: The Arrow type of each column; None for one whose cells are of several types.

    Raises:
        SpecError: A column can't be compared with the condition's value.
    """
    tests = [(condition.column, _test(condition, types[condition.column])) for condition in conditions]
    return lambda row: all(test(row.get(column)) for column, test in tests)


def _parse(text: str) -> dict[str, Any]:
    match = _WRITTEN.fullmatch(text)
    if not match:
        raise ValueError(
            f"a condition is written COLUMN OP VALUE with OP one of {', '.join(_COMPARISONS)}, is null, is not null; "
            f"{text!r} is not"
        )
    op = " ".join(match["op"].split())
    column = match["column"]
    if len(column) > 2 and column[0] == column[-1] and column[0] in "\"'`":
        column = column[1:-1]
    parsed: dict[str, Any] = {"column": column, "op": op}
    if match["value"] or not op.endswith("null"):
        parsed["value"] = _parse_value(match["value"], text)
    return parsed


def _parse_value(written: str, text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(written, parse_constant=refuse)
    except ValueError:
        pass
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if _WORD.fullmatch(written):
            return written
        raise ValueError(
            f"{written!r} in {text!r} is not one value; write a number, true, false, a string or a [list], "
            "and one condition each"
        ) from None
    return list(value) if isinstance(value, tuple) else value


def _is_scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | date)


def _test(condition: Condition, column_type: Any) -> Callable[[Any], bool]:
    if condition.op == "is null":
        return lambda cell: cell is None
    if condition.op == "is not null":
        return lambda cell: cell is not None
    if isinstance(condition.value, list):
        value: Any = [_as_column_value(condition, item, column_type) for item in condition.value]
    else:
        value = _as_column_value(condition, condition.value, column_type)
    compare = _COMPARISONS[condition.op]
    return lambda cell: cell is not None and compare(cell, value)


def _as_column_value(condition: Condition, value: Any, column_type: Any) -> Any:
    if column_type is not None:
        if pa.types.is_null(column_type):
            return value
        if pa.types.is_string(column_type) or pa.types.is_large_string(column_type):
            if isinstance(value, str):
                return value
        elif pa.types.is_date(column_type) or pa.types.is_timestamp(column_type):
            moment = _as_moment(value, column_type)
            if moment is not None:
                return moment
        elif isinstance(value, int | float) and (
            pa.types.is_integer(column_type)
            or pa.types.is_floating(column_type)
            or pa.types.is_decimal(column_type)
            or pa.types.is_boolean(column_type)
        ):
            return value
    held = "values of several or nested types" if column_type is None else str(column_type)
    raise SpecError(f"where: column {condition.column!r} holds {held}, which can't be compared in {str(condition)!r}")


def _as_moment(value: Any, column_type: Any) -> date | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(moment, date):
        return None
    if pa.types.is_date(column_type):
        return moment.date() if isinstance(moment, datetime) else moment
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if column_type.tz is None:
        return moment if moment.tzinfo is None else None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
