"""Any output at all as JSON text; images in it become files, and their paths stand in the text."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline_core.columns.fields import TEXT, Columns, kind_of
from pipeline_core.columns.files import ArrayFile, JsonText, Picture, is_picture
from pipeline_core.errors import RecordError

_INFINITE = ("-Infinity", "Infinity")


def json_columns() -> Columns:
    """``prediction``, the pipeline's output as JSON text."""
    return Columns({"prediction": TEXT.type}, lambda output: {"prediction": JsonText(plain(output, with_files=True))})


def plain(value: Any, with_files: bool = False) -> Any:
    """The value as JSON can write it; arrays become lists, and with files an image the file that it will be.

    Raises:
        RecordError: It holds bytes or anything else that JSON can't write.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        # JSON has no such numbers; these are the words that read as them in most languages.
        return float(value) if math.isfinite(value) else "NaN" if math.isnan(value) else _INFINITE[value > 0]
    if isinstance(value, Mapping):
        return {str(key): plain(item, with_files) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, with_files) for item in value]
    if with_files and is_picture(value):
        return ArrayFile(np.asarray(value)) if value.mode == "F" else Picture(value)
    if callable(getattr(value, "tolist", None)) and type(value).__module__.partition(".")[0] in ("numpy", "torch"):
        listed = value.tolist()
        if type(listed) is not type(value):
            return plain(listed, with_files)
    raise RecordError(f"the output holds a {kind_of(value)}; only what JSON can write is taken")
