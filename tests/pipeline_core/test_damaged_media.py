"""Whatever bytes a row holds, decoding them ends in a medium or in an invalid input, and in nothing else."""

import io
import random
import warnings

import pytest
from media_files import SOUNDS, encoded, picture, tone, write_sound, write_video

from pipeline_core.audio import decode_audio
from pipeline_core.errors import InvalidInputError
from pipeline_core.images import decode_image, open_image
from pipeline_core.video import VideoFile

IMAGES = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "SGI", "ICO", "DDS"]


def decode_video(content: bytes) -> None:
    with VideoFile(io.BytesIO(content)) as video:
        video.sampled(4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {
        "audio": [write_sound(folder / f"a.{kind}", tone(0.3)).read_bytes() for kind in SOUNDS],
        "image": [encoded(picture(), kind) for kind in IMAGES],
        "video": [write_video(folder / f"v.{kind}", 6).read_bytes() for kind in ("mp4", "webm", "avi", "mkv")],
    }


@pytest.mark.parametrize(
    ("kind", "decode"),
    [
        ("audio", decode_audio),
        ("image", lambda content: decode_image(open_image(io.BytesIO(content)))),
        ("video", decode_video),
    ],
)
def test_damaged_files_are_media_or_invalid_inputs(whole, kind, decode, capfd):
    chance = random.Random(kind)
    refused = 0
    for _ in range(400):
        content = bytearray(chance.choice(whole[kind]))
        for _ in range(chance.choice([1, 2, 5, 30])):
            reach = min(len(content), chance.choice([64, 400, 1 << 30]))
            content[chance.randrange(reach)] = chance.choice([0, 255, chance.randrange(256)])
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)) :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on what it makes of such files
            try:
                decode(bytes(content))
            except InvalidInputError:
                refused += 1
    assert 0 < refused < 400
    capfd.readouterr()  # decoders print what they think of such files


def test_sound_that_is_protected_against_copying_is_an_invalid_input(tmp_path, capfd):
    content = bytearray(write_sound(tmp_path / "song.m4a", tone(2.0)).read_bytes())
    named = content.index(b"mp4a")
    content[named : named + 4] = b"drms"  # what shops name it, and its sound encrypted
    start = content.index(b"mdat") + 4
    stop = content.find(b"moov", start) - 4 if b"moov" in content[start:] else len(content)
    content[start:stop] = random.Random(1).randbytes(stop - start)
    with pytest.raises(InvalidInputError, match="protected against copying"):
        decode_audio(bytes(content))
    capfd.readouterr()
