"""JSON lines, one object a line: a line that is none is an error of its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from pipeline_core.errors import InvalidInputError
from pipeline_core.input_columns import HOLDS, text_field
from pipeline_core.lines import Lines


class JsonRows:
    """The JSON lines of one file, with every key that one of them has as a column."""

    def __init__(self, lines: Lines) -> None:  # noqa: ARG002
        self._kinds: dict[str, set[str]] = {}

    def rows(self, lines: Lines) -> Iterator[dict[str, Any] | InvalidInputError]:
        """The rows from where ``lines`` is."""
        while line := lines.readline():
            if not line.isspace():
                yield _row(line)

    def observe(self, row: dict[str, Any]) -> None:
        """Widen the columns' types to what ``row`` holds."""
        for column, cell in row.items():
            kinds = self._kinds.setdefault(column, set())
            if cell is not None:
                kinds.add(_kind(cell))

    def fields(self) -> list[Any]:
        """The columns with the types of what was observed."""
        return [_field(column, kinds) for column, kinds in self._kinds.items()]

    @staticmethod
    def caster(field: Any) -> Callable[[Any], Any] | None:
        """What turns a cell into ``field``'s type: JSON text where cells are of several or nested types."""
        if HOLDS in (field.metadata or {}):
            return lambda cell: None if cell is None else json.dumps(cell, ensure_ascii=False)
        if pa.types.is_floating(field.type):
            return lambda cell: None if cell is None else float(cell)
        return None


def _row(line: bytes) -> dict[str, Any] | InvalidInputError:
    try:
        row = json.loads(line.decode("utf-8"))
        if b"\\u" in line:
            # Half of a surrogate pair passes json and fails later, where text is encoded.
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        return InvalidInputError(f"the line is not UTF-8: {error}")
    except (ValueError, RecursionError) as error:
        return InvalidInputError(f"the line is not JSON: {error}")
    if not isinstance(row, dict):
        return InvalidInputError(f"the line must be a JSON object, but is a {type(row).__name__} instead")
    return row


def _kind(cell: Any) -> str:
    if isinstance(cell, list | dict):
        return "nested"
    if isinstance(cell, int) and not -(2**63) <= cell < 2**63:
        return "mixed"
    return type(cell).__name__


def _field(column: str, kinds: set[str]) -> Any:
    if not kinds:
        return pa.field(column, pa.null())
    if "nested" in kinds:
        return text_field(column, b"nested")
    if kinds == {"bool"}:
        return pa.field(column, pa.bool_())
    if kinds == {"str"}:
        return text_field(column)
    if kinds <= {"int", "float"}:
        return pa.field(column, pa.int64() if kinds == {"int"} else pa.float64())
    return text_field(column, b"mixed")
