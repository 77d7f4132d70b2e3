"""The columns of one run: those of its task under its parameters, and what every task has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline_core.catalog import find_task
from pipeline_core.columns.arrays import depth_columns, feature_columns, image_columns, sound_columns
from pipeline_core.columns.fields import Columns
from pipeline_core.columns.findings import (
    entity_columns,
    filling_columns,
    mask_columns,
    match_columns,
    object_columns,
    segment_columns,
)
from pipeline_core.columns.json_text import json_columns
from pipeline_core.columns.labels import label_columns
from pipeline_core.columns.question_answers import answer_columns, cell_columns, decision_columns
from pipeline_core.columns.texts import generated_columns, gives_more_than_text, speech_columns
from pipeline_core.errors import RecordError, SpecError
from pipeline_core.records import Prediction

ArrayType = Literal["float32", "float16"]

_JSON = json_columns()
_COUNTS = {"truncated": pa.bool_(), "tokens": pa.int32()}


@dataclass(frozen=True, slots=True)
class TaskColumns:
    """The columns of a task's predictions.

    Attributes:
        schema: Names and types, the same for every shard.
        arrays: In which type arrays are written; None if the task gives none.
        text: The column of the text that was asked for; None for tasks that write no text.
        requires: Packages that writing the files takes.
    """

    schema: pa.Schema
    arrays: ArrayType | None
    text: str | None
    requires: tuple[str, ...]
    _typed: Columns
    _otherwise: Literal["never", "untyped", "always"]

    def row(self, prediction: Prediction) -> dict[str, Any]:
        """The columns' values for one answered record; files of it are there as ``MediaFile`` objects.

        Raises:
            RecordError: The output does not fit the columns.
        """
        row: dict[str, Any] = dict.fromkeys(self.schema.names)
        row |= {"truncated": prediction.truncated, "tokens": prediction.tokens}
        try:
            row |= self._typed.read(prediction.output)
        except RecordError:
            if self._otherwise != "untyped":
                raise
            row |= _JSON.read(prediction.output)
        if self._otherwise == "always":
            row |= _JSON.read(prediction.output)
        return row


def task_columns(
    task: str, parameters: Mapping[str, Any], arrays: ArrayType = "float32", remote_code: bool = False
) -> TaskColumns:
    """The columns of a task, as its pipeline's outputs need them under these parameters.

    Args:
        task: A task or an alias of one. One whose pipeline is not transformers' or this package's gives
            ``prediction``, its output as JSON text.
        parameters: Arguments of the pipeline's call.
        arrays: In which type features and depths are written.
        remote_code: Whether the model brings code, which may return anything: ``prediction`` then holds as
            JSON text what fits no typed column, which are null in such a row.

    Raises:
        UnknownTaskError: No task has this name.
    """
    name = find_task(task).name
    typed = _typed_columns(name, parameters, arrays) if _is_known(name) else None
    if typed is None:
        return TaskColumns(pa.schema([*_JSON.fields.items(), *_COUNTS.items()]), None, None, (), _JSON, "never")
    otherwise: Literal["never", "untyped", "always"] = "untyped" if remote_code else "never"
    if gives_more_than_text(name, parameters):
        otherwise = "always"
    fields = typed.fields | ({} if otherwise == "never" else _JSON.fields) | _COUNTS
    schema, dtype = pa.schema(list(fields.items())), arrays if typed.has_arrays else None
    return TaskColumns(schema, dtype, typed.text, typed.requires, typed, otherwise)


def output_schema(kept_schema: pa.Schema, columns: TaskColumns) -> pa.Schema:
    """All columns of a part file: ``id``, the kept ones, the prediction's.

    Raises:
        SpecError: A kept column has the name of one of ours, or of another kept one.
    """
    taken = {"id", *columns.schema.names}
    for name in kept_schema.names:
        if name in taken:
            raise SpecError(
                f"column {name!r} can't be kept: the output has a column of that name itself; "
                "name the columns to keep without it (keep_columns, --keep-column), or rename it in the dataset"
            )
        taken.add(name)
    # Metadata describes the source's whole table; readers would take it for the output's.
    return pa.schema([pa.field("id", pa.string()), *kept_schema, *columns.schema])


def _typed_columns(name: str, parameters: Mapping[str, Any], arrays: ArrayType) -> Columns | None:
    match name:
        case (
            "audio-classification"
            | "image-classification"
            | "text-classification"
            | "video-classification"
            | "zero-shot-audio-classification"
            | "zero-shot-classification"
            | "zero-shot-image-classification"
        ):
            return label_columns(name, parameters)
        case "token-classification":
            return entity_columns(parameters)
        case "fill-mask":
            return filling_columns()
        case "object-detection" | "zero-shot-object-detection":
            return object_columns()
        case "image-segmentation":
            return segment_columns()
        case "mask-generation":
            return mask_columns(parameters)
        case "keypoint-matching":
            return match_columns()
        case "document-question-answering" | "question-answering" | "visual-question-answering":
            return answer_columns(name, parameters)
        case "table-question-answering":
            return cell_columns()
        case "decision":
            return decision_columns()
        case "any-to-any" | "image-text-to-text" | "text-generation":
            return generated_columns(name, parameters)
        case "image-to-text" | "summarization" | "text2text-generation" | "translation":
            return generated_columns(name, parameters)
        case "automatic-speech-recognition":
            return speech_columns(parameters)
        case "feature-extraction" | "image-feature-extraction":
            return feature_columns(arrays)
        case "depth-estimation":
            return depth_columns(arrays)
        case "text-to-audio":
            return sound_columns()
        case "image-to-image":
            return image_columns()
    return None


def _is_known(name: str) -> bool:
    """Whether the task's pipeline is transformers' own or this package's, so that its outputs are known."""
    from transformers.pipelines import PIPELINE_REGISTRY

    impl = PIPELINE_REGISTRY.supported_tasks.get(name, {}).get("impl")
    # transformers names its own classes; a program registers a class.
    return isinstance(impl, str) or getattr(impl, "__module__", "").partition(".")[0] in (
        "transformers",
        "pipeline_core",
    )
