"""Images of any file as upright RGB pictures, within a limit of pixels and without a program to call."""

import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline_core.errors import InvalidInputError, SpecError
from pipeline_core.requirements import check_installed

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_IMAGE_PIXELS = "PIPELINE_FLOWS_MAX_IMAGE_PIXELS"
"""The environment variable of the largest image that is decoded, in pixels; 178,956,970 without it, as in Pillow."""

_DEFAULT_MAX_IMAGE_PIXELS = 178_956_970
# EPS is not among them: for it Pillow starts Ghostscript.
_FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "PPM",
    "TGA",
    "ICO",
    "ICNS",
    "PCX",
    "SGI",
    "DDS",
    "QOI",
    "PSD",
    "XBM",
)
# What an image was seen to take while it is decoded and prepared, most of it in transformers' own copies.
_BYTES_A_PIXEL = 18
_ORIENTATION = 0x0112


def open_image(file: BinaryIO) -> "Image":
    """An image of which only the header has been read, its size checked.

    Args:
        file: Open at its start; the image reads on from it when it is decoded.

    Raises:
        InvalidInputError: The file is empty, of no known format, corrupt, or has more pixels than
            ``PIPELINE_FLOWS_MAX_IMAGE_PIXELS`` allows.
        MissingPackageError: Pillow is not installed.
    """
    check_installed("decoding images", ["pillow"])
    from PIL import Image

    Image.init()
    start = file.read(16)
    if not start:
        raise InvalidInputError("the file is empty")
    for name in _FORMATS:
        file.seek(0)
        image = _opened(*Image.OPEN[name], start, file) if name in Image.OPEN else None
        if image is not None:
            check_pixels(image)
            return image
    raise InvalidInputError(f"the file is no image that can be read; accepted are {', '.join(_FORMATS)}")


def check_pixels(image: "Image") -> None:
    """Refuse an image that would take too much memory.

    Raises:
        InvalidInputError: It has more pixels than ``PIPELINE_FLOWS_MAX_IMAGE_PIXELS`` allows.
    """
    most = _max_image_pixels()
    if image.width * image.height > most:
        raise InvalidInputError(
            f"the image has {image.width} x {image.height} = {image.width * image.height:,} pixels, above the "
            f"{most:,} that are decoded at most; the environment variable {MAX_IMAGE_PIXELS} raises that"
        )


def decoding_bytes(image: "Image") -> int:
    """About what decoding and preparing an image takes at most, in bytes."""
    return image.width * image.height * _BYTES_A_PIXEL


def decode_image(image: "Image") -> "Image":
    """An image as an upright one in RGB: its first frame, turned as its EXIF orientation says.

    Transparency is dropped, as transformers' pipelines drop it; grey of 16 or 32 bits is scaled to 8.

    Raises:
        InvalidInputError: The image is cut off or corrupt.
    """
    from PIL import Image, ImageOps

    try:
        image.load()
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return image if image.mode == "RGB" else image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidInputError(f"the image is cut off or corrupt: {error}") from error


def image_of(array: np.ndarray) -> "Image":
    """An array of pixels as an image in RGB.

    Args:
        array: ``(height, width)`` or ``(height, width, channels)`` uint8, with 1, 3 or 4 channels.

    Raises:
        InvalidInputError: It is of another shape or type.
    """
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not array.size or not is_picture:
        raise InvalidInputError(
            "an image array must be uint8 of shape (height, width) or (height, width, channels), "
            f"but is {array.dtype} of shape {array.shape} instead"
        )
    return Image.fromarray(array).convert("RGB")


def is_image(value: Any) -> bool:
    """Whether ``value`` is an image of Pillow's."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """``(height, width)`` uint8: 65,535 of whole numbers above 255 is white, and so is 1 of floats that end there."""
    most = pixels.max()
    if not np.isfinite(most):
        raise ValueError("a pixel is not a finite number")
    if pixels.dtype.kind == "f":
        scale = 255.0 if most <= 1 else 1.0
    else:
        scale = 1.0 if pixels.dtype.itemsize > 2 and most <= 255 else 1 / 257
    return np.clip(np.rint(pixels * np.float32(scale)), 0, 255).astype(np.uint8)


def _opened(plugin: Any, accepts: Any, start: bytes, file: BinaryIO) -> "Image | None":
    try:
        if accepts is not None and accepts(start) is not True:
            return None
        # Image.open would hold images to a limit that is one for the whole process, with warnings.
        image: Image = plugin(file, "")
        return image
    except MemoryError:
        raise
    except Exception:  # plugins say in many ways that a file is not theirs
        return None


def _orientation(image: "Image") -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a photo with damaged metadata is a photo
        return 1


def _max_image_pixels() -> int:
    given = os.environ.get(MAX_IMAGE_PIXELS)
    if given is None:
        return _DEFAULT_MAX_IMAGE_PIXELS
    if not given.strip().isdecimal() or int(given) < 1:
        raise SpecError(f"{MAX_IMAGE_PIXELS} must be a whole number from 1 up, but is {given!r} instead")
    return int(given)
