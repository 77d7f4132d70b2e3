"""What is opened for a record: bytes, a programmer's own path, or a file of the one folder that data may name."""

import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline_core.errors import InvalidInputError, MediaNotAllowedError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(file|data|https?|ftp):", re.IGNORECASE)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: what was a file when it was looked at may be a pipe by the time it is opened.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class MediaRoot:
    """A folder whose files data may name.

    Building one looks at nothing. A name is refused unopened when it is a URL, when it has ``..``, when it is
    absolute and not below the folder, and when links lead out of the folder. Links within it are followed. The
    file is reached from the folder step by step without following any link, so that one that is put there
    meanwhile leads nowhere.

    Attributes:
        folder: A local folder, or an fsspec URL such as s3://bucket/photos, whose own links are not looked at.
    """

    folder: str

    def open(self, name: str) -> BinaryIO:
        """The file called ``name``, relative to the folder or absolute below it.

        Raises:
            MediaNotAllowedError: The name leads elsewhere, or to a folder, a pipe or a device.
            InvalidInputError: There is no such file, or it may not be read.
        """
        if not name or "\0" in name:
            raise MediaNotAllowedError(name, "it names no file")
        if _is_remote(self.folder):
            return self._open_remote(name)
        try:
            root = os.path.realpath(os.path.expanduser(self.folder))
            return _open_below(root, self._parts_below(root, name), name)
        except FileNotFoundError as error:
            raise InvalidInputError(f"{name!r} is not in the folder {self.folder!r}") from error
        except OSError as error:
            raise InvalidInputError(f"{name!r} can't be opened: {error.strerror}") from error
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"{name!r} can't be the name of a file: {error.reason}") from error

    def locate(self, name: str) -> Path | None:
        """Where the file called ``name`` is, all links resolved; None if the folder is not on this machine.

        Raises:
            MediaNotAllowedError: As for ``open``.
            InvalidInputError: As for ``open``.
        """
        if _is_remote(self.folder):
            return None
        self.open(name).close()
        root = os.path.realpath(os.path.expanduser(self.folder))
        return Path(root, *self._parts_below(root, name))

    def _parts_below(self, root: str, name: str) -> list[str]:
        """The steps from ``root`` to the file, with all links resolved."""
        _refuse_escapes(name)
        below = name
        if name.startswith("/"):
            bases = {root, os.path.abspath(os.path.expanduser(self.folder))}
            found = [name[len(base) :] for base in bases if name.startswith(base.rstrip("/") + "/")]
            if not found:
                raise MediaNotAllowedError(name, f"it is outside of the folder {self.folder!r}")
            below = min(found, key=len)
        resolved = os.path.realpath(os.path.join(root, below.lstrip("/")))
        if os.path.commonpath([root, resolved]) != root or resolved == root:
            raise MediaNotAllowedError(name, f"it leads out of the folder {self.folder!r}")
        return os.path.relpath(resolved, root).split("/")

    def _open_remote(self, name: str) -> BinaryIO:
        base = self.folder.rstrip("/") + "/"
        below = name.removeprefix(base)
        _refuse_escapes(below)
        if below.startswith("/"):
            raise MediaNotAllowedError(name, f"it is outside of the folder {self.folder!r}")
        fs, path = fsspec.core.url_to_fs(base)
        try:
            return cast(BinaryIO, fs.open(f"{path.rstrip('/')}/{below}", "rb"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise InvalidInputError(f"{name!r} is not in the folder {self.folder!r}") from error


def open_path(path: os.PathLike[str]) -> BinaryIO:
    """The file that a programmer named.

    Raises:
        InvalidInputError: There is no such file, it is not a plain file, or it may not be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InvalidInputError(f"{os.fspath(path)!r} is not a plain file")
        return open(path, "rb")
    except OSError as error:
        raise InvalidInputError(f"{os.fspath(path)!r} can't be opened: {error.strerror}") from error


def open_media(value: Any, root: MediaRoot | None) -> BinaryIO | None:
    """The bytes that a cell of a media column stands for; None for a value that is no such cell.

    Args:
        value: Bytes, a ``pathlib.Path``, a string, which is looked up below ``root``, or a dict of "bytes"
            and "path", as ``datasets`` and parquet files of media have them; the path only counts without bytes.
        root: The folder that data may name; None for none.

    Raises:
        MediaNotAllowedError: A string names something that is not below ``root``.
        InvalidInputError: There is no such file, or the cell is empty.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return io.BytesIO(value)
    if isinstance(value, os.PathLike):
        return open_path(value)
    if isinstance(value, str):
        if root is None:
            raise MediaNotAllowedError(
                value,
                "a string is data, and no folder was named that data may open files of; name one as media_root, "
                "or give a pathlib.Path or bytes",
            )
        return root.open(value)
    if is_media_cell(value):
        content = value.get("bytes")
        content = value.get("path") if content is None else content
        if content is None:
            raise InvalidInputError("the media cell holds neither bytes nor a path")
        return open_media(content, root)
    return None


def is_media_cell(value: Any) -> bool:
    """Whether ``value`` is a dict of bytes and a path, and of nothing else."""
    return isinstance(value, dict) and bool(value) and value.keys() <= {"bytes", "path"}


def _is_remote(folder: str) -> bool:
    return "://" in folder and not isinstance(fsspec.core.url_to_fs(folder)[0], LocalFileSystem)


def _refuse_escapes(name: str) -> None:
    if _URL.match(name):
        raise MediaNotAllowedError(name, "it is a URL, and data may not have anything fetched")
    if ".." in name.split("/"):
        raise MediaNotAllowedError(name, "it has '..' in it")


def _open_below(root: str, parts: list[str], name: str) -> BinaryIO:
    folder = os.open(root, _DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
            raise MediaNotAllowedError(name, "it is not a plain file")
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise MediaNotAllowedError(name, "it is not a plain file")
    return os.fdopen(file, "rb")
