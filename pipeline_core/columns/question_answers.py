"""Answers to questions about a text, a document, an image or a table, and decisions."""

from collections.abc import Mapping
from typing import Any

from pipeline_core.columns.fields import NUMBER, TEXT, WHOLE, WHOLES, Columns, as_list, listed, optional, struct

_SPAN = {
    "answer": optional(TEXT),
    "score": optional(NUMBER),
    "start": optional(WHOLE),
    "end": optional(WHOLE),
}
_ANSWER = {"answer": TEXT, "score": optional(NUMBER)}
_CELLS = {
    "answer": TEXT,
    "coordinates": optional(listed(WHOLES)),
    "cells": optional(listed(TEXT)),
    "aggregator": optional(TEXT),
}
_OPTION = {"option": TEXT, "probability": NUMBER, "description": optional(TEXT)}
_DECISION = {
    "question": TEXT,
    "type": TEXT,
    "choice": optional(TEXT),
    "score": optional(NUMBER),
    "noul": optional(NUMBER),
    "confidence": optional(NUMBER),
    "options": optional(listed(struct(_OPTION))),
}
_DEFAULT_TOP_K = {"visual-question-answering": 5}


def answer_columns(task: str, parameters: Mapping[str, Any]) -> Columns:
    """The best answer as ``predicted_answer`` and ``predicted_score``; all as ``predictions`` where several are wanted.

    question-answering and document-question-answering have ``predicted_start`` and ``predicted_end`` too: characters
    of the context, words of the document. All are null where nothing was found; models that write
    their answers give no score and no span.
    """
    kept = _ANSWER if task == "visual-question-answering" else _SPAN
    several = listed(struct(kept))
    top_k = parameters.get("top_k", parameters.get("topk"))
    wants_all = (top_k or _DEFAULT_TOP_K.get(task, 1)) != 1
    fields = {f"predicted_{name}": field.type for name, field in kept.items()}
    if wants_all:
        fields["predictions"] = several.type

    def read(output: Any) -> dict[str, Any]:
        answers = several([output] if isinstance(output, Mapping) else output)
        best = answers[0] if answers else dict.fromkeys(kept)
        row = {f"predicted_{name}": best[name] for name in kept}
        return {**row, "predictions": answers} if wants_all else row

    return Columns(fields, read, text="predicted_answer")


def cell_columns() -> Columns:
    """table-question-answering: ``predicted_answer``, and for each question of the record ``predictions``.

    ``coordinates`` are row and column numbers of ``cells``; they and ``aggregator`` are null where the model has none.
    """
    answers = listed(struct(_CELLS))

    def read(output: Any) -> dict[str, Any]:
        found = answers([output] if isinstance(output, Mapping) else output)
        return {"predicted_answer": found[0]["answer"] if found else None, "predictions": found}

    return Columns({"predicted_answer": TEXT.type, "predictions": answers.type}, read, text="predicted_answer")


def decision_columns() -> Columns:
    """decision: each question's ``choice``, ``score`` or ``noul``, and its ``options`` with their probabilities."""
    decisions = listed(struct(_DECISION))

    def read(output: Any) -> dict[str, Any]:
        answers = output.items() if isinstance(output, Mapping) else as_list(output)
        return {"predictions": decisions([_decision(name, answer) for name, answer in answers])}

    return Columns({"predictions": decisions.type}, read)


def _decision(name: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in answer.items() if key not in ("probabilities", "legend")}
    legend = answer.get("legend") or {}
    options = [
        {"option": option, "probability": probability, "description": legend.get(option)}
        for option, probability in (answer.get("probabilities") or {}).items()
    ]
    return {"question": name, **rest, "options": options or None}
