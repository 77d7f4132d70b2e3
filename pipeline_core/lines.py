"""The lines of a file as bytes, with the offset that reading can start again from."""

from collections.abc import Callable
from typing import Any, BinaryIO, Self

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Lines:
    """A file's lines from one of their starts on.

    Attributes:
        offset: Where the next line starts, in bytes of the decompressed file.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], offset: int = 0, digest: Any = None) -> None:
        """Open at ``offset``; ``digest``, a hash object, is fed every byte once, however often it is read."""
        self._open_file = open_file
        self._digest = digest
        self._digested = offset
        self._stream = open_file()
        self.offset = offset
        self._skip_to(offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def readline(self) -> bytes:
        """The next line with its end, without a byte order mark; nothing at the end of the file."""
        line = self._stream.readline()
        begin, self.offset = self.offset, self.offset + len(line)
        if self._digest is not None and self.offset > self._digested:
            self._digest.update(line[self._digested - begin :])
            self._digested = self.offset
        return line.removeprefix(_BYTE_ORDER_MARK) if begin == 0 else line

    def rewind(self, offset: int) -> None:
        """Go back to ``offset``, a line's start."""
        if not self._stream.seekable():
            self._stream.close()
            self._stream = self._open_file()
        self.offset = offset
        self._skip_to(offset)

    def _skip_to(self, offset: int) -> None:
        if self._stream.seekable():
            self._stream.seek(offset)
            return
        while offset and (skipped := len(self._stream.read(min(offset, 1 << 20)))):
            offset -= skipped
