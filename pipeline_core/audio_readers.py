"""The frames of an audio file in its own sampling rate, from any frame on: through soundfile, then PyAV."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Any, BinaryIO, Protocol

import numpy as np

from pipeline_core.containers import open_container
from pipeline_core.errors import InvalidInputError

_BLOCK_FRAMES = 1 << 18
# A lossy decoder gives its exact samples only some frames after the one that it starts from.
_PREROLL_S = 1.0
_CUT_OFF = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# What a writer that can't go back leaves as the length of a WAV.
_UNKNOWN_BYTES = 0x7FFF0000

_UNREADABLE = "the audio is corrupt, or protected against copying"


class Reader(Protocol):
    """A decoder at work.

    Attributes:
        sampling_rate: Frames a second, in Hz.
        channels: Samples a frame.
        frames: How many the file claims; None where it claims nothing.
    """

    sampling_rate: int
    channels: int
    frames: int | None

    def frames_from(self, start: int) -> Iterator[np.ndarray]:
        """The channels' mean of all frames from ``start`` on, in arrays ``(frames,)`` float32."""

    def close(self) -> None:
        """Free the decoder; the file stays open."""


def open_reader(file: BinaryIO) -> Reader:
    """A reader of ``file``, which is open at its start.

    Raises:
        InvalidInputError: The file is empty, corrupt, of no known format, or has no sound.
    """
    if not file.read(1):
        raise InvalidInputError("the file is empty")
    file.seek(0)
    import soundfile

    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError):
        file.seek(0)
        return _ContainerReader(file)
    return _SoundFileReader(file, sound)


class _SoundFileReader:
    def __init__(self, file: BinaryIO, sound: Any) -> None:
        self._file, self._sound = file, sound
        self._is_fresh = True
        self.sampling_rate = int(sound.samplerate)
        self.channels = int(sound.channels)
        self.frames: int | None = int(sound.frames)
        cut = _CUT_OFF.search(sound.extra_info)
        if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_BYTES:
            raise InvalidInputError(f"the audio is cut off: it claims {cut[1]} bytes of samples and has {cut[2]}")

    def frames_from(self, start: int) -> Iterator[np.ndarray]:
        import soundfile

        if start >= (self.frames or 0) and start:
            return
        before = max(0, start - int(_PREROLL_S * self.sampling_rate))
        skipped = start - before
        try:
            if before or self._is_fresh:
                self._sound.seek(before)
            else:
                # Sought back to, the first samples would have an echo of what was decoded before.
                self._file.seek(0)
                self._sound = soundfile.SoundFile(self._file)
            self._is_fresh = False
            while len(block := self._sound.read(_BLOCK_FRAMES // self.channels + 1, dtype="float32", always_2d=True)):
                mean = block[:, 0].copy() if self.channels == 1 else block.mean(axis=1)
                if skipped < len(mean):
                    yield mean[skipped:]
                skipped = max(0, skipped - len(mean))
        except soundfile.LibsndfileError as error:
            raise InvalidInputError(f"the audio is corrupt: {error.error_string}") from error

    def close(self) -> None:
        self._sound.close()


class _ContainerReader:
    def __init__(self, file: BinaryIO) -> None:
        import av

        self._file = file
        with open_container(file, "audio") as container:
            if not container.streams.audio:
                raise InvalidInputError("the file has no sound")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise InvalidInputError("the sound is in a format that can't be decoded")
            self.sampling_rate = int(stream.rate or 0)
            self.channels = int(stream.codec_context.channels)
            self.frames = _claimed(container, stream, self.sampling_rate)
            try:
                opening = list(islice(container.decode(stream), 2))
            except av.error.FFmpegError as error:
                raise InvalidInputError(f"{_UNREADABLE}: {error.strerror}") from error
        if not opening or not self.sampling_rate:
            raise InvalidInputError("the audio has no samples")
        self._origin, self._first = opening[0].pts or 0, opening[0].samples
        self._second, self._step = opening[-1].pts or 0, opening[-1].samples

    def frames_from(self, start: int) -> Iterator[np.ndarray]:
        import av

        before = max(0, start - int(_PREROLL_S * self.sampling_rate))
        self._file.seek(0)
        # A decoder that has been at work before starts otherwise than a new one.
        with open_container(self._file, "audio") as container:
            stream = container.streams.audio[0]
            layout = stream.codec_context.layout
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.sampling_rate)
            try:
                if before:
                    container.seek(self._origin + int(before / self.sampling_rate / stream.time_base), stream=stream)
                position: int | None = None
                for frame in container.decode(stream):
                    if position is None:
                        position = self._position(frame) if before else 0
                    frame.pts = None
                    for part in resampler.resample(frame):
                        block = part.to_ndarray().mean(axis=0, dtype=np.float32)
                        skipped = min(max(0, start - position), len(block))
                        position += len(block)
                        if skipped < len(block):
                            yield block[skipped:]
            except av.error.FFmpegError as error:
                raise InvalidInputError(f"{_UNREADABLE}: {error.strerror}") from error

    def _position(self, frame: Any) -> int:
        """The number of a frame's first sample in the whole sound."""
        frames_a_tick: Fraction = frame.time_base * self.sampling_rate
        pts = self._origin if frame.pts is None else frame.pts
        if frames_a_tick <= 1:
            position: int = round((pts - self._origin) * frames_a_tick)
            return position
        # Timestamps are rounded, to milliseconds in Matroska; but frames end at multiples of one length after the
        # first, which alone may have had its start cut off.
        ends = ((pts - self._second) * frames_a_tick + frame.samples) / self._step
        return int(self._first + round(ends) * self._step - frame.samples)

    def close(self) -> None:
        """Nothing is left open between two reads."""


def _claimed(container: Any, stream: Any, sampling_rate: int) -> int | None:
    if stream.duration is not None:
        return int(stream.duration * stream.time_base * sampling_rate)
    if container.duration is not None and len(container.streams) == 1:
        return int(container.duration / 1_000_000 * sampling_rate)
    return None
