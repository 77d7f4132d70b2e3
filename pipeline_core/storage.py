"""One folder whose files are whole or not there, on any file system that fsspec reaches."""

import errno
import hashlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipeline_core.errors import OutputError, OutputInUseError

TEMPORARY = "_tmp-"

_READ_BYTES = 16 * 2**20
_memory_lock = threading.Lock()


class Storage:
    """The files of one folder, by names relative to it.

    Attributes:
        url: Where the folder is, as it was asked for.
        local: Whether it is on this machine's own file system, so that a rename is atomic.
        guarded: Whether ``exclusive`` excludes everyone else: so for a local folder, unless its file
            system has no locks for folders (NFS), and for memory. Object stores have none.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = url_to_fs(url)
        self.local = isinstance(self._fs, LocalFileSystem)
        self.guarded = self.local or isinstance(self._fs, MemoryFileSystem)

    @property
    def filesystem(self) -> Any:
        """The fsspec file system, for readers that take one."""
        return self._fs

    def path(self, name: str = "") -> str:
        """What the file system calls ``name``."""
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def make(self) -> None:
        """Make the folder if it isn't there."""
        if self._fs.isfile(self._root):
            raise OutputError(f"output must be a folder, but {self.url!r} is a file")
        self._fs.makedirs(self._root, exist_ok=True)

    def names(self, below: str = "") -> list[str]:
        """All files below the folder, or below one in it, sorted; none where there is no folder."""
        self._fs.invalidate_cache()
        prefix = self.path("x")[:-1]
        found = (path.removeprefix(prefix) for path in self._fs.find(self.path(below.rstrip("/"))))
        return sorted(name for name in found if name and name != self._root)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        self._fs.invalidate_cache()
        return bool(self._fs.isfile(self.path(name)))

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none."""
        self._fs.invalidate_cache()
        try:
            return cast(bytes, self._fs.cat_file(self.path(name)))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def digest(self, name: str) -> tuple[str, int] | None:
        """(sha256, size in bytes) of a file, or None where there is none."""
        self._fs.invalidate_cache()
        sha256, size, path = hashlib.sha256(), 0, self.path(name)
        try:
            total = self._fs.size(path)
            while size < total:
                piece = self._fs.cat_file(path, start=size, end=min(size + _READ_BYTES, total))
                if not piece:
                    return None
                sha256.update(piece)
                size += len(piece)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return sha256.hexdigest(), size

    def age_s(self, name: str) -> float | None:
        """Seconds since a file was last written, or None where that can't be told."""
        try:
            return time.time() - float(self._fs.modified(self.path(name)).timestamp())
        except (OSError, NotImplementedError):
            return None

    def temporary(self, name: str, label: str = "") -> str:
        """A name that nobody else uses, for what will become ``name``; no reader takes it for data."""
        return f"{TEMPORARY}{label[:8] or 'file'}-{uuid.uuid4().hex[:12]}-{name.replace('/', '-')}.tmp"

    def open_new(self, name: str) -> BinaryIO:
        """A new file, open for writing; close it with ``finish``."""
        if self.local and "/" in name:
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        return cast(BinaryIO, open(self.path(name), "xb") if self.local else self._fs.open(self.path(name), "wb"))

    def finish(self, file: BinaryIO) -> None:
        """Close a file so that its content outlives a power cut."""
        if self.local:
            file.flush()
            os.fsync(file.fileno())
        file.close()

    def write(self, name: str, content: bytes) -> None:
        """Put a file there whole, over what was there."""
        if not self.local:
            self._fs.pipe_file(self.path(name), content)
            return
        temporary = self._write_temporary(name, content)
        self.rename(temporary, name)
        self.sync(name)

    def create(self, name: str, content: bytes) -> bool:
        """Put a file there whole if there is none; whether it was put."""
        if not self.local:
            try:
                self._fs.pipe_file(self.path(name), content, mode="create")
            except FileExistsError:
                return False
            return True
        temporary = self._write_temporary(name, content)
        try:
            os.link(self.path(temporary), self.path(name))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            return self._create_without_links(name, content)
        finally:
            self.remove(temporary)
        self.sync(name)
        return True

    def rename(self, name: str, new_name: str) -> None:
        """Move a file, over what was there; at once on a local file system, else as copy and delete."""
        if self.local:
            os.makedirs(os.path.dirname(self.path(new_name)), exist_ok=True)
            os.replace(self.path(name), self.path(new_name))
        else:
            self._fs.mv(self.path(name), self.path(new_name))

    def remove(self, name: str) -> None:
        """Delete a file if it is there, and on a local file system the folder that it leaves empty."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self.path(name))
        if self.local and "/" in name:
            with suppress(OSError):
                os.rmdir(os.path.dirname(self.path(name)))

    def sync(self, name: str) -> None:
        """Make the renames and deletions next to ``name`` outlive a power cut."""
        if self.local and sys.platform != "win32":
            handle = os.open(os.path.dirname(self.path(name)), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @contextmanager
    def exclusive(self, timeout_s: float = 30.0) -> Iterator[None]:
        """Keep all other threads and processes out of their ``exclusive`` of this folder.

        The operating system drops the lock of a process that dies. Not reentrant.

        Raises:
            OutputError: The folder is gone.
            OutputInUseError: Another process held it for ``timeout_s``.
        """
        if self.local and sys.platform != "win32":
            with self._locked_folder(timeout_s):
                yield
        elif isinstance(self._fs, MemoryFileSystem):
            with _memory_lock:
                yield
        else:
            yield

    @contextmanager
    def _locked_folder(self, timeout_s: float) -> Iterator[None]:
        import fcntl

        try:
            handle = os.open(self._root, os.O_RDONLY)
        except FileNotFoundError:
            raise OutputError(f"the output folder {self.url!r} is gone; it was deleted or never made") from None
        try:
            self.guarded = _lock(handle, time.monotonic() + timeout_s, self.url)
            yield
        finally:
            # Closing is not enough: a child forked meanwhile shares the lock.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def _write_temporary(self, name: str, content: bytes) -> str:
        temporary = self.temporary(name)
        file = self.open_new(temporary)
        try:
            file.write(content)
            self.finish(file)
        except BaseException:
            with suppress(OSError):
                file.close()
            self.remove(temporary)
            raise
        return temporary

    def _create_without_links(self, name: str, content: bytes) -> bool:
        try:
            file = self.open_new(name)
        except FileExistsError:
            return False
        file.write(content)
        self.finish(file)
        return True


def _lock(handle: int, deadline: float, url: str) -> bool:
    import fcntl

    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OutputInUseError(f"another process keeps the output folder {url!r} locked") from None
            time.sleep(0.005)
        except OSError:
            return False
