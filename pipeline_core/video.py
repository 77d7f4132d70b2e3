"""A video file as transformers' video pipelines take it, which can neither be led elsewhere nor to another format."""

import io
from typing import Any, BinaryIO

import numpy as np

from pipeline_core.containers import open_container
from pipeline_core.errors import InvalidInputError
from pipeline_core.images import check_pixels
from pipeline_core.requirements import check_installed

# More than FFmpeg reads to tell a file's format.
_HEAD_BYTES = 2 << 20


class VideoFile(io.RawIOBase):
    """A video's bytes, checked to be of a format that holds its own frames.

    transformers' pipeline opens what it is given with PyAV, and takes a name for a URL or a path. This is a file
    without a name. Its first bytes are read once: by them FFmpeg tells the format, which is thus the one that was
    checked, whatever is written to the file meanwhile.

    Args:
        file: Open at its start; closed with this one.

    Raises:
        InvalidInputError: The file is empty, corrupt, of no format that is taken, has no pictures, or its pictures
            have more pixels than ``PIPELINE_FLOWS_MAX_IMAGE_PIXELS`` allows.
        MissingPackageError: av is not installed.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        check_installed("decoding video", ["av"])
        self._file = file
        self._head = file.read(_HEAD_BYTES)
        self._position = 0
        if not self._head:
            raise InvalidInputError("the file is empty")
        with open_container(self, "video") as container:
            if not container.streams.video:
                raise InvalidInputError("the file has no pictures")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InvalidInputError("the pictures are in a format that can't be decoded")
            check_pixels(stream.codec_context)
            self.frames: int = stream.frames
            """How many the file claims; 0 where it claims nothing."""
        self._position = 0

    def sampled(self, count: int) -> np.ndarray:
        """``count`` frames at equal distances over the whole video, ``(count, height, width, 3)`` uint8 in RGB.

        Raises:
            InvalidInputError: The video is corrupt, or has fewer frames.
        """
        total = self.frames or sum(1 for _ in self._decoded())
        if total < count:
            raise InvalidInputError(f"the video has {total} frames, below the {count} that are wanted")
        wanted = {int(number * total / count) for number in range(count)}
        taken = [frame.to_ndarray(format="rgb24") for number, frame in enumerate(self._decoded()) if number in wanted]
        if len(taken) < count:
            raise InvalidInputError(f"the video is cut off: it claims {total} frames and has fewer")
        if len({frame.shape for frame in taken}) > 1:
            raise InvalidInputError("the video has frames of several sizes")
        return np.stack(taken)

    def startswith(self, prefix: str) -> bool:  # noqa: ARG002
        """transformers' question whether this is a URL."""
        return False

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, or fewer; all that are left for a negative ``size``."""
        if self._position < len(self._head):
            found = self._head[self._position :] if size < 0 else self._head[self._position : self._position + size]
            if size < 0:
                self._file.seek(len(self._head))
                found += self._file.read()
        else:
            self._file.seek(self._position)
            found = self._file.read(size)
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another byte."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = self._file.seek(0, io.SEEK_END) + offset if base is None else base + offset
        return self._position

    def tell(self) -> int:
        """The number of the next byte."""
        return self._position

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()

    def _decoded(self) -> Any:
        import av

        self._position = 0
        with open_container(self, "video") as container:
            try:
                yield from container.decode(video=0)
            except av.error.FFmpegError as error:
                raise InvalidInputError(f"the video is corrupt: {error.strerror}") from error
