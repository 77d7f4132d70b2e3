"""One medium of a record as transformers' pipelines take it: a picture, samples at the model's rate, a video's file."""

import base64
import binascii
import threading
from contextlib import ExitStack
from typing import Any

import numpy as np

from pipeline_core.audio import decode_audio, mono, resample
from pipeline_core.errors import InvalidInputError
from pipeline_core.images import check_pixels, decode_image, decoding_bytes, image_of, is_image, open_image
from pipeline_core.media import MediaRoot, is_media_cell, open_media
from pipeline_core.video import VideoFile

_DATA_URI = "data:"
_ROOM_BYTES = 1 << 30
_SOUND_KEYS = frozenset({"raw", "array", "sampling_rate", "path", "bytes"})


class Opened(ExitStack):
    """What one record has open, and the memory that decoding it takes, until the pipeline has its input.

    A record with a large picture waits until those that are being decoded leave room for it: 1 GiB for all threads
    of the process, and more only for one that needs more by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_in = False

    def hold(self, size_bytes: int) -> None:
        """Set memory aside until this is closed."""
        _room.take(size_bytes, waits=not self._is_in)  # to wait while holding some might be to wait for ever
        self._is_in = True
        self.callback(_room.give_back, size_bytes)


class MediaDecoder:
    """Decodes media for one loaded pipeline.

    Args:
        pipeline: Its feature extractor tells the sampling rate, its model and processors the frames of a video.
        task: The task's name, for errors.
    """

    def __init__(self, pipeline: Any, task: str) -> None:
        self._pipeline = pipeline
        self._task = task
        self._sampling_rate = _sampling_rate(pipeline)

    def is_medium(self, value: dict[str, Any], kind: str) -> bool:
        """Whether a dict is one medium, not several inputs by name."""
        return is_media_cell(value) or (kind == "audio" and "sampling_rate" in value)

    def decode(self, value: Any, kind: str, root: MediaRoot | None, opened: Opened) -> Any:
        """What the pipeline takes in the place of ``value``; a value that is no medium comes back as it is.

        Args:
            value: An image, an array, a dict of samples and "sampling_rate", or what ``open_media`` takes.
            kind: "image", "audio", "video", or "unknown" for whatever the pipeline would open.
            root: The folder that strings name files of.
            opened: Holds what must stay open, and memory that must stay set aside, until the pipeline has its input.

        Raises:
            InvalidInputError: It is missing, corrupt or too large.
            MediaNotAllowedError: It is a string that names something that data may not have opened.
        """
        if kind == "unknown":
            raise InvalidInputError(
                f"a string is data, and task {self._task!r} may open it as a file or URL: give it decoded"
            )
        if isinstance(value, str) and value.startswith(_DATA_URI):
            value = _data_of(value)
        if kind == "image":
            return self._image(value, root, opened)
        return self._audio(value, root) if kind == "audio" else self._video(value, root, opened)

    def _image(self, value: Any, root: MediaRoot | None, opened: Opened) -> Any:
        if isinstance(value, np.ndarray):
            return image_of(value)
        if is_image(value):
            check_pixels(value)
            image = value
        else:
            file = open_media(value, root)
            if file is None:
                return value
            image = open_image(opened.enter_context(file))
        opened.hold(decoding_bytes(image))
        return decode_image(image)

    def _audio(self, value: Any, root: MediaRoot | None) -> Any:
        extras: dict[str, Any] = {}
        if isinstance(value, dict) and "sampling_rate" in value:
            extras = {key: item for key, item in value.items() if key not in _SOUND_KEYS}
            given = _positive_rate(value["sampling_rate"])
            value = next((value[key] for key in ("raw", "array") if value.get(key) is not None), None)
            if value is None:
                raise InvalidInputError('the audio must have its samples under "array" or "raw"')
            wanted = self._sampling_rate or given
            samples = resample(mono(_as_array(value)), given, wanted)
            if self._task != "automatic-speech-recognition" or not extras:
                return samples
            if extras.get("stride") is not None:
                extras["stride"] = tuple(round(part * wanted / given) for part in extras["stride"])
            return {**extras, "raw": samples, "sampling_rate": wanted}
        if isinstance(value, list | tuple) or hasattr(value, "__array__"):
            return mono(_as_array(value))
        file = open_media(value, root)
        return value if file is None else decode_audio(file, self._sampling_rate)[0]

    def _video(self, value: Any, root: MediaRoot | None, opened: Opened) -> Any:
        file = open_media(value, root)
        if file is None:
            return value
        video = opened.enter_context(VideoFile(opened.enter_context(file)))
        if getattr(self._pipeline, "video_processor", None) is None:
            return video
        frames = self._pipeline._preprocess_params.get("num_frames") or self._pipeline.model.config.num_frames
        return video.sampled(frames)


class _Room:
    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size_bytes: int, waits: bool) -> None:
        with self._changed:
            if waits:
                self._changed.wait_for(lambda: not self._taken or self._taken + size_bytes <= self._size_bytes)
            self._taken += size_bytes

    def give_back(self, size_bytes: int) -> None:
        with self._changed:
            self._taken -= size_bytes
            self._changed.notify_all()


_room = _Room(_ROOM_BYTES)


def _sampling_rate(pipeline: Any) -> int | None:
    """The rate that the model hears at, in Hz; None where the pipeline does not tell."""
    processor = getattr(pipeline, "processor", None)
    for extractor in (getattr(pipeline, "feature_extractor", None), getattr(processor, "feature_extractor", None)):
        rate = getattr(extractor, "sampling_rate", None)
        if rate is not None:
            return int(rate)
    return None


def _positive_rate(value: Any) -> int:
    try:
        rate = int(value)
    except (TypeError, ValueError):
        rate = 0
    if rate <= 0 or rate != value:
        raise InvalidInputError(f"sampling_rate must be a whole number of Hz above 0, but is {value!r} instead")
    return rate


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    except ValueError as error:  # lists of unequal lengths
        raise InvalidInputError(f"audio must be an array of numbers: {error}") from error


def _data_of(uri: str) -> bytes:
    """The bytes that a data URI has in itself."""
    header, comma, content = uri.partition(",")
    if not comma or not header.endswith(";base64"):
        raise InvalidInputError("a data URI must hold base64")
    return decoded_base64(content)


def decoded_base64(text: str) -> bytes:
    """The bytes of base64 text.

    Raises:
        InvalidInputError: It is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"what should be base64 is not: {error}") from error
