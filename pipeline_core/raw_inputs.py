"""What a record hands to a pipeline: its media decoded here, for transformers would open any path and fetch any URL."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline_core.catalog import Task
from pipeline_core.decoded_media import MediaDecoder, Opened, decoded_base64
from pipeline_core.errors import InvalidInputError
from pipeline_core.records import Record

_MEDIA = frozenset({"image", "audio", "video"})
_KINDS = {"images": "image"}
# For tasks that were registered by others, and beside the inputs that the catalog knows.
_KEYS = {
    "audio": "audio",
    "image": "image",
    "images": "image",
    "video": "video",
    "videos": "video",
    "file": "unknown",
    "path": "unknown",
    "url": "unknown",
    "image_url": "image",
}
_BLOCK_KINDS = {"image": "image", "image_url": "image", "audio": "audio", "input_audio": "audio", "video": "video"}
_BLOCK_KEYS = ("image", "audio", "video", "image_url", "input_audio", "url", "path", "base64", "data")


class MediaInputs:
    """Makes a pipeline's inputs of records, for one loaded pipeline.

    A task that takes no media gets its inputs as they are: none of its strings is opened. Where the task takes
    media, a string in their place is looked up below the record's ``media_root`` alone, in lists, dicts, chats and
    requests too. A ``pathlib.Path`` is the programmer's own word. What comes out holds no string that the pipeline
    would open.
    """

    def __init__(self, pipeline: Any, task: Task) -> None:
        self._task = task.name
        self._kinds = {input_.name: _KINDS.get(input_.kind, input_.kind) for input_ in task.inputs}
        self._required = {input_.name for input_ in task.inputs if input_.required}
        self._lone = next(iter(self._kinds.values()), task.modality if task.modality in _MEDIA else "unknown")
        self._texts_too = self._kinds.get("text") == "text"
        self._takes_media = bool(_MEDIA & set(self._kinds.values()) or "request" in self._kinds.values())
        self._takes_media |= not task.inputs and task.modality != "text"
        self._chat = _chat_class(pipeline)
        self._decoder = MediaDecoder(pipeline, task.name)

    @contextmanager
    def decoded(self, record: Record) -> Iterator[Any]:
        """The inputs as the pipeline takes them; what was opened for them is closed afterwards.

        Raises:
            InvalidInputError: The input is None, or a medium in it is missing, corrupt or too large.
            MediaNotAllowedError: A string names something that data may not have opened.
            MissingPackageError: A package that decodes it is not installed.
        """
        if record.inputs is None:
            raise InvalidInputError("the input is None")
        if not self._takes_media:
            yield self._as_chat(record.inputs)
            return
        with Opened() as opened:

            def decode(value: Any, kind: str) -> Any:
                return self._decoder.decode(value, kind, record.media_root, opened)

            yield self._as_chat(self._prepared(record.inputs, self._lone, decode))

    def _prepared(self, value: Any, kind: str, decode: Callable[[Any, str], Any]) -> Any:
        """``value`` with all media in it decoded; ``kind`` is what it is where it is a single medium."""
        if kind == "request":
            return _request(value, decode)
        if self._is_chat(value):
            messages = value.messages if isinstance(value, self._chat) else value
            return [_message(message, decode) for message in messages]
        if isinstance(value, str) and self._texts_too:
            return value
        if isinstance(value, dict) and not self._decoder.is_medium(value, kind):
            return {key: self._part(key, item, decode) for key, item in value.items()}
        if kind == "unknown" and not isinstance(value, str):
            return value
        if isinstance(value, list | tuple) and kind != "audio":
            if self._texts_too:
                return value
            return type(value)(self._prepared(item, "image" if kind == "video" else kind, decode) for item in value)
        return decode(value, kind)

    def _part(self, name: str, value: Any, decode: Callable[[Any, str], Any]) -> Any:
        kind = self._kinds.get(name) or _KEYS.get(name, "text")
        if value is None and name in self._required:
            raise InvalidInputError(f"the input {name!r} is None")
        if value is None or kind not in (*_MEDIA, "chat", "unknown"):
            return value
        if kind == "chat":
            return [_message(message, decode) for message in value]
        if isinstance(value, list | tuple) and kind != "audio":
            return [None if item is None else decode(item, "image" if kind == "video" else kind) for item in value]
        return value if kind == "unknown" and not isinstance(value, str) else decode(value, kind)

    def _is_chat(self, inputs: Any) -> bool:
        from transformers.utils.chat_template_utils import is_valid_message

        if isinstance(inputs, self._chat):
            return True
        return isinstance(inputs, list | tuple) and bool(inputs) and all(map(is_valid_message, inputs))

    def _as_chat(self, inputs: Any) -> Any:
        return self._chat(inputs) if self._is_chat(inputs) and not isinstance(inputs, self._chat) else inputs


def _message(message: dict[str, Any], decode: Callable[[Any, str], Any]) -> dict[str, Any]:
    """A chat's message with the media of its content decoded, each under the key that transformers reads first."""
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return message
    return {**message, "content": [_block(block, decode) if isinstance(block, dict) else block for block in content]}


def _block(block: dict[str, Any], decode: Callable[[Any, str], Any]) -> dict[str, Any]:
    # A table of chats has every key in every block, with nulls.
    block = {key: value for key, value in block.items() if value is not None}
    kind = _BLOCK_KINDS.get(block.get("type", ""))
    found = [key for key in _BLOCK_KEYS if key in block]
    if kind is None or not found:
        return block
    value = block[found[0]]
    if found[0] in ("image_url", "input_audio") and isinstance(value, dict):
        value = value.get("url", value.get("data"))
    if kind == "video" and not isinstance(value, list | tuple):
        value = _frames(value)
    elif found[0] in ("base64", "data", "input_audio") and isinstance(value, str):
        value = decode(_base64(value), kind)
    elif isinstance(value, list | tuple):
        value = [decode(item, "image") for item in value]
    else:
        value = decode(value, kind)
    others = {key: item for key, item in block.items() if key not in _BLOCK_KEYS}
    return {**others, "type": kind, kind: value}


def _frames(value: Any) -> Any:
    if isinstance(value, str | bytes) or hasattr(value, "__fspath__"):
        raise InvalidInputError("a video in a chat must be given as its frames: a list of images")
    return value


def _request(value: Any, decode: Callable[[Any, str], Any]) -> Any:
    """A decision request, or its JSON, with its assets decoded."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise InvalidInputError(f"the request is no JSON: {error}") from error
    if not isinstance(value, dict) or not value.get("assets"):
        return value
    assets = {}
    for name, asset in value["assets"].items():
        if isinstance(asset, dict) and "data_base64" in asset:
            asset = _base64(asset["data_base64"])
        assets[name] = decode(asset, "image")
    return {**value, "assets": assets}


def _base64(value: Any) -> Any:
    """Bytes for base64 text, which may come as a data URI."""
    return decoded_base64(value.rpartition(",")[2]) if isinstance(value, str) else value


def _chat_class(pipeline: Any) -> Any:
    """The class that this pipeline knows a chat by; some have one of their own."""
    from transformers.utils.chat_template_utils import Chat

    modules = [sys.modules.get(kind.__module__) for kind in type(pipeline).__mro__]
    return next(filter(None, (getattr(module, "Chat", None) for module in modules)), Chat)
