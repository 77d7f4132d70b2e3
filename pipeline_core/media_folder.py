"""Folders of pictures, sound or videos as tables: one row a file, or a row a line of the folder's metadata."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import xxhash

from pipeline_core.data_file import DataFile
from pipeline_core.data_files import Listing
from pipeline_core.errors import ColumnNotFoundError, FormatError, InvalidInputError, SplitNotFoundError
from pipeline_core.input_columns import text_field
from pipeline_core.media import MediaRoot
from pipeline_core.tables import Row, Table, arrow_caster

FILE_NAME = "file_name"
LABEL = "label"

_SOUND = "wav flac mp3 ogg oga opus m4a aac aif aiff au caf w64 wma wv amr ac3 mka"
_MOVING = "mp4 m4v mov mkv webm avi mpg mpeg ts flv wmv 3gp ogv"
_STILL = "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff avif jp2 ppm pgm pbm tga ico"
_EXTENSIONS: Mapping[str, frozenset[str]] = {
    "image": frozenset(_STILL.split()),
    "audio": frozenset(f"{_SOUND} {_MOVING}".split()),
    "video": frozenset(f"{_MOVING} gif".split()),
}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev", "eval"})
_BLOCK_BYTES = 1 << 20
_READERS_AT_ONCE = 8


def holds_media(listing: Listing, kind: str) -> bool:
    """Whether the files are a dataset of media: some are, and no table lies beside them but their metadata."""
    if not any(is_medium(name, kind) for name in listing.files):
        return False
    tables = [name for name in listing.tables() if PurePosixPath(name).name not in _METADATA]
    return all(name.endswith(".txt") for name in tables)


def is_medium(name: str, kind: str) -> bool:
    """Whether a file's name ends like one of media of ``kind``: "image", "audio" or "video"."""
    return PurePosixPath(name).suffix[1:].lower() in _EXTENSIONS[kind]


def media_tables(listing: Listing, kind: str, split: str | None, read: Callable[[DataFile], Table]) -> list[Table]:
    """The rows of a folder of media.

    Each has the file's path below the folder in a column called like ``kind``, and its "file_name". Without
    metadata there is a row for each file, sorted by name, with the "label" that is its folder's name where all
    files lie equally deep in several folders. With ``metadata.csv``, ``.jsonl`` or ``.parquet`` there is a row
    for each of its own, with all its columns; its "file_name" is relative to its own folder.

    Args:
        listing: The folder's files.
        kind: "image", "audio" or "video".
        split: Only what is in folders of this name; None for all.
        read: Opens a metadata file.

    Raises:
        SplitNotFoundError: No folder is called ``split``.
        FormatError: Metadata has a column that is called like ``kind``.
        ColumnNotFoundError: Metadata has no "file_name".
    """
    names = [name for name in listing.files if split is None or split in name.split("/")[:-1]]
    if not names:
        raise SplitNotFoundError(listing.path, split, {part for name in listing.files for part in name.split("/")[:-1]})
    root = MediaRoot(listing.url)
    metadata = [file for file in listing.tables().values() if PurePosixPath(file.name).name in _METADATA]
    metadata = [file for file in metadata if file.name in names]
    if metadata:
        return [_DescribedMedia(file.name, read(file), kind, root, listing) for file in metadata]
    return [_MediaFiles([name for name in names if is_medium(name, kind)], kind, root, listing)]


class _MediaFiles:
    """One row a file."""

    format = "media"
    name = ""

    def __init__(self, names: Sequence[str], kind: str, root: MediaRoot, listing: Listing) -> None:
        self._names, self._kind = names, kind
        self._contents = _Contents(root, listing)
        self._labels = _labels(names)
        self.rows = len(names)
        columns = [kind, FILE_NAME] if self._labels is None else [kind, FILE_NAME, LABEL]
        self.schema = pa.schema([text_field(column) for column in columns])

    def content(self, start: int, stop: int) -> str:
        """A hash of the names and contents of the files."""
        return self._contents.of(self._names[start:stop])

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        for number in range(start, min(stop, self.rows)):
            row = {self._kind: self._names[number], FILE_NAME: self._names[number]}
            if self._labels is not None:
                row[LABEL] = self._labels[number]
            yield {column: row[column] for column in columns}

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(pa.string(), field.type)


class _DescribedMedia:
    """One row a row of a metadata file."""

    def __init__(self, name: str, table: Table, kind: str, root: MediaRoot, listing: Listing) -> None:
        self.name, self.format, self.rows = table.name, table.format, table.rows
        self._table, self._kind = table, kind
        self._folder = name.rpartition("/")[0]
        self._contents = _Contents(root, listing)
        if FILE_NAME not in table.schema.names:
            raise ColumnNotFoundError(f"{listing.path}: {name}", FILE_NAME, table.schema.names)
        if kind in table.schema.names:
            raise FormatError(f"{name!r} of {listing.path!r} can't have a column {kind!r}: the files have that name")
        self.schema = table.schema.insert(0, text_field(kind))

    def content(self, start: int, stop: int) -> str:
        """A hash of the metadata, and of the contents of the files of these rows."""
        rows = self.read(start, stop, [self._kind])
        names = [row[self._kind] if isinstance(row, dict) else None for row in rows]
        return f"{self._table.content(start, stop)} {self._contents.of([name for name in names if name is not None])}"

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[Row]:
        """The rows from ``start`` up to ``stop``."""
        written = list(dict.fromkeys([FILE_NAME, *(column for column in columns if column != self._kind)]))
        for row in self._table.read(start, stop, written):
            yield {**row, self._kind: self._path(row.get(FILE_NAME))} if isinstance(row, dict) else row

    def caster(self, field: Any) -> Callable[[Any], Any] | None:
        """See ``arrow_caster``."""
        return arrow_caster(pa.string(), field.type) if field.name == self._kind else self._table.caster(field)

    def _path(self, file_name: Any) -> str | None:
        if not isinstance(file_name, str):
            return None
        return file_name if file_name.startswith("/") or not self._folder else f"{self._folder}/{file_name}"


class _Contents:
    """Hashes of files of one folder, each read again only when it has changed."""

    def __init__(self, root: MediaRoot, listing: Listing) -> None:
        self._root, self._listing = root, listing

    def of(self, names: Sequence[str]) -> str:
        """32 hex digits for files in their order; a file that may not be opened, or is not there, counts as such."""
        with ThreadPoolExecutor(_READERS_AT_ONCE) as threads:
            contents = list(threads.map(self._content, names))
        return xxhash.xxh3_128_hexdigest(repr(list(zip(names, contents, strict=True))).encode())

    def _content(self, name: str) -> str:
        try:
            if not self._listing.is_local:
                found = self._listing.files.get(name)
                return "not there" if found is None else DataFile(self._listing.fs, found, name, "media").content()
            status = os.stat(os.path.join(self._root.folder, name))
            return _content_of(self._root, name, status.st_size, status.st_mtime_ns, status.st_ino)
        except (OSError, ValueError, InvalidInputError) as error:
            return type(error).__name__


@lru_cache(maxsize=1 << 18)
def _content_of(root: MediaRoot, name: str, *_version: int) -> str:
    digest = xxhash.xxh3_128()
    with root.open(name) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _labels(names: Sequence[str]) -> list[str] | None:
    """The name of each file's folder, if the folders tell classes apart."""
    folders = [name.split("/")[:-1] for name in names]
    if len({len(parts) for parts in folders}) != 1 or not folders[0]:
        return None
    labels = [parts[-1] for parts in folders]
    return None if len(set(labels)) == 1 or set(labels) <= _SPLITS else labels
