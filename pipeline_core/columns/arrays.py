"""Outputs that are arrays, images or sound: features beside their shape, everything else as files."""

from typing import Any

import pyarrow as pa

from pipeline_core.columns.fields import (
    PICTURE,
    TEXT,
    WHOLE,
    WHOLES,
    Columns,
    Field,
    as_array,
    as_floats,
    as_list,
    read_fields,
)
from pipeline_core.columns.files import ArrayFile, Sound
from pipeline_core.errors import RecordError


def feature_columns(dtype: str) -> Columns:
    """feature-extraction: ``features``, flat, in ``dtype``, and ``features_shape``, to reshape them to.

    The shape is what the pipeline gives, such as (1, tokens, width).
    """
    fields = {"features": pa.list_(_ARROW[dtype]), "features_shape": WHOLES.type}

    def read(output: Any) -> dict[str, Any]:
        array = as_floats(output, dtype)
        return {"features": array.reshape(-1), "features_shape": WHOLES(array.shape)}

    return Columns(fields, read, has_arrays=True)


def depth_columns(dtype: str) -> Columns:
    """depth-estimation: paths of ``predicted_depth``, (height, width) in ``dtype``, and of ``depth``, a grey PNG."""
    fields = {
        "predicted_depth": Field(TEXT.type, lambda value: ArrayFile(as_floats(value, dtype))),
        "depth": PICTURE,
    }
    return Columns(
        {name: field.type for name, field in fields.items()},
        lambda output: read_fields(_only(output), fields),
        has_arrays=True,
    )


def sound_columns() -> Columns:
    """text-to-audio: the path of ``audio``, a WAV file of 32-bit floats, and its ``sampling_rate`` in hertz."""
    raw = {"audio": Field(pa.null(), _samples), "sampling_rate": WHOLE}

    def read(output: Any) -> dict[str, Any]:
        row = read_fields(_only(output), raw)
        return {**row, "audio": Sound(row["audio"], row["sampling_rate"])}

    return Columns({"audio": TEXT.type, "sampling_rate": WHOLE.type}, read, requires=("soundfile",))


def image_columns() -> Columns:
    """image-to-image: the path of ``image``, a PNG."""
    return Columns({"image": PICTURE.type}, lambda output: {"image": PICTURE(_only(output))})


def _only(output: Any) -> Any:
    """The one answer of a list; what is no list itself."""
    if not isinstance(output, list | tuple):
        return output
    if len(output) != 1:
        raise RecordError(f"the pipeline must give one answer for a record, but gave {len(output)}")
    return output[0]


def _samples(audio: Any) -> Any:
    if isinstance(audio, list):
        audio = audio[0] if len(as_list(audio)) == 1 else audio
    samples = as_array(audio)
    if samples.ndim not in (1, 2):
        raise RecordError(f"audio must be samples or channels of samples, but has the shape {samples.shape}")
    return samples.astype("float32", copy=False)


_ARROW = {"float32": pa.float32(), "float16": pa.float16()}
