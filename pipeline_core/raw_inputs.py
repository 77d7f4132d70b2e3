"""What a record may hand to a pipeline: transformers' own loaders would open any path and fetch any URL in it."""

from pathlib import Path
from typing import Any

from pipeline_core.errors import InvalidInputError

_MEDIA = ("audio", "image", "video", "multimodal")
_MEDIA_KEYS = frozenset({"audio", "file", "image", "image_url", "images", "path", "url", "video", "videos"})


def checked_inputs(inputs: Any, task: str, modality: str) -> Any:
    """The inputs as the pipeline takes them: messages as a chat, and a ``pathlib.Path`` as the file it names.

    A ``Path`` is the programmer's own word. A string is data: where the pipeline would take it for
    the name of a file or a URL, it is refused, in lists, dicts and chats too.

    Raises:
        InvalidInputError: The input is None, or a string stands where media belong.
    """
    if inputs is None:
        raise InvalidInputError("the input is None")
    if modality in _MEDIA:
        inputs = _without_names(inputs, task, is_media=True)
    return _as_chat(inputs)


def _without_names(value: Any, task: str, is_media: bool) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        if not is_media:
            return value
        raise InvalidInputError(
            f"a string is data, and task {task!r} would open it as a file or URL: "
            "give a pathlib.Path, an image or an array"
        )
    if isinstance(value, dict):
        decoded = "array" in value or "raw" in value  # its path only says where it came from
        return {
            key: _without_names(item, task, key in _MEDIA_KEYS)
            for key, item in value.items()
            if not (decoded and key == "path")
        }
    if isinstance(value, list | tuple):
        return type(value)(_without_names(item, task, is_media) for item in value)
    return value


def _as_chat(inputs: Any) -> Any:
    if isinstance(inputs, list | tuple) and inputs:
        from transformers.utils.chat_template_utils import Chat, is_valid_message

        if all(map(is_valid_message, inputs)):
            return Chat(inputs)
    return inputs
