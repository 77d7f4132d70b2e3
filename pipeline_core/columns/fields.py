"""What a value of a pipeline's output is as a value of a column: an Arrow type, and how to get there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline_core.columns.files import ArrayFile, MediaFile, Picture, is_picture
from pipeline_core.errors import RecordError


@dataclass(frozen=True, slots=True)
class Field:
    """One kind of value.

    Attributes:
        type: The column's type.
        read: Makes the column's value of the pipeline's.
        optional: Whether the value may be None or not be there.
    """

    type: pa.DataType
    read: Callable[[Any], Any]
    optional: bool = False

    def __call__(self, value: Any) -> Any:
        if value is None and self.optional:
            return None
        return self.read(value)


class Columns(NamedTuple):
    """Columns and what fills them.

    Attributes:
        fields: The columns by name.
        read: Makes a value for each column of a pipeline's output for one record.
        text: The column that holds the text which the pipeline was asked for, if it was asked for text.
        has_arrays: Whether there are arrays whose type one may choose.
        requires: Packages that write the files.
    """

    fields: dict[str, pa.DataType]
    read: Callable[[Any], dict[str, Any]]
    text: str | None = None
    has_arrays: bool = False
    requires: tuple[str, ...] = ()


def optional(field: Field) -> Field:
    """The same, or nothing."""
    return replace(field, optional=True)


def struct(fields: Mapping[str, Field]) -> Field:
    """A mapping with these keys and no others."""
    return Field(
        pa.struct([(name, field.type) for name, field in fields.items()]), lambda value: read_fields(value, fields)
    )


def listed(field: Field) -> Field:
    """Any number of them."""
    return Field(pa.list_(field.type), lambda values: [field(value) for value in as_list(values)])


def read_fields(value: Any, fields: Mapping[str, Field], ignored: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of one mapping.

    Raises:
        RecordError: It is none, it lacks a key, or it has one that is neither a field nor ignored.
    """
    if not isinstance(value, Mapping):
        raise RecordError(f"the output must have {', '.join(fields)}, but is {kind_of(value)} instead")
    missing = [name for name, field in fields.items() if name not in value and not field.optional]
    unknown = [str(name) for name in value if name not in fields and name not in ignored]
    if missing or unknown:
        found = ", ".join(map(str, value)) or "nothing"
        raise RecordError(f"the output must have {', '.join(fields)}, but has {found} instead")
    return {name: _named(name, field, value.get(name)) for name, field in fields.items()}


def as_list(value: Any) -> list[Any]:
    """The items of a list, a tuple, an array or a tensor.

    Raises:
        RecordError: It is none of these.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if hasattr(value, "shape") and len(value.shape):
        return list(value)
    raise RecordError(f"the output must be a list, but is {kind_of(value)} instead")


def as_array(value: Any) -> np.ndarray:
    """A tensor, an array or a list of numbers as an array; of bfloat16, which numpy lacks, in float32.

    Raises:
        RecordError: It is not a rectangle of numbers.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.dtype.is_floating_point else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise RecordError(f"the output is no array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise RecordError(f"the output is no array of numbers, but {kind_of(value)}")
    return array


def as_floats(value: Any, dtype: str) -> np.ndarray:
    """The numbers of an array in "float32" or "float16".

    Raises:
        RecordError: One is beyond what the dtype can hold.
    """
    array = as_array(value)
    with np.errstate(over="ignore"):
        floats = array.astype(dtype, copy=False)
    if np.isinf(floats).any() and not np.array_equal(np.isinf(floats), np.isinf(array)):
        largest = float(np.abs(array[np.isfinite(array)]).max())
        raise RecordError(f"the output holds {largest:g}, beyond {dtype}'s {np.finfo(dtype).max:g}; write float32")
    return floats


def kind_of(value: Any) -> str:
    """The name of a value's class, with its module where it is not built in."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _named(name: str, field: Field, value: Any) -> Any:
    try:
        return field(value)
    except (TypeError, ValueError) as error:
        raise RecordError(f"{name} of the output is {kind_of(value)}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RecordError(f"the output must have text, but has {kind_of(value)} instead")
    return value


def _picture(value: Any) -> MediaFile:
    if is_picture(value):
        return ArrayFile(np.asarray(value)) if value.mode == "F" else Picture(value)
    array = as_array(value)
    if array.dtype == bool and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        return Picture.of_array(array)
    return ArrayFile(array)


TEXT = Field(pa.string(), _text)
NUMBER = Field(pa.float64(), float)
WHOLE = Field(pa.int32(), int)
WHOLES = Field(pa.list_(pa.int32()), lambda value: as_array(value).astype(np.int32).reshape(-1))
PICTURE = Field(pa.string(), _picture)
