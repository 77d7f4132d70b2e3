"""Values that are no columns but files: images as PNG, arrays as npy, speech as WAV."""

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

# What PNG has; an image of floats is an array, and the rest becomes RGB.
_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})


class MediaFile:
    """A file to be; the column holds its path.

    Attributes:
        suffix: How its name ends.
    """

    suffix: ClassVar[str]

    def content(self) -> bytes:
        """The file, to the byte."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ArrayFile(MediaFile):
    """An array of any shape and type, in numpy's format."""

    array: np.ndarray
    suffix: ClassVar[str] = "npy"

    def content(self) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, self.array, allow_pickle=False)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Picture(MediaFile):
    """A Pillow image; 16 bits a pixel stay 16."""

    image: Any
    suffix: ClassVar[str] = "png"

    @classmethod
    def of_array(cls, array: np.ndarray) -> "Picture":
        """(height, width) or (height, width, channels) of uint8."""
        from PIL import Image

        return cls(Image.fromarray(array))

    def content(self) -> bytes:
        image = self.image if self.image.mode in _PNG_MODES else self.image.convert("RGB")
        buffer = io.BytesIO()
        # The lowest level that compresses masks well; higher ones cost photos more time than the model takes.
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Sound(MediaFile):
    """``samples``, (samples,) or (channels, samples) float32, at ``rate_hz``; every bit is kept."""

    samples: np.ndarray
    rate_hz: int
    suffix: ClassVar[str] = "wav"

    def content(self) -> bytes:
        import soundfile

        buffer = io.BytesIO()
        soundfile.write(buffer, self.samples.T, self.rate_hz, format="WAV", subtype="FLOAT")
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value that is written as JSON text once the files in it have paths."""

    value: Any


def is_picture(value: Any) -> bool:
    """Whether it is a Pillow image."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == "PIL.Image.Image" for kind in type(value).__mro__)
