"""One file of a dataset, opened through fsspec."""

import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, cast

import fsspec
import fsspec.compression
import xxhash
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipeline_core.errors import MissingPackageError

Format = Literal["parquet", "csv", "jsonl", "arrow", "text", "media"]

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
"""Compressions of text formats, by the ends of names."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a dataset.

    Attributes:
        fs: Its fsspec file system.
        path: Where it is there.
        name: Its path below the dataset's folder, which row ids start with; "" for ids without.
        format: How it is read.
    """

    fs: Any
    path: str
    name: str
    format: Format

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is one of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """``path`` with its protocol."""
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    def open(self) -> BinaryIO:
        """The file's bytes, decompressed if its name ends like a compressed one's."""
        kind = COMPRESSIONS.get(PurePosixPath(self.path).suffix) if self.format not in ("parquet", "arrow") else None
        if kind is not None and kind not in fsspec.compression.compr:
            raise MissingPackageError(f"reading {self.url!r}", "zstandard", "pip install zstandard")
        if isinstance(self.fs, MemoryFileSystem):
            # It hands every reader the same file object, position included.
            raw: Any = io.BytesIO(self.fs.cat_file(self.path))
        elif self.is_local:
            raw = open(self.path, "rb")  # noqa: SIM115
        else:
            raw = self.fs.open(self.path, "rb")
        if kind is None:
            return cast(BinaryIO, raw)
        return _Decompressed(fsspec.compression.compr[kind](raw, mode="r"), raw)

    def version(self) -> tuple[Any, ...]:
        """Changes when the file does, at the price of a look at its directory entry."""
        if self.is_local:
            status = os.stat(self.path)
            return self.path, status.st_size, status.st_mtime_ns
        info = self.fs.info(self.path)
        known = [str(info.get(key)) for key in ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime")]
        return self.url, str(self.fs.ukey(self.path)), *known

    def content(self) -> str:
        """32 hex digits that stand for what the file holds now."""
        if self.is_local:
            return _content_of(*self.version())
        self.fs.invalidate_cache(self.fs._parent(self.path))
        return xxhash.xxh3_128_hexdigest(repr(self.version()).encode())


@lru_cache(maxsize=4096)
def _content_of(path: str, size_bytes: int, mtime_ns: int) -> str:  # noqa: ARG001
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


class _Decompressed(io.BufferedReader):
    """A decompressing stream that closes the compressed one below it too."""

    def __init__(self, stream: Any, compressed: Any) -> None:
        super().__init__(stream, _BLOCK_BYTES)
        self._compressed = compressed

    def close(self) -> None:
        super().close()
        self._compressed.close()
