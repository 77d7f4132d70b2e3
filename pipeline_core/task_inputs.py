"""What each task takes: its inputs by the pipeline's names, and the dataset columns that they are found in unasked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "texts", "chat", "labels", "table", "request", "image", "images", "audio", "video", "words"]
"""What an input is: one of it a record, or several for "texts", "images" and "labels"."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a task.

    Attributes:
        name: The pipeline's name for it, such as "question", "image" or "candidate_labels".
        kind: What it is.
        columns: Dataset columns that are taken for it unasked, best first.
        required: Whether the pipeline needs it; one that is also a parameter may be given there instead.
        replaces: Inputs that are not needed where this one is given.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    required: bool = True
    replaces: tuple[str, ...] = ()


_TEXT = Input("text", "text", ("text", "sentence", "content"))
_LONG_TEXT = Input("text", "text", ("text", "document", "article", "content"))
_QUESTION = Input("question", "text", ("question", "query"))
_IMAGE = Input("image", "image", ("image", "picture", "photo"))
_AUDIO = Input("audio", "audio", ("audio", "speech"))
_VIDEO = Input("video", "video", ("video", "clip"))
_LABELS = Input("candidate_labels", "labels", ("candidate_labels",))
_PROMPT = Input("text", "text", ("prompt", "text"))
_SOME_IMAGES = Input("images", "images", ("images", "image"))
_CHAT_COLUMNS = ("messages", "chat", "conversation")

TASK_INPUTS: Mapping[str, tuple[Input, ...]] = {
    "any-to-any": (
        _PROMPT,
        Input("images", "images", ("images", "image"), required=False),
        Input("videos", "video", ("videos", "video"), required=False),
        Input("audio", "audio", ("audio",), required=False),
        Input("messages", "chat", _CHAT_COLUMNS, required=False, replaces=("text", "images", "videos", "audio")),
    ),
    "audio-classification": (_AUDIO,),
    "automatic-speech-recognition": (_AUDIO,),
    "decision": (
        Input("request", "request", ("request",)),
        Input("state", "text", ("state",), required=False),
        Input("questions", "request", ("questions",), required=False, replaces=("request",)),
    ),
    "depth-estimation": (_IMAGE,),
    "document-question-answering": (
        Input("image", "image", ("image", "document", "page")),
        _QUESTION,
        Input("word_boxes", "words", ("word_boxes",), required=False, replaces=("image",)),
    ),
    "feature-extraction": (_TEXT,),
    "fill-mask": (_TEXT,),
    "image-classification": (_IMAGE,),
    "image-feature-extraction": (_IMAGE,),
    "image-segmentation": (_IMAGE,),
    "image-text-to-text": (
        _SOME_IMAGES,
        _PROMPT,
        Input("messages", "chat", _CHAT_COLUMNS, required=False, replaces=("images", "text")),
    ),
    "image-to-image": (_IMAGE,),
    "image-to-text": (_IMAGE,),
    "keypoint-matching": (
        Input("image_0", "image", ("image_0", "image0", "image_a", "first")),
        Input("image_1", "image", ("image_1", "image1", "image_b", "second")),
    ),
    "mask-generation": (_IMAGE,),
    "object-detection": (_IMAGE,),
    "question-answering": (_QUESTION, Input("context", "text", ("context", "passage", "document"))),
    "summarization": (_LONG_TEXT,),
    "table-question-answering": (
        Input("table", "table", ("table",)),
        Input("query", "text", ("query", "question")),
    ),
    "text-classification": (_TEXT, Input("text_pair", "text", ("text_pair",), required=False)),
    "text-generation": (
        Input("prompt", "text", ("prompt", "text")),
        Input("messages", "chat", _CHAT_COLUMNS, required=False, replaces=("prompt",)),
    ),
    "text-to-audio": (_TEXT,),
    "text2text-generation": (Input("text", "text", ("text", "prompt", "source")),),
    "token-classification": (Input("text", "text", ("text", "sentence", "tokens")),),
    "translation": (Input("text", "text", ("text", "source", "sentence")),),
    "video-classification": (_VIDEO,),
    "visual-question-answering": (_IMAGE, _QUESTION),
    "zero-shot-audio-classification": (_AUDIO, _LABELS),
    "zero-shot-classification": (Input("sequences", "text", ("text", "sequence", "sentence", "content")), _LABELS),
    "zero-shot-image-classification": (_IMAGE, _LABELS),
    "zero-shot-object-detection": (_IMAGE, _LABELS),
}
"""By the task's name; the first input is the one that a lone column stands for."""
