"""The data files that a path stands for: found in a folder, by a glob or at a URL."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline_core.data_file import COMPRESSIONS, DataFile, Format
from pipeline_core.errors import DatasetNotFoundError, FormatError, MissingPackageError, SplitNotFoundError

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
_PACKAGES = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
_GLOB = re.compile(r"[*?\[]")

ACCEPTED = (
    f"{', '.join(_EXTENSIONS)}; of these .csv, .tsv, .jsonl, .ndjson and .txt also with {', '.join(COMPRESSIONS)}"
)


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of a dataset's files, none of which has been looked at.

    Attributes:
        path: What the user called it.
        fs: Their fsspec file system.
        folder: The folder that they lie below, as ``fs`` calls it.
        files: Where they are, by their names below the folder, sorted.
        is_file: Whether the user named a file, not a folder or a glob.
    """

    path: str
    fs: Any
    folder: str
    files: dict[str, str]
    is_file: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the folder is one of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """The folder with its protocol."""
        return self.folder if self.is_local else str(self.fs.unstrip_protocol(self.folder))

    def tables(self) -> dict[str, DataFile]:
        """Those that end like a data file."""
        found = {name: _format_of(name) for name in self.files}
        return {name: DataFile(self.fs, self.files[name], name, kind) for name, kind in found.items() if kind}


def is_file_path(path: str) -> bool:
    """Whether ``path`` can only mean files: it exists, is a glob or a URL, or ends like a data file."""
    if "://" in path or "::" in path or _GLOB.search(path) or path.startswith(("/", "./", "../", "~")):
        return True
    return _format_of(path) is not None or os.path.exists(path)


def list_files(path: str) -> Listing:
    """The names of the files at ``path``.

    Args:
        path: A file, a glob, a folder (searched with its subfolders), or an fsspec URL of one.
            Names that start with "_" or "." are passed over.

    Raises:
        DatasetNotFoundError: Nothing is there.
        MissingPackageError: The URL's file system is not installed.
    """
    fs, root = _file_system(path)
    # A cached listing would give the size and etag that a file had when this process started.
    fs.invalidate_cache()
    if fs.isfile(root):
        folder, _, name = root.rpartition("/")
        return Listing(path, fs, folder or "/", {name: root}, is_file=True)
    return _search(fs, root, path)


def find_files(listing: Listing, split: str | None = None, format: Format | None = None) -> list[DataFile]:  # noqa: A002
    """The data files of a listing, in the order of their names.

    Args:
        listing: The files.
        split: Takes the files that are named so, or start so before "-", "_" or ".", or lie in a
            subfolder named so.
        format: Reads the files so, whatever their names say.

    Raises:
        DatasetNotFoundError: Nothing there can be read.
        SplitNotFoundError: No file belongs to ``split``.
        FormatError: A file's name tells no accepted format, or names tell several.
    """
    path, fs = listing.path, listing.fs
    if listing.is_file:
        ((name, root),) = listing.files.items()
        files = [DataFile(fs, root, name, format or _format_named(path, root))]
    else:
        files = _choose(path, listing.files, fs, format)
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


def _search(fs: Any, root: str, path: str) -> Listing:
    """The files below a folder or of a glob, hidden ones left out."""
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
    return Listing(path, fs, folder, dict(sorted(files.items())))


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
    packed = name.suffix in COMPRESSIONS
    found = _EXTENSIONS.get(PurePosixPath(name.stem).suffix.lower() if packed else name.suffix.lower())
    return None if packed and found in ("parquet", "arrow") else found


def _format_named(path: str, root: str) -> Format:
    found = _format_of(root)
    if found is None:
        raise FormatError(f"dataset {path!r} ends like no accepted format ({ACCEPTED}); rename it or set format")
    return found


def _stem(name: str) -> str:
    stem = PurePosixPath(name).name
    while PurePosixPath(stem).suffix in _EXTENSIONS or PurePosixPath(stem).suffix in COMPRESSIONS:
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
