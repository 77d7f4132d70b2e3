"""Files of sound and moving pictures opened through PyAV, which opens nothing else for them."""

import io
from typing import Any, BinaryIO

from pipeline_core.errors import InvalidInputError

# Formats that hold their media themselves. Playlists (HLS, DASH, concat) name files and URLs that FFmpeg would open.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,gif,ivf,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,"
    "nut,ogg,tta,wav,webm,w64,wv"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}


def open_container(file: BinaryIO | io.RawIOBase, kind: str) -> Any:
    """A PyAV container of ``file``, which is open at its start.

    Raises:
        InvalidInputError: The file is empty, corrupt, or of a format that is not taken; ``kind`` names it.
    """
    import av

    try:
        return av.open(file, container_options=_OPTIONS, metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"the file is no {kind} that can be read: {reason}") from error
