"""Images, arrays and speech that no column holds: the files of a shard, written before its table is.

``_media/part-00000/000012-mask-0.png`` is the first mask of the shard's thirteenth row. No part of a name comes
from the data. As with the table, nothing has its own name before the shard is committed, and the shard's manifest
sums up all names, sizes and contents.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from pipeline_core.columns.files import JsonText, MediaFile
from pipeline_core.errors import RecordError
from pipeline_core.shards import Shard
from pipeline_core.storage import Storage

MEDIA = "_media/"
MEDIA_FILES = rf"{MEDIA}part-\d{{5,}}/\d{{6,}}-\w+-\d+\.(png|npy|wav)"
"""What such files are called, as a regular expression."""


class MediaSummary(NamedTuple):
    """All media files of a shard: how many, how large together, and the sha256 of their names and contents."""

    files: int
    size_bytes: int
    sha256: str | None


class ShardMedia:
    """The media files of a shard on their way to ``_media/part-.../``."""

    def __init__(self, storage: Storage, shard: Shard, owner: str | None) -> None:
        self.folder = media_folder(shard)
        self._storage = storage
        self._temporary = storage.temporary(self.folder.strip("/"), label=owner or "")
        self._written: dict[str, tuple[str, int]] = {}
        self._has_begun = False

    def save(self, row: int, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Write the files among a row's values.

        Args:
            row: The row's number in the shard.
            values: The row's columns, in which ``MediaFile`` objects may stand at any depth.

        Returns:
            The columns with paths in place of files, and the names of the files.

        Raises:
            RecordError: An image or a sound can't be written; none of the row's files is left.
        """
        names: list[str] = []

        def place(value: Any, key: str) -> Any:
            if isinstance(value, MediaFile):
                count = sum(name.startswith(f"{row:06d}-{key}-") for name in names)
                names.append(f"{row:06d}-{key}-{count}.{value.suffix}")
                self._write(names[-1], value.content())
                return f"{self.folder}{names[-1]}"
            if isinstance(value, JsonText):
                return json.dumps(place(value.value, "file"), ensure_ascii=False)
            if isinstance(value, Mapping):
                inherited = key == "file"
                return {name: place(item, "file" if inherited else name) for name, item in value.items()}
            return [place(item, key) for item in value] if isinstance(value, list) else value

        try:
            return {name: place(value, name) for name, value in values.items()}, names
        except (OSError, ValueError, TypeError) as error:
            self.forget(names)
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise RecordError(f"a file of the output can't be written: {error}") from error

    def forget(self, names: list[str]) -> None:
        """Delete the files of a row that is not in the table after all."""
        for name in names:
            if self._written.pop(name, None) is not None:
                self._storage.remove(f"{self._temporary}/{name}")

    def summary(self) -> MediaSummary:
        """What has been written."""
        return _summary(self._written)

    def publish(self) -> None:
        """Move all files to their names, and delete those that an earlier attempt left there."""
        for name in self._storage.names(self.folder):
            if name.removeprefix(self.folder) not in self._written and re.fullmatch(MEDIA_FILES, name):
                self._storage.remove(name)
        for name in self._written:
            self._storage.rename(f"{self._temporary}/{name}", self.folder + name)
        if self._written:
            self._storage.sync(self.folder + name)
            self._storage.sync(self.folder.rstrip("/"))

    def is_whole(self) -> bool:
        """Whether the files that are to be published are still there."""
        there = set(self._storage.names(f"{self._temporary}/"))
        return all(f"{self._temporary}/{name}" in there for name in self._written)

    def discard(self) -> None:
        """Delete the files that were not moved away."""
        if self._has_begun:
            with suppress(OSError):
                for name in self._storage.names(f"{self._temporary}/"):
                    self._storage.remove(name)

    def _write(self, name: str, content: bytes) -> None:
        self._has_begun = True
        file = self._storage.open_new(f"{self._temporary}/{name}")
        try:
            file.write(content)
            self._storage.finish(file)
        finally:
            file.close()
        self._written[name] = hashlib.sha256(content).hexdigest(), len(content)


def media_folder(shard: Shard) -> str:
    """Where the media files of a shard lie."""
    return f"{MEDIA}part-{shard.index:05d}/"


def found_media(storage: Storage, shard: Shard) -> MediaSummary:
    """What lies there, read to the last byte."""
    folder, found = media_folder(shard), {}
    for name in storage.names(folder):
        digest = storage.digest(name) if re.fullmatch(MEDIA_FILES, name) else None
        if digest is not None:
            found[name.removeprefix(folder)] = digest
    return _summary(found)


def _summary(files: Mapping[str, tuple[str, int]]) -> MediaSummary:
    lines = "".join(f"{sha256} {size} {name}\n" for name, (sha256, size) in sorted(files.items()))
    sha256 = hashlib.sha256(lines.encode()).hexdigest() if files else None
    return MediaSummary(len(files), sum(size for _, size in files.values()), sha256)
