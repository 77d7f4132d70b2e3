"""How a transcript's page gets at its recording: by a relative link, or with a small copy inside the page."""

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

from pipeline_core.containers import open_container
from pipeline_core.errors import InvalidInputError
from pipeline_core.media import open_path
from pipeline_core.requirements import check_installed
from pipeline_core.storage import Storage

_SAMPLE_RATE = 24_000
_BITS_PER_S = 48_000


def link_recording(storage: Storage, name: str, recording: str | os.PathLike[str]) -> str | None:
    """The URL of a local recording, relative to the page in folder ``name`` of the output.

    Absolute where no relative path leads there; None if the output is not on this machine.
    """
    if not storage.local:
        return None
    found = Path(recording).absolute()
    try:
        relative = os.path.relpath(found, storage.path(name))
    except ValueError:  # another drive
        return found.as_uri()
    return quote(relative.replace(os.sep, "/"))


def check_can_embed() -> None:
    """Make sure that a copy can be made here.

    Raises:
        MissingPackageError: av is not installed.
    """
    check_installed("a copy of the recording in the page", ["av"])


def embed_recording(recording: os.PathLike[str] | bytes) -> str:
    """A ``data:`` URL that holds a mono copy of a recording, made to be listened to: about 29 MB an hour.

    Args:
        recording: The file, or its bytes.

    Raises:
        InvalidInputError: The file has no audio that can be decoded.
        MissingPackageError: av is not installed.
    """
    check_can_embed()
    import av

    copy = io.BytesIO()
    name = "the recording" if isinstance(recording, bytes) else repr(os.fspath(recording))
    try:
        with (
            io.BytesIO(recording) if isinstance(recording, bytes) else open_path(Path(recording)) as file,
            open_container(file, "recording") as source,
            av.open(copy, "w", format="mp4") as target,
        ):
            if not source.streams.audio:
                raise InvalidInputError(f"{name} has no audio")
            stream = target.add_stream("aac", rate=_SAMPLE_RATE, layout="mono")
            stream.bit_rate = _BITS_PER_S
            resampler = av.AudioResampler("fltp", "mono", _SAMPLE_RATE)
            for frame in source.decode(audio=0):
                for resampled in resampler.resample(frame):
                    target.mux(stream.encode(resampled))
            for resampled in resampler.resample(None):
                target.mux(stream.encode(resampled))
            target.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise InvalidInputError(f"{name} can't be decoded: {error.strerror}") from error
    return "data:audio/mp4;base64," + base64.b64encode(copy.getvalue()).decode()
