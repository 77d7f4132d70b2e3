"""One record's inputs in the shape that the task's pipeline preprocesses: a value, a dict, a pair, a chat, a table."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_core.catalog import Task
from pipeline_core.errors import InvalidInputError
from pipeline_core.task_inputs import Input, Kind

_JSON_KINDS: Mapping[Kind, tuple[type, ...]] = {
    "chat": (list,),
    "request": (dict,),
    "table": (list, dict),
    "words": (list,),
}
_LABELS = "candidate_labels"


class Shaped(NamedTuple):
    """What ``preprocess`` takes for one record.

    Attributes:
        inputs: Its first argument.
        parameters: Parameters that hold for this record alone.
    """

    inputs: Any
    parameters: dict[str, Any]


def shape_inputs(task: Task, inputs: Any, given: Mapping[str, Any]) -> Shaped:
    """The inputs as the task's pipeline takes them.

    Args:
        task: The task.
        inputs: A dict by the names of the task's inputs, or whatever else its pipeline takes for one record.
            Lists and objects of such a dict may be JSON text, as in the cells of a CSV file.
        given: The pipeline's parameters, in which labels may be that the record does not bring.

    Raises:
        InvalidInputError: An input is missing, or not of its kind.
    """
    known = {one.name: one for one in task.inputs}
    if isinstance(inputs, Mapping) and inputs and inputs.keys() <= known.keys():
        named = _read(known, inputs)
    elif _LABELS in known and inputs is not None and not isinstance(inputs, Mapping):
        named = {task.inputs[0].name: inputs}
    else:
        return Shaped(inputs, {})
    if "messages" in named:
        return Shaped(named["messages"], {})
    if _LABELS in known:
        return _with_labels(task, named, given)
    if task.name == "keypoint-matching":
        return Shaped([named["image_0"], named["image_1"]], {})
    if task.name == "table-question-answering":
        return Shaped({**named, "table": _table(named["table"])}, {})
    alone = len(named) == 1 and next(iter(named)) == task.inputs[0].name
    return Shaped(next(iter(named.values())) if alone else named, {})


def _read(known: Mapping[str, Input], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that are there, decoded.

    Raises:
        InvalidInputError: A required one is not.
    """
    named = {name: _decoded(known[name], value) for name, value in inputs.items() if value is not None}
    replaced = {name for one in known.values() if one.name in named for name in one.replaces}
    for one in known.values():
        if one.required and one.name not in {*named, *replaced} and one.kind != "labels":
            raise InvalidInputError(f"the input {one.name} is {'None' if one.name in inputs else 'missing'}")
    return named


def _decoded(one: Input, value: Any) -> Any:
    """The value, where it is JSON text of what its kind stands for."""
    if one.kind == "labels":
        return _labels(value)
    if one.kind not in _JSON_KINDS or not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"the input {one.name} must be JSON, but can't be read: {error}") from None
    if not isinstance(decoded, _JSON_KINDS[one.kind]):
        raise InvalidInputError(f"the input {one.name} must be JSON of a {one.kind}, but is {value[:80]!r} instead")
    return decoded


def _labels(value: Any) -> list[str]:
    """Labels from a list, from JSON text of one, or from text that separates them by commas."""
    if isinstance(value, str):
        try:
            decoded = json.loads(value) if value.lstrip().startswith("[") else None
        except json.JSONDecodeError:
            decoded = None
        value = decoded if isinstance(decoded, list) else [label.strip() for label in value.split(",")]
    labels = list(value) if isinstance(value, list | tuple) else [value]
    if not labels or not all(isinstance(label, str) and label for label in labels):
        raise InvalidInputError(f"the input {_LABELS} must be a list of labels, but is {value!r} instead")
    return labels


def _with_labels(task: Task, named: dict[str, Any], given: Mapping[str, Any]) -> Shaped:
    labels = named.pop(_LABELS, None)
    if labels is None and given.get(_LABELS):
        labels = _labels(given[_LABELS])
    if labels is None:
        raise InvalidInputError(f"the input {_LABELS} is missing, and the pipeline has no parameter of this name")
    main = named[task.inputs[0].name]
    if task.name == "zero-shot-object-detection":  # it looks for the labels in the record alone
        return Shaped({"image": main, _LABELS: labels}, {})
    return Shaped(main, {_LABELS: labels})


def _table(value: Any) -> Any:
    """A table of text, which is what the tokenizers of tables read, from rows or from columns."""
    import pandas as pd

    try:
        frame = value if isinstance(value, pd.DataFrame) else pd.DataFrame(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"the input table must be a list of rows or a dict of columns: {error}") from None
    return frame.map(lambda cell: cell if isinstance(cell, str) else "" if cell is None or cell != cell else str(cell))
