"""Sound of any file as mono float32 samples: a part at a time, at any sampling rate, without a program to call."""

import io
import math
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from pipeline_core.audio_readers import Reader, open_reader
from pipeline_core.errors import InvalidInputError, SpecError
from pipeline_core.media import open_path
from pipeline_core.requirements import check_installed

MAX_AUDIO_S = "PIPELINE_FLOWS_MAX_AUDIO_S"
"""The environment variable of the longest sound that is decoded whole, in seconds; 4 hours without it."""

_DEFAULT_MAX_AUDIO_S = 4 * 3600.0
# What the resampler looks at on either side of a sample; beyond it, results differ by rounding alone.
_CONTEXT_S = 0.1


class AudioFile:
    """One file's sound, mixed down to mono and resampled while it is read. A context that closes the file.

    Args:
        source: The file's bytes, a programmer's path, or a binary file open at its start, which is closed too.
        sampling_rate: Samples a second that are wanted, in Hz; None for the file's own.

    Attributes:
        sampling_rate: Samples a second that are given, in Hz.
        native_sampling_rate: Samples a second of the file, in Hz.
        channels: How many the file has; their mean is given.
        duration_s: The length that the file claims, in seconds; None where it claims none.

    Raises:
        InvalidInputError: The file is not there, empty, corrupt, of no known format, or has no sound.
        MissingPackageError: soundfile, soxr or av is not installed.
    """

    def __init__(self, source: bytes | os.PathLike[str] | BinaryIO, sampling_rate: int | None = None) -> None:
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        self._file = open_path(source) if isinstance(source, os.PathLike) else source
        try:
            check_installed("decoding audio", ["soundfile", "soxr", "av"])
            self._reader: Reader = open_reader(self._file)
        except BaseException:
            self._file.close()
            raise
        self.native_sampling_rate = self._reader.sampling_rate
        self.sampling_rate = sampling_rate or self.native_sampling_rate
        self.channels = self._reader.channels
        frames = self._reader.frames
        self.duration_s = None if frames is None else frames / self.native_sampling_rate

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._file.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples from the start, some seconds at a time, in arrays ``(samples,)`` float32.

        Raises:
            InvalidInputError: The file is corrupt further on, or ends before what it claims.
        """
        read = 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal read
            for block in self._reader.frames_from(0):
                read += len(block)
                yield block

        yield from _resampled(counted(), self.native_sampling_rate, self.sampling_rate)
        claimed = self._reader.frames
        if claimed is not None and read < claimed * 0.99 - 0.1 * self.native_sampling_rate:
            raise InvalidInputError(
                f"the audio is cut off: it claims {claimed / self.native_sampling_rate:.1f} s "
                f"and has {read / self.native_sampling_rate:.1f} s"
            )

    def read(self, start_s: float = 0.0, stop_s: float | None = None) -> np.ndarray:
        """``(samples,)`` float32 from ``start_s`` up to ``stop_s``, or to the end, in seconds.

        The first sample is number ``round(start_s * sampling_rate)`` of the whole sound, and parts that follow
        one another make it up, but for the noise that some AAC decoders add. Only this part is held; the file is
        sought, not read from its start. What lies past the end is left out.

        Raises:
            InvalidInputError: The file is corrupt there.
            ValueError: ``start_s`` is negative or past ``stop_s``.
        """
        if start_s < 0 or (stop_s is not None and stop_s < start_s):
            raise ValueError(f"start_s and stop_s must be 0 <= start_s <= stop_s, but are {start_s} and {stop_s}")
        native, wanted = self.native_sampling_rate, self.sampling_rate
        # Only every `step`-th frame of the file falls together with a resampled one.
        step, made = native // math.gcd(native, wanted), wanted // math.gcd(native, wanted)
        context = 0.0 if native == wanted else _CONTEXT_S
        first = round(start_s * wanted)
        grid = max(0, math.floor(first / made - context * native / step))
        last = None if stop_s is None else round(stop_s * wanted)
        end = None if last is None else math.ceil((last / wanted + context) * native)
        frames = _until(self._reader.frames_from(grid * step), None if end is None else end - grid * step)
        blocks = list(_resampled(frames, native, wanted))
        samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        offset = grid * made
        return samples[first - offset : None if last is None else last - offset]


def decode_audio(
    source: bytes | os.PathLike[str] | BinaryIO, sampling_rate: int | None = None
) -> tuple[np.ndarray, int]:
    """The whole sound of a file, ``(samples,)`` mono float32, and its sampling rate in Hz.

    Args:
        source: The file's bytes, a programmer's path, or an open binary file, which is closed.
        sampling_rate: Samples a second that are wanted, in Hz; None for the file's own.

    Raises:
        InvalidInputError: The file is not there, empty, corrupt, cut off, of no known format, has no sound, or
            lasts longer than ``PIPELINE_FLOWS_MAX_AUDIO_S`` allows.
        MissingPackageError: soundfile, soxr or av is not installed.
    """
    longest = _max_audio_s()
    with AudioFile(source, sampling_rate) as audio:
        if audio.duration_s is not None and audio.duration_s > longest:
            raise _too_long(f"claims {audio.duration_s:,.0f} s", longest)
        blocks, samples = [], 0
        for block in audio.blocks():
            samples += len(block)
            if samples > longest * audio.sampling_rate:
                raise _too_long("goes on", longest)
            blocks.append(block)
        if not samples:
            raise InvalidInputError("the audio has no samples")
        return np.concatenate(blocks), audio.sampling_rate


def resample(samples: np.ndarray, sampling_rate: int, wanted: int) -> np.ndarray:
    """``(samples,)`` float32 at another rate; both are in Hz."""
    if sampling_rate == wanted:
        return samples
    check_installed("resampling audio", ["soxr"])
    import soxr

    resampled: np.ndarray = soxr.resample(samples, sampling_rate, wanted)
    return resampled


def mono(array: Any) -> np.ndarray:
    """An array of samples as ``(samples,)`` float32, its channels' mean; integers are scaled to -1 to 1.

    Args:
        array: ``(samples,)`` or, as transformers has it, ``(channels, samples)`` with one or two channels; an
            array ``(samples, channels)`` or of more channels is told by the side of at most 16.

    Raises:
        InvalidInputError: It is empty, of another shape or type, or has a sample that is not finite.
    """
    samples = np.asarray(array)
    if samples.dtype.kind in "iu":
        samples = _scaled(samples)
    if samples.dtype.kind != "f":
        raise InvalidInputError(f"audio must be an array of numbers, but is one of {samples.dtype} instead")
    if samples.ndim == 2:
        samples = samples.mean(axis=_channel_axis(samples.shape))
    if samples.ndim != 1:
        raise InvalidInputError(
            f"audio must be an array (samples,) or (channels, samples), but is one of shape {samples.shape} instead"
        )
    if not samples.size:
        raise InvalidInputError("the audio has no samples")
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise InvalidInputError("the audio has samples that are not finite numbers")
    return samples


def _channel_axis(shape: tuple[int, ...]) -> int:
    if shape[0] <= 2 or shape[0] <= 16 < shape[1]:
        return 0
    if shape[1] <= 16:
        return 1
    raise InvalidInputError(f"an array of shape {shape} is no sound: neither side is a number of channels, 16 at most")


def _scaled(samples: np.ndarray) -> np.ndarray:
    limits = np.iinfo(samples.dtype)
    middle = 0 if limits.min else (limits.max + 1) / 2
    return ((samples.astype(np.float64) - middle) / (limits.max + 1 - middle)).astype(np.float32)


def _resampled(blocks: Iterator[np.ndarray], native: int, wanted: int) -> Iterator[np.ndarray]:
    if native == wanted:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(native, wanted, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _until(blocks: Iterator[np.ndarray], frames: int | None) -> Iterator[np.ndarray]:
    """The first ``frames`` of what ``blocks`` hold."""
    left = math.inf if frames is None else frames
    for block in blocks:
        if left <= 0:
            return
        yield block[: int(min(left, len(block)))]
        left -= len(block)


def _max_audio_s() -> float:
    given = os.environ.get(MAX_AUDIO_S)
    try:
        longest = _DEFAULT_MAX_AUDIO_S if given is None else float(given)
    except ValueError:
        longest = math.nan
    if not longest > 0:
        raise SpecError(f"{MAX_AUDIO_S} must be a number of seconds above 0, but is {given!r} instead")
    return longest


def _too_long(what: str, longest: float) -> InvalidInputError:
    return InvalidInputError(
        f"the audio {what}, above the {longest:,.0f} s that are decoded at most; "
        f"the environment variable {MAX_AUDIO_S} raises that"
    )
