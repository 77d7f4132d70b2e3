"""A chat as a column: its messages in order, each with a role and a content."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline_core.columns.fields import TEXT, Field, as_list, kind_of
from pipeline_core.columns.json_text import plain
from pipeline_core.errors import RecordError

_MEDIA = ("image", "audio", "video", "url", "path", "base64", "input_features", "pixel_values")


def last_words(generated: Any) -> str | None:
    """The text of a generated string, or of a chat's last message."""
    if isinstance(generated, str):
        return generated
    messages = as_list(generated)
    content = _message(messages[-1])["content"] if messages else None
    said = messages[-1].get("content") if messages else None
    if isinstance(said, list | tuple):
        return "".join(part["text"] for part in said if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return content


def _read(messages: Any) -> list[dict[str, Any]]:
    return [_message(message) for message in as_list(messages)]


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RecordError(f"a message must have a role and a content, but is {kind_of(message)} instead")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        content = json.dumps([_part(part) for part in as_list(content)], ensure_ascii=False)
    rest = {name: plain(value) for name, value in message.items() if name not in ("role", "content")}
    extra = json.dumps(rest, ensure_ascii=False) if rest else None
    return {"role": message["role"], "content": content, "extra": extra}


def _part(part: Any) -> Any:
    """A part of a message, without the image or sound that the prompt had in it."""
    if not isinstance(part, Mapping):
        return plain(part)
    return {name: plain(value) for name, value in part.items() if name not in _MEDIA or isinstance(value, str)}


MESSAGES = Field(pa.list_(pa.struct([("role", TEXT.type), ("content", TEXT.type), ("extra", TEXT.type)])), _read)
"""``content`` is text, or the JSON text of a list of parts; ``extra`` is the JSON text of a message's other keys."""
