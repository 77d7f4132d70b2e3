"""A recording's channels, apart from one another, in parts: what speakers are told apart in."""

import io
import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline_core.audio import AudioFile
from pipeline_core.containers import open_container
from pipeline_core.errors import InvalidInputError
from pipeline_core.media import open_path

SAMPLE_RATE = 16_000

_PART_S = 600.0


def channel_parts(
    source: bytes | os.PathLike[str] | NDArray[np.float32], part_s: float = _PART_S
) -> Callable[[], Iterator[NDArray[np.float32]]]:
    """What opens a recording at its beginning: consecutive ``(channels, samples)`` float32 at 16 kHz.

    Args:
        source: A file's bytes, a programmer's path, or samples: ``(samples,)`` or ``(channels, samples)`` at 16 kHz.
        part_s: Seconds a part, in about; no more than one is held.

    Returns:
        A function whose iterators raise InvalidInputError where the recording can't be read.
    """
    size = round(part_s * SAMPLE_RATE)
    if isinstance(source, np.ndarray):
        samples = np.atleast_2d(source)
        return lambda: (samples[:, start : start + size] for start in range(0, samples.shape[1], size))
    return lambda: _regrouped(_blocks(source), size)


def _blocks(source: bytes | os.PathLike[str]) -> Iterator[NDArray[np.float32]]:
    with AudioFile(source, SAMPLE_RATE) as audio:
        channels = audio.channels
        if channels == 1:
            for block in audio.blocks():
                yield block[None]
    if channels > 1:
        yield from _separate(source)


def _separate(source: bytes | os.PathLike[str]) -> Iterator[NDArray[np.float32]]:
    import av

    with (
        io.BytesIO(source) if isinstance(source, bytes) else open_path(source) as file,
        open_container(file, "audio") as container,
    ):
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=SAMPLE_RATE)
        try:
            for frame in container.decode(stream):
                for resampled in resampler.resample(frame):
                    yield resampled.to_ndarray().astype(np.float32, copy=False)
            for resampled in resampler.resample(None):
                yield resampled.to_ndarray().astype(np.float32, copy=False)
        except av.error.FFmpegError as error:
            raise InvalidInputError(f"the audio is corrupt, or protected against copying: {error.strerror}") from error


def _regrouped(blocks: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Blocks joined until they have ``size`` samples."""
    held: list[NDArray[np.float32]] = []
    samples = 0
    for block in blocks:
        held.append(block)
        samples += block.shape[1]
        if samples >= size:
            yield np.concatenate(held, axis=1)
            held, samples = [], 0
    if samples:
        yield np.concatenate(held, axis=1)
