"""The recordings of a run, each known by what it holds: files, or rows of a dataset that hold or name them."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from pipeline_core.data_files import list_files
from pipeline_core.errors import DatasetNotFoundError, InvalidInputError, SpecError
from pipeline_core.media import is_media_cell, open_media
from pipeline_core.media_folder import is_medium
from pipeline_core.meeting.parts import Source, content_id
from pipeline_core.records import Record
from pipeline_core.sources import DatasetRef, open_dataset

# A name may hold what would do something to a terminal, and bytes that are no text in any encoding.
Line = Annotated[str, AfterValidator(lambda name: "".join(c if c.isprintable() else "\ufffd" for c in name))]

_TASK = "automatic-speech-recognition"


class DatasetRow(BaseModel):
    """One row of a dataset, whose cell is a recording.

    Attributes:
        dataset: What to open.
        position: The row's number there, from 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: DatasetRef
    position: int


class RecordingFile(BaseModel):
    """A recording of a run: a file of this machine, or a row of a dataset.

    Attributes:
        name: What to call it: the file's name, or the row's.
        content_id: Identifies what it holds.
        path: Where the file is; None if only the row leads to it.
        row: The row that leads to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    content_id: str
    path: str | None = None
    row: DatasetRow | None = None

    def source(self) -> Source:
        """The file's path, or the bytes that the row leads to.

        Raises:
            InvalidInputError: The row leads to no recording, or to another than the one that was found there.
        """
        if self.path is not None:
            return Path(self.path)
        assert self.row is not None
        dataset = open_dataset(self.row.dataset, _TASK)
        content = b"".join(map(_content, dataset.records(self.row.position, self.row.position + 1)))
        if content_id(content) != self.content_id:
            raise InvalidInputError("the row holds another recording than when the run began; run again")
        return content


def list_recordings(where: str | DatasetRef) -> list[RecordingFile]:
    """The recordings there, each once though several files or rows hold it, in the order of their names or rows.

    One recording's bytes are held at a time. What can't be read is listed too, and says why when it is read.

    Args:
        where: A file, a folder, searched however deep, or a glob of audio or video; or else a dataset with a
            column of recordings, as bytes or as paths below its ``media_root``.

    Raises:
        DatasetNotFoundError: There are none.
        SourceError: The dataset can't be read as described.
        SpecError: A setting is not for this kind of dataset.
    """
    paths = _files(where) if isinstance(where, str) else []
    found: dict[str, RecordingFile] = {}
    for recording in map(_file, paths) if paths else _rows(where):
        found.setdefault(recording.content_id, recording)
    return list(found.values())


def _files(where: str) -> list[Path]:
    path = Path(where).expanduser()
    if path.is_file():
        return [] if list_files(where).tables() else [path]
    names = path.rglob("*") if path.is_dir() else map(Path, glob.glob(os.fspath(path), recursive=True))
    return sorted(name for name in names if name.is_file() and is_medium(name.name, "audio"))


def _file(path: Path) -> RecordingFile:
    try:
        content = content_id(path)
    except OSError:
        content = _unread(os.fspath(path))
    return RecordingFile(name=path.name, content_id=content, path=str(path.absolute()))


def _rows(where: str | DatasetRef) -> Iterator[RecordingFile]:
    ref = DatasetRef(path=where) if isinstance(where, str) else where
    if ref.keep_columns:
        raise SpecError(f"keep_columns is not for recordings: a transcript carries no {ref.keep_columns[0]!r}")
    try:
        dataset = open_dataset(ref.model_copy(update={"keep_columns": []}), _TASK)
    except DatasetNotFoundError as error:
        raise DatasetNotFoundError(
            f"{ref.path!r} has no recordings: give a file, a folder or a glob of audio or video, or a dataset with a "
            f"column of them ({error})"
        ) from error
    for position, record in dataset.numbered_records():
        name, path = _name(record, by_id=ref.id_column is not None), None
        try:
            path = _local_path(record)
            content = content_id(_content(record) if path is None else path)
        except (InvalidInputError, OSError):
            path, content = None, _unread(f"{ref.path}\n{record.id}")
        # Conditions were met where the row was found, and a position counts the rows that meet none.
        row = DatasetRow(dataset=dataset.ref.model_copy(update={"where": [], "limit": None}), position=position)
        yield RecordingFile(name=name, content_id=content, path=None if path is None else str(path), row=row)


def _name(record: Record, by_id: bool) -> str:
    cell = _cell(record)
    path = cell.get("path") if is_media_cell(cell) else cell
    return record.id if by_id or not isinstance(path, str) or not Path(path).name else Path(path).name


def _local_path(record: Record) -> Path | None:
    """The file of this machine that a row names; None if it holds bytes, or names a file elsewhere."""
    cell = _cell(record)
    if is_media_cell(cell) and cell.get("bytes") is None:
        cell = cell.get("path")
    return record.media_root.locate(cell) if isinstance(cell, str) and record.media_root is not None else None


def _content(record: Record) -> bytes:
    if record.error is not None:
        raise InvalidInputError(str(record.error))
    opened = open_media(_cell(record), record.media_root)
    if opened is None:
        raise InvalidInputError(
            f"a recording must be bytes or the path of a file, but is {record.inputs!r:.50} instead"
        )
    with opened as file:
        return file.read()


def _cell(record: Record) -> Any:
    """The cell of the task's only input, whether its column was named alone or as that input's."""
    inputs = record.inputs
    return inputs["audio"] if isinstance(inputs, dict) and inputs.keys() == {"audio"} else inputs


def _unread(name: str) -> str:
    """An id for what can't be read."""
    return content_id(f"unread\n{name}".encode(errors="surrogatepass"))
