"""Recordings in parts: each can be read, transcribed and resumed by itself, and none is longer than memory allows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Protocol

import numpy as np
import xxhash
from pydantic import BaseModel, ConfigDict

from pipeline_core.audio import AudioFile
from pipeline_core.errors import InvalidInputError
from pipeline_core.meeting.chunking import quietest_moment
from pipeline_core.meeting.voice_activity import SAMPLE_RATE, Audio, Span, detect_speech

_REACH_S = 15.0
_READ_BYTES = 1 << 20

Source = os.PathLike[str] | bytes | Audio
"""A recording: a file's path, its bytes, or ``(samples,)`` float32 at 16 kHz."""


class Part(BaseModel):
    """A stretch of a recording.

    Attributes:
        index: Its number, from 0.
        start_s: Where it starts.
        stop_s: Where the next one starts, or the recording ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    start_s: float
    stop_s: float

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.stop_s - self.start_s


class Recording(Protocol):
    """Audio that can be read from any moment on."""

    duration_s: float | None

    def read(self, start_s: float = 0.0, stop_s: float | None = None) -> Audio:
        """``(samples,)`` float32 at 16 kHz between two moments."""


@contextmanager
def opened(source: Source) -> Iterator[Recording]:
    """Open a recording, mono at 16 kHz.

    Raises:
        InvalidInputError: It is empty, corrupt, of no known format, or has no sound.
        MissingPackageError: A package that decodes audio is not installed.
    """
    if isinstance(source, np.ndarray):
        yield _Samples(source)
    else:
        with AudioFile(source, SAMPLE_RATE) as audio:
            yield audio


def content_id(source: Source) -> str:
    """32 hex digits of what a file holds, whatever it is called; of an array, of its samples."""
    digest = xxhash.xxh3_128()
    if isinstance(source, np.ndarray):
        digest.update(np.ascontiguousarray(source, dtype=np.float32).tobytes())
    elif isinstance(source, bytes):
        digest.update(source)
    else:
        with open(source, "rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def plan_parts(source: Source, part_s: float) -> tuple[Part, ...]:
    """Cut a recording into parts of about ``part_s`` at the longest pause near each border.

    Only a few seconds around each border are read. The same audio is always cut alike.

    Raises:
        InvalidInputError: The recording can't be read, or has no samples.
        MissingPackageError: A package that decodes audio or hears speech is not installed.
    """
    with opened(source) as recording:
        duration_s = recording.duration_s or _measured(source)
        count = max(1, round(duration_s / part_s))
        between = [_border(recording, duration_s * number / count) for number in range(1, count)]
    borders = pairwise([0.0, *between, duration_s])
    return tuple(Part(index=index, start_s=start_s, stop_s=stop_s) for index, (start_s, stop_s) in enumerate(borders))


class _Samples:
    """A recording that is in memory."""

    def __init__(self, samples: Audio) -> None:
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise InvalidInputError(
                f"samples must be an array (samples,) of float32 at 16 kHz, but are {samples.shape} of {samples.dtype}"
            )
        self._samples = samples
        self.duration_s: float | None = len(samples) / SAMPLE_RATE

    def read(self, start_s: float = 0.0, stop_s: float | None = None) -> Audio:
        stop = None if stop_s is None else round(stop_s * SAMPLE_RATE)
        return self._samples[round(start_s * SAMPLE_RATE) : stop]


def _measured(source: Source) -> float:
    """Seconds of a file that does not say how long it is."""
    samples = 0
    if not isinstance(source, np.ndarray):
        with AudioFile(source, SAMPLE_RATE) as audio:
            samples = sum(len(block) for block in audio.blocks())
    if not samples:
        raise InvalidInputError("the recording has no samples")
    return samples / SAMPLE_RATE


def _border(recording: Recording, near_s: float) -> float:
    start_s = max(0.0, near_s - _REACH_S)
    audio = recording.read(start_s, near_s + _REACH_S)
    window = Span(0.0, len(audio) / SAMPLE_RATE)
    if window.duration_s < _REACH_S:  # the file ends before what it claims
        return near_s
    return start_s + quietest_moment(audio, detect_speech(audio), window)
