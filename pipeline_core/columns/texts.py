"""Texts that a pipeline writes: what it generates, sums up, translates or hears."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline_core.columns.fields import (
    NUMBER,
    PICTURE,
    TEXT,
    WHOLES,
    Columns,
    Field,
    as_list,
    listed,
    optional,
    read_fields,
    struct,
)
from pipeline_core.columns.messages import MESSAGES, last_words
from pipeline_core.errors import RecordError

# Tasks whose prompts may be chats.
_CHATS = frozenset({"text-generation", "image-text-to-text", "any-to-any"})
_NAMES = {"summarization": "summary", "translation": "translation"}
# Echoes of the input.
_INPUTS = frozenset({"input_text"})
_TOKENS, _FULL_TEXT = 0, 2


def generated_columns(task: str, parameters: Mapping[str, Any]) -> Columns:
    """What is generated: text, token ids under ``return_tensors``, for any-to-any an image or sound too.

    ``generated_text`` (``summary_text``, ``translation_text``) is the text, or of a chat the last message's;
    ``generated_messages`` is then the whole chat, and null for plain prompts. With ``num_return_sequences``
    above 1 these are the first sequence's, and ``generated_texts`` and so on hold all.
    """
    name = f"{_NAMES.get(task, 'generated')}_{_kind(task, parameters)}"
    several = _sequences(parameters) > 1
    is_chat = name == "generated_text" and task in _CHATS and _gives_prompts(parameters)
    one = Field(TEXT.type, last_words) if is_chat else _field(name)
    fields = {name: one.type}
    if several:
        fields[_plural(name)] = pa.list_(one.type)
    if is_chat:
        fields["generated_messages"] = pa.list_(MESSAGES.type) if several else MESSAGES.type

    def read(output: Any) -> dict[str, Any]:
        sequences = [output] if isinstance(output, Mapping) else as_list(output)
        ignored = _INPUTS | frozenset().union(*sequences) - {name} if _gives_more(parameters) else _INPUTS
        raw = [read_fields(item, {name: Field(pa.null(), lambda value: value)}, ignored)[name] for item in sequences]
        if not raw or (len(raw) > 1 and not several):
            raise RecordError(
                f"the pipeline gave {len(raw)} sequences, but the output has columns for one; set num_return_sequences"
            )
        values = [one(value) for value in raw]
        row: dict[str, Any] = {name: values[0]}
        if several:
            row[_plural(name)] = values
        if is_chat:
            chats = [None if isinstance(value, str) else MESSAGES(value) for value in raw]
            row["generated_messages"] = chats if several else chats[0]
        return row

    return Columns(fields, read, text=name if one.type == TEXT.type and name.endswith("text") else None)


def speech_columns(parameters: Mapping[str, Any]) -> Columns:
    """automatic-speech-recognition: ``predicted_text``, with timestamps or the language its ``chunks`` too.

    A chunk has ``start`` and ``end`` in seconds, null where the model gave none, and ``language`` if asked for.
    """
    timed, language = parameters.get("return_timestamps"), parameters.get("return_language")
    pieces = {"text": TEXT}
    if timed:
        pieces |= {"start": optional(NUMBER), "end": optional(NUMBER)}
    if language:
        pieces["language"] = optional(TEXT)
    chunks = listed(struct(pieces))
    fields = {"predicted_text": TEXT.type}
    if timed or language:
        fields["chunks"] = chunks.type

    def read(output: Any) -> dict[str, Any]:
        # Whatever else a record holds beside its sound is carried through by the pipeline.
        rest = frozenset(output) - {"text"} if isinstance(output, Mapping) else frozenset()
        row = {"predicted_text": read_fields(output, {"text": TEXT}, rest)["text"]}
        if timed or language:
            found = output.get("chunks")
            row["chunks"] = None if found is None else chunks([_with_times(chunk) for chunk in found])
        return row

    return Columns(fields, read, text="predicted_text")


def gives_more_than_text(task: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the pipeline gives what no column is for, such as the tokens' scores."""
    return task == "text-generation" and _gives_more(parameters)


def _gives_more(parameters: Mapping[str, Any]) -> bool:
    return bool(_generation(parameters, "return_dict_in_generate"))


def _with_times(chunk: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in chunk.items() if name != "timestamp"}
    if "timestamp" in chunk:
        rest["start"], rest["end"] = chunk["timestamp"]
    return rest


def _kind(task: str, parameters: Mapping[str, Any]) -> str:
    """What the pipeline gives for a sequence, by the rules of its class."""
    if parameters.get("generation_mode") in ("image", "audio"):
        return str(parameters["generation_mode"])
    wanted = parameters.get("return_type")
    if wanted is None and parameters.get("return_full_text") is None:
        tensors = parameters.get("return_tensors")
        # The pipelines of chats look at whether it is given, the others at what it is.
        wanted = _TOKENS if (tensors is not None if task in _CHATS else tensors) else None
    return "text" if wanted is None or wanted != _TOKENS else "token_ids"


def _gives_prompts(parameters: Mapping[str, Any]) -> bool:
    wanted = parameters.get("return_type")
    if wanted is None:
        return parameters.get("return_full_text") in (None, True)
    return bool(wanted == _FULL_TEXT)


def _field(name: str) -> Field:
    kind = name.partition("_")[2]
    return {"text": TEXT, "token_ids": WHOLES, "image": PICTURE, "audio": PICTURE}[kind]


def _plural(name: str) -> str:
    return name if name.endswith("s") else f"{name}s"


def _sequences(parameters: Mapping[str, Any]) -> int:
    return int(_generation(parameters, "num_return_sequences") or 1)


def _generation(parameters: Mapping[str, Any], name: str) -> Any:
    """An argument of ``generate``, wherever a call may put it."""
    nested = [parameters.get("generate_kwargs"), parameters.get("generation_config")]
    found = (where[name] for where in (parameters, *nested) if isinstance(where, Mapping) and name in where)
    return next(found, None)
