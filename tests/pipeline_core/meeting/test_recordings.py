"""Recordings of a run: whatever they are in or called, each once, and what can't be read says why when it is read."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_core.errors import (
    ColumnNotFoundError,
    DatasetNotFoundError,
    InvalidInputError,
    MediaNotAllowedError,
    SpecError,
)
from pipeline_core.meeting.parts import content_id
from pipeline_core.meeting.recordings import list_recordings
from pipeline_core.sources import DatasetRef


@pytest.fixture
def folder(tmp_path):
    for name in ("b.wav", "a.mp3", "deep/er/c.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def as_parquet(path, cells, **columns):
    pq.write_table(pa.table({"audio": pa.array(cells), **columns}), path, row_group_size=1)
    return str(path)


def names(where):
    return [recording.name for recording in list_recordings(where)]


def test_a_folder_a_glob_and_a_file_lead_to_files_and_equal_ones_count_once(folder):
    (folder / "z.wav").write_bytes(b"b.wav")
    (folder / "notes.csv").write_text("audio\nb.wav\n")
    assert names(str(folder)) == ["a.mp3", "b.wav", "c.flac"]
    assert names(str(folder / "*.wav")) == ["b.wav"]
    assert names(str(folder / "a.mp3")) == ["a.mp3"]


def test_rows_lead_to_the_bytes_or_the_files_that_they_hold_or_name(folder):
    cells = [{"bytes": b"in the row", "path": "x/y.wav"}, {"bytes": None, "path": "deep/er/c.flac"}]
    found = list_recordings(as_parquet(folder / "rows.parquet", cells))
    assert [recording.name for recording in found] == ["y.wav", "c.flac"]
    assert [recording.path for recording in found] == [None, os.path.realpath(folder / "deep/er/c.flac")]
    assert found[0].source() == b"in the row"
    assert [recording.content_id for recording in found] == [content_id(b"in the row"), content_id(b"deep/er/c.flac")]


def test_rows_that_are_asked_for_are_taken_and_called_by_their_ids(folder):
    cells = [{"bytes": f"call {n}".encode(), "path": "same.wav"} for n in range(6)]
    path = as_parquet(folder / "rows.parquet", cells, who=[f"call {n}" for n in range(6)], n=list(range(6)))
    found = list_recordings(DatasetRef(path=path, id_column="who", where=["n > 2"], limit=2))
    assert [recording.name for recording in found] == ["call 3", "call 4"]
    assert [recording.source() for recording in found] == [b"call 3", b"call 4"]


def test_lines_name_files_in_any_column_below_the_folder_that_is_theirs_or_named(folder):
    (folder / "lists").mkdir()
    (folder / "lists" / "calls.jsonl").write_text('{"file": "a.mp3"}\n{"file": "deep/er/c.flac"}\n')
    (folder / "calls.csv").write_text("file\nb.wav\n")
    named = DatasetRef(path=str(folder / "lists" / "calls.jsonl"), column="file", media_root=str(folder))
    assert names(named) == ["a.mp3", "c.flac"]
    assert names(DatasetRef(path=str(folder / "calls.csv"), column={"audio": "file"})) == ["b.wav"]
    assert names(DatasetRef(path=str(folder), format="media", limit=2)) == ["a.mp3", "b.wav"]


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ({"bytes": None, "path": None}, InvalidInputError, "neither bytes nor a path"),
        ({"bytes": None, "path": "gone.wav"}, InvalidInputError, "is not in the folder"),
        ({"bytes": None, "path": "../other/a.wav"}, MediaNotAllowedError, r"has '\.\.'"),
        ({"bytes": None, "path": "http://other/a.wav"}, MediaNotAllowedError, "URL"),
    ],
)
def test_a_row_that_can_not_be_read_is_listed_and_says_why(folder, cell, error, message):
    path = as_parquet(folder / "rows.parquet", [{"bytes": b"good", "path": None}, cell])
    good, bad = list_recordings(path)
    assert good.source() == b"good"
    with pytest.raises(error, match=message):
        bad.source()


def test_a_row_that_holds_another_recording_than_before_is_not_taken_for_it(folder):
    path = as_parquet(folder / "rows.parquet", [{"bytes": b"before", "path": None}])
    (recording,) = list_recordings(path)
    as_parquet(folder / "rows.parquet", [{"bytes": b"after", "path": None}])
    with pytest.raises(InvalidInputError, match="another recording"):
        recording.source()


def test_what_has_no_recordings_is_refused(tmp_path):
    path = as_parquet(tmp_path / "rows.parquet", [{"bytes": b"", "path": None}])
    with pytest.raises(DatasetNotFoundError, match="no recordings: give a file, a folder or a glob"):
        list_recordings(str(tmp_path / "gone"))
    with pytest.raises(ColumnNotFoundError, match="its columns are audio"):
        list_recordings(DatasetRef(path=path, column="sound"))
    with pytest.raises(SpecError, match="keep_columns"):
        list_recordings(DatasetRef(path=path, keep_columns=["audio"]))
