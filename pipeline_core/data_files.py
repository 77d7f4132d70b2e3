"""The data files that a path stands for: found in a folder, by a glob or at a URL, and opened through fsspec."""

import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, cast

import fsspec
import fsspec.compression
import xxhash
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipeline_core.errors import DatasetNotFoundError, FormatError, MissingPackageError, SplitNotFoundError

Format = Literal["parquet", "csv", "jsonl", "arrow", "text"]

_EXTENSIONS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".txt": "text",
}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_PACKAGES = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
_GLOB = re.compile(r"[*?\[]")
_BLOCK_BYTES = 1 << 20

ACCEPTED = (
    f"{', '.join(_EXTENSIONS)}; of these .csv, .tsv, .jsonl, .ndjson and .txt also with {', '.join(_COMPRESSIONS)}"
)


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
        kind = _COMPRESSIONS.get(PurePosixPath(self.path).suffix) if self.format not in ("parquet", "arrow") else None
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


def is_file_path(path: str) -> bool:
    """Whether ``path`` can only mean files: it exists, is a glob or a URL, or ends like a data file."""
    if "://" in path or "::" in path or _GLOB.search(path) or path.startswith(("/", "./", "../", "~")):
        return True
    return _format_of(path) is not None or os.path.exists(path)


def find_files(path: str, split: str | None = None, format: Format | None = None) -> list[DataFile]:  # noqa: A002
    """The data files at ``path``, in the order of their names.

    Args:
        path: A file, a glob, a folder (searched with its subfolders), or an fsspec URL of one.
            Names that start with "_" or "." are passed over.
        split: Takes the files that are named so, or start so before "-", "_" or ".", or lie in a
            subfolder named so.
        format: Reads the files so, whatever their names say.

    Raises:
        DatasetNotFoundError: Nothing is there, or nothing that can be read.
        SplitNotFoundError: No file belongs to ``split``.
        FormatError: A file's name tells no accepted format, or names tell several.
        MissingPackageError: The URL's file system is not installed.
    """
    fs, root = _file_system(path)
    # A cached listing would give the size and etag that a file had when this process started.
    fs.invalidate_cache()
    if fs.isfile(root):
        files = [DataFile(fs, root, PurePosixPath(root).name, format or _format_named(path, root))]
    else:
        files = _choose(path, _search(fs, root, path), fs, format)
    if split is None:
        return files
    chosen = [file for file in files if _belongs(file.name, split)]
    if not chosen:
        raise SplitNotFoundError(path, split, {name for file in files for name in _suggested_splits(file.name)})
    return chosen


def _file_system(path: str) -> tuple[Any, str]:
    protocol = path.partition("://")[0]
    try:
        fs, root = fsspec.core.url_to_fs(os.path.expanduser(path))
    except ImportError as error:
        package, extra = _PACKAGES.get(protocol, (protocol, ""))
        install = f'pip install "pipeline-flows[{extra}]"' if extra else str(error)
        raise MissingPackageError(f"dataset {path!r}", package, install) from error
    except ValueError as error:
        raise DatasetNotFoundError(f"dataset {path!r} can't be opened: {error}") from error
    return fs, root


def _search(fs: Any, root: str, path: str) -> dict[str, str]:
    """Paths by their names below the folder, hidden ones left out."""
    if fs.isdir(root):
        folder, found = root, fs.find(root)
    elif _GLOB.search(root):
        folder = root[: cast(re.Match[str], _GLOB.search(root)).start()].rpartition("/")[0]
        found = [match for match in fs.glob(root) if fs.isfile(match)]
    else:
        folder, found = root, []
    names = {file: file[len(folder) :].lstrip("/") for file in found}
    wants_hidden = _GLOB.search(root) and re.search(r"(^|/)[_.]", root[len(folder) :])
    files = {
        name: file
        for file, name in names.items()
        if wants_hidden or not any(part.startswith(("_", ".")) for part in name.split("/"))
    }
    if not files:
        raise DatasetNotFoundError(f"dataset {path!r} {_what_is_there(fs, root)}")
    return dict(sorted(files.items()))


def _choose(path: str, files: dict[str, str], fs: Any, format: Format | None) -> list[DataFile]:  # noqa: A002
    formats = {name: found for name in files if (found := _format_of(name)) is not None}
    if format is not None:
        named = [name for name in files if formats.get(name) == format]
        return [DataFile(fs, files[name], name, format) for name in named or files]
    if not formats:
        raise DatasetNotFoundError(
            f"dataset {path!r} holds no file of an accepted format ({ACCEPTED}); it has {_first_ten(files)}"
        )
    if len(set(formats.values())) > 1:
        raise FormatError(
            f"dataset {path!r} holds files of several formats: {', '.join(sorted(set(formats.values())))}; "
            "set format to one of them, or name the files with a glob"
        )
    return [DataFile(fs, files[name], name, found) for name, found in formats.items()]


def _format_of(path: str) -> Format | None:
    name = PurePosixPath(path)
    packed = name.suffix in _COMPRESSIONS
    found = _EXTENSIONS.get(PurePosixPath(name.stem).suffix.lower() if packed else name.suffix.lower())
    return None if packed and found in ("parquet", "arrow") else found


def _format_named(path: str, root: str) -> Format:
    found = _format_of(root)
    if found is None:
        raise FormatError(f"dataset {path!r} ends like no accepted format ({ACCEPTED}); rename it or set format")
    return found


def _stem(name: str) -> str:
    stem = PurePosixPath(name).name
    while PurePosixPath(stem).suffix in _EXTENSIONS or PurePosixPath(stem).suffix in _COMPRESSIONS:
        stem = PurePosixPath(stem).stem
    return stem


def _belongs(name: str, split: str) -> bool:
    stem = _stem(name)
    return stem == split or stem.startswith((f"{split}-", f"{split}_", f"{split}.")) or split in name.split("/")[:-1]


def _suggested_splits(name: str) -> list[str]:
    return [*name.split("/")[:-1], re.split(r"[-_.]", _stem(name), maxsplit=1)[0]]


def _what_is_there(fs: Any, root: str) -> str:
    if fs.isdir(root):
        return f"is a folder without files; accepted are {ACCEPTED}"
    if _GLOB.search(root):
        return "matches no file"
    parent = root.rpartition("/")[0] or "/"
    try:
        beside = [entry.rstrip("/").rpartition("/")[2] for entry in fs.ls(parent, detail=False)]
    except (OSError, ValueError):
        return f"is not there, nor is its folder {parent!r}"
    readable = sorted(name for name in beside if _format_of(name) and not name.startswith((".", "_")))
    if not readable:
        return f"is not there, and {parent!r} holds no file of an accepted format ({ACCEPTED})"
    return f"is not there; {parent!r} has {_first_ten(readable)}"


def _first_ten(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


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
