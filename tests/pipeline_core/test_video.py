"""A video file gives transformers its own frames and leads it nowhere."""

import io

import av
import numpy as np
import pytest
from media_files import tone, write_sound, write_video
from transformers.pipelines.video_classification import read_video_pyav

from pipeline_core.errors import InvalidInputError
from pipeline_core.video import VideoFile


@pytest.mark.parametrize("kind", ["mp4", "webm", "avi", "mkv", "mov"])
def test_transformers_reads_the_frames_that_it_reads_of_the_path(tmp_path, kind):
    path = write_video(tmp_path / f"a.{kind}")
    indices = np.arange(16)
    with VideoFile(path.open("rb")) as video:
        assert not video.startswith("http://")
        found = read_video_pyav(av.open(video), indices)
    assert np.array_equal(found, read_video_pyav(av.open(str(path)), indices))


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_frames_are_sampled_over_the_whole_video(tmp_path, kind):
    with VideoFile(write_video(tmp_path / f"a.{kind}").open("rb")) as video:
        greys = video.sampled(5)[:, 0, 0, 0].astype(int)
        assert np.abs(greys - [0, 40, 80, 120, 160]).max() <= 6
        with pytest.raises(InvalidInputError, match="has 20 frames, below the 21"):
            video.sampled(21)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:3,\nfile://{write_video(tmp_path / 'a.mp4')}\n")
    for content in (b"", b"text", (tmp_path / "list.m3u8").read_bytes()):
        with pytest.raises(InvalidInputError, match=r"empty|no video"):
            VideoFile(io.BytesIO(content))
    with pytest.raises(InvalidInputError, match="no pictures"):
        VideoFile(write_sound(tmp_path / "a.m4a", tone(0.5)).open("rb"))
    content = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(InvalidInputError, match=r"no video|cut off|corrupt"):
        VideoFile(io.BytesIO(content[: len(content) // 2])).sampled(5)


def test_the_format_stays_the_one_that_was_checked(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    content = path.read_bytes()
    with VideoFile(path.open("rb")) as video:
        path.write_bytes(b"#EXTM3U\n".ljust(len(content)))
        assert video.read(len(content)) == content


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_FLOWS_MAX_IMAGE_PIXELS", "3000")
    with pytest.raises(InvalidInputError, match="64 x 48"):
        VideoFile(write_video(tmp_path / "a.mp4").open("rb"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20, -1])
def test_it_reads_and_seeks_as_the_file_does(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr("pipeline_core.video._HEAD_BYTES", 3000)
    path = write_video(tmp_path / "a.mp4", 60)
    content = path.read_bytes()
    assert len(content) > 4000
    with VideoFile(path.open("rb")) as video:
        for start in (0, 2998, 3000, 3500, len(content)):
            assert video.seek(start) == start
            found = video.read(chunk)
            assert content[start:].startswith(found)
            assert found or start == len(content)
            assert video.tell() == start + len(found)
        assert video.seek(-3, io.SEEK_END) == len(content) - 3
        assert video.seek(1, io.SEEK_CUR) == len(content) - 2
        assert video.read() == content[-2:]
