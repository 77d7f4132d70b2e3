"""A prediction as typed columns, the same for every shard of a run."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline_core.catalog import find_task
from pipeline_core.errors import RecordError, SpecError
from pipeline_core.records import Prediction

_LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())]))
_COUNTS = [("truncated", pa.bool_()), ("tokens", pa.int32())]


def prediction_schema(task: str, parameters: Mapping[str, Any]) -> pa.Schema:
    """Columns that hold one prediction of ``task``.

    text-classification gives ``predicted_label`` and ``predicted_score``, and under a ``top_k`` other than 1
    all labels as ``predictions``; any other task gives ``prediction``, its output as JSON text. ``truncated``
    and ``tokens`` come last.
    """
    if find_task(task).name != "text-classification":
        return pa.schema([("prediction", pa.string()), *_COUNTS])
    fields = [("predicted_label", pa.string()), ("predicted_score", pa.float64())]
    if _wants_list(parameters):
        fields.append(("predictions", _LABELS))
    return pa.schema([*fields, *_COUNTS])


def prediction_row(task: str, parameters: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
    """The values of ``prediction_schema``'s columns for one answered record.

    Raises:
        RecordError: The output does not fit the columns: it holds bytes, an image, a number that is not
            finite, or for text-classification anything but labels with scores.
    """
    counts = {"truncated": prediction.truncated, "tokens": prediction.tokens}
    if find_task(task).name != "text-classification":
        return {"prediction": _json_text(prediction.output), **counts}
    labels = [_label_and_score(item) for item in _as_list(prediction.output)]
    first = labels[0] if labels else {"label": None, "score": None}
    row = {"predicted_label": first["label"], "predicted_score": first["score"], **counts}
    if _wants_list(parameters):
        row["predictions"] = labels
    return row


def output_schema(kept_schema: pa.Schema, task: str, parameters: Mapping[str, Any]) -> pa.Schema:
    """All columns of a part file: ``id``, the kept ones, the prediction's.

    Raises:
        SpecError: A kept column has the name of one of ours, or of another kept one.
    """
    ours = prediction_schema(task, parameters)
    taken = {"id", *ours.names}
    for name in kept_schema.names:
        if name in taken:
            raise SpecError(
                f"column {name!r} can't be kept: the output has a column of that name itself; "
                "name the columns to keep without it (keep_columns, --keep-column), or rename it in the dataset"
            )
        taken.add(name)
    # Metadata describes the source's whole table; readers would take it for the output's.
    return pa.schema([pa.field("id", pa.string()), *kept_schema, *ours])


def first_label(output: Any) -> str | None:
    """The label that an output puts first; None for tasks that give no labels."""
    if isinstance(output, list | tuple):
        output = output[0] if output else None
    if not isinstance(output, Mapping):
        return None
    label = output.get("label")
    if label is None:
        labels = output.get("labels")
        label = labels[0] if isinstance(labels, list | tuple) and labels else None
    return label if isinstance(label, str) else None


def _wants_list(parameters: Mapping[str, Any]) -> bool:
    return "top_k" in parameters and parameters["top_k"] != 1


def _as_list(output: Any) -> list[Any]:
    return list(output) if isinstance(output, list | tuple) else [output]


def _label_and_score(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping) or not isinstance(item.get("label"), str) or "score" not in item:
        raise RecordError(f"text-classification must give a label and a score, but gave {type(item).__name__} instead")
    return {"label": item["label"], "score": float(item["score"])}


def _json_text(output: Any) -> str:
    return json.dumps(_plain(output), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(f"the output holds {value}, which JSON can't write")
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(getattr(value, "tolist", None)) and type(value).__module__.partition(".")[0] in ("numpy", "torch"):
        listed = value.tolist()
        if type(listed) is not type(value):
            return _plain(listed)
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise RecordError(f"the output holds a {kind}, which can't be a column; only what JSON can write is taken")
