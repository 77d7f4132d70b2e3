"""An image of a call as a Pillow image."""

from os import PathLike, fspath
from typing import Any


def opened(image: Any, timeout: float | None) -> Any:
    """The image itself, or the one at a path or URL, as RGB and turned as its EXIF data say.

    Args:
        image: A Pillow image, a path, a URL, or base64 text.
        timeout: Seconds to wait for a URL, or None to wait for ever.

    Raises:
        TypeError: It is none of these.
        ValueError: The text leads to no image.
    """
    from transformers.image_utils import load_image

    return load_image(fspath(image) if isinstance(image, PathLike) else image, timeout=timeout)


def is_image(value: Any) -> bool:
    """Whether ``value`` names an image or is one."""
    from PIL import Image

    return isinstance(value, str | PathLike | Image.Image)
