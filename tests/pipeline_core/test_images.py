"""Images of every kind as upright RGB, and no more pixels than are allowed."""

import io

import numpy as np
import pytest
from media_files import encoded, picture
from PIL import Image

from pipeline_core.errors import InvalidInputError, SpecError
from pipeline_core.images import decode_image, image_of, open_image

PICTURE = picture()


def decoded(content: bytes) -> np.ndarray:
    image = decode_image(open_image(io.BytesIO(content)))
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize(
    "kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "GIF", "JPEG", "WEBP", "AVIF"]
)
def test_every_format_gives_what_pillow_gives(kind):
    content = encoded(PICTURE, kind)
    assert np.array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_gives_what_transformers_makes_of_it(mode):
    from transformers.image_utils import load_image

    content = encoded(PICTURE.convert("RGB").convert(mode) if mode != "LAB" else Image.new("LAB", (9, 9), 99), "TIFF")
    assert np.array_equal(decoded(content), np.asarray(load_image(Image.open(io.BytesIO(content)))))


def test_a_palette_with_transparency_gives_its_colours_without_a_warning():
    content = encoded(PICTURE.quantize(16), "PNG", transparency=bytes(range(16)))
    assert np.array_equal(decoded(content), np.asarray(PICTURE.quantize(16).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_camera_was(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decoded(encoded(PICTURE, "PNG", exif=exif))
    assert turned.shape[:2] == ((30, 40) if orientation < 5 else (40, 30))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert (turned[corner[orientation]] == 255).all()


def test_damaged_metadata_is_no_damage_to_the_photo():
    content = encoded(PICTURE, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(decoded(content), np.asarray(PICTURE))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_sixteen_bits_keeps_its_shades(kind):
    grey = np.linspace(0, 65_535, 30 * 40).reshape(30, 40).astype(np.uint16)
    shades = decoded(encoded(Image.fromarray(grey), kind))[:, :, 1]
    assert np.abs(shades - grey / 257).max() <= 0.5


def test_grey_of_thirty_two_bits_is_scaled_by_what_it_holds():
    small = np.arange(200, dtype=np.int32).reshape(10, 20)
    assert np.array_equal(decoded(encoded(Image.fromarray(small), "TIFF"))[:, :, 0], small)
    assert decoded(encoded(Image.fromarray(small * 257), "TIFF"))[9, 19, 0] == 199
    assert decoded(encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"))[0, 0, 0] == 128


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert (decoded(content)[0, 0] == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("left", [0, 12, 0.6])
def test_a_file_that_is_cut_off_is_refused(kind, left):
    content = encoded(PICTURE, kind)
    with pytest.raises(InvalidInputError, match=r"cut off or corrupt|no image|empty"):
        decoded(content[: int(left * len(content)) if left == 0.6 else left])


@pytest.mark.parametrize(
    "content", [b"x", b"GIF is what this text begins with", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image_is_refused_and_so_is_what_a_program_would_have_to_draw(content):
    with pytest.raises(InvalidInputError, match="no image that can be read; accepted are JPEG, PNG"):
        decoded(content)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    content = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    assert len(content) < 100_000
    with pytest.raises(InvalidInputError, match=r"200,000,000 pixels.*178,956,970.*PIPELINE_FLOWS_MAX_IMAGE_PIXELS"):
        open_image(io.BytesIO(content))
    monkeypatch.setenv("PIPELINE_FLOWS_MAX_IMAGE_PIXELS", "200000000")
    assert open_image(io.BytesIO(content)).size == (20_000, 10_000)
    monkeypatch.setenv("PIPELINE_FLOWS_MAX_IMAGE_PIXELS", "-1")
    with pytest.raises(SpecError, match="whole number"):
        open_image(io.BytesIO(content))


def test_arrays_of_pixels_are_images():
    pixels = np.asarray(PICTURE)
    assert np.array_equal(np.asarray(image_of(pixels)), pixels)
    assert image_of(pixels[:, :, :1]).mode == "RGB"
    for wrong in (pixels.astype(np.float32), pixels[:, :, :2], np.zeros((0, 3), np.uint8), pixels[None]):
        with pytest.raises(InvalidInputError, match="must be uint8"):
            image_of(wrong)
