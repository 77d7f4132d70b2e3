"""Labels with their scores: tasks that classify a text, an image, a sound or a video."""

from collections.abc import Mapping
from typing import Any

from pipeline_core.columns.fields import NUMBER, TEXT, Columns, as_list, listed, read_fields, struct
from pipeline_core.errors import RecordError

_LABEL = {"label": TEXT, "score": NUMBER}
_ZERO_SHOT = {"labels": listed(TEXT), "scores": listed(NUMBER)}
# Echoes of the input.
_INPUTS = frozenset({"sequence"})


def label_columns(task: str, parameters: Mapping[str, Any]) -> Columns:
    """``predicted_label`` and ``predicted_score``, and all as ``predictions`` where several are wanted.

    Several are, unless ``top_k`` is 1; text-classification, whose default that is, must be given another.
    """
    several = listed(struct(_LABEL))
    wants_all = parameters.get("top_k", 1 if task == "text-classification" else None) != 1
    fields = {"predicted_label": TEXT.type, "predicted_score": NUMBER.type}
    if wants_all:
        fields["predictions"] = several.type

    def read(output: Any) -> dict[str, Any]:
        labels = several(_as_pairs(output))
        # Unsorted where the pipeline leaves them in the model's order.
        best = max(labels, key=lambda label: label["score"], default={"label": None, "score": None})
        row = {"predicted_label": best["label"], "predicted_score": best["score"]}
        return {**row, "predictions": labels} if wants_all else row

    return Columns(fields, read)


def first_label(output: Any) -> str | None:
    """The label that an output puts first, by score; None for tasks that do not classify."""
    try:
        pairs = _as_pairs(output)
    except RecordError:
        return None
    found = [pair for pair in pairs if isinstance(pair, Mapping) and pair.keys() == _LABEL.keys()]
    if not found or len(found) < len(pairs):
        return None
    try:
        label = max(found, key=lambda pair: float(pair["score"]))["label"]
    except (TypeError, ValueError):
        return None
    return label if isinstance(label, str) else None


def _as_pairs(output: Any) -> list[Any]:
    """The pairs of label and score, in whichever of its forms a pipeline gives them."""
    if not isinstance(output, Mapping):
        return as_list(output)
    if "labels" not in output:
        return [output]
    row = read_fields(output, _ZERO_SHOT, _INPUTS)
    if len(row["labels"]) != len(row["scores"]):
        raise RecordError(f"the output has {len(row['labels'])} labels, but {len(row['scores'])} scores")
    return [{"label": label, "score": score} for label, score in zip(row["labels"], row["scores"], strict=True)]
