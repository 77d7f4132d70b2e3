"""Small files of every kind of media, and what a pipeline is given for them."""

import io
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import soundfile
from PIL import Image

from pipeline_core.catalog import find_task
from pipeline_core.media import MediaRoot
from pipeline_core.raw_inputs import MediaInputs
from pipeline_core.records import Record

# Every name that sound comes under, and how PyAV writes what soundfile doesn't: container, codec, rate in Hz.
_BY_SOUNDFILE = {"wav": {}, "flac": {}, "mp3": {}, "ogg": {}, "opus": {"format": "OGG", "subtype": "OPUS"}}
_BY_AV = {"m4a": ("mp4", "aac", 16_000), "mp4": ("mp4", "aac", 44_100), "webm": ("webm", "libopus", 48_000)}
SOUNDS = [*_BY_SOUNDFILE, *_BY_AV]


def tone(seconds: float, hertz: float = 300.0, sampling_rate: int = 16_000) -> np.ndarray:
    """``(samples,)`` float32 of a tone that rises by 100 Hz a second, so that no two stretches of it are alike."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return (0.3 * np.sin(2 * np.pi * (hertz + 50 * time) * time)).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, sampling_rate: int = 16_000) -> Path:
    """Write ``(samples,)`` or ``(samples, channels)`` in the format that the file's name ends in."""
    kind = path.suffix[1:]
    if kind in _BY_SOUNDFILE:
        soundfile.write(path, samples, sampling_rate, **_BY_SOUNDFILE[kind])
        return path
    container_format, codec, codec_rate = _BY_AV[kind]
    planes = np.ascontiguousarray(np.atleast_2d(samples.T))
    layout = "mono" if len(planes) == 1 else "stereo"
    with av.open(str(path), "w", format=container_format) as container:
        pictures = _video_stream(container, "mpeg4") if kind == "mp4" else None
        stream = container.add_stream(codec, rate=codec_rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = sampling_rate
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=codec_rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
        if pictures is not None:
            _encode(container, pictures, 4)
    return path


def write_video(path: Path, frames: int = 20) -> Path:
    """Write frames, each of one grey that rises by 10 from black; ten of them a second."""
    with av.open(str(path), "w") as container:
        _encode(container, _video_stream(container, "libvpx" if path.suffix == ".webm" else "mpeg4"), frames)
    return path


def _video_stream(container, codec: str):
    stream = container.add_stream(codec, rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def _encode(container, stream, frames: int) -> None:
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10 % 250, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 10)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """A picture of noise, a corner of it white."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    pixels[: height // 3, : width // 3] = 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **settings) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def prepared(task: str, inputs, root=None):
    """What a task's pipeline, whose model hears at 8 kHz, is given for ``inputs``."""
    pipeline = SimpleNamespace(feature_extractor=SimpleNamespace(sampling_rate=8_000))
    media_root = None if root is None else MediaRoot(str(root))
    with MediaInputs(pipeline, find_task(task)).decoded(Record("r", inputs, media_root=media_root)) as made:
        return made
