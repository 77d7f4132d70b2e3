"""A folder of transcripts: stable names, everything of a recording at once, stopped anywhere and done again."""

import os

import datasets
import pandas
import pytest
from meetings import HOSTILE, a_meeting, say, transcript_of

from pipeline_core.errors import LeaseLostError
from pipeline_core.lease import claim_lease
from pipeline_core.meeting import folder
from pipeline_core.meeting.folder import (
    name_speakers,
    planned_name,
    read_manifest,
    read_manifests,
    read_transcript,
    sweep,
    transcript_name,
    write_transcript,
)
from pipeline_core.meeting.page import audio_of
from pipeline_core.storage import Storage


@pytest.fixture
def output(tmp_path):
    return Storage(str(tmp_path / "out"))


class StoppedError(Exception):
    """The machine is switched off."""


class StoppingStorage(Storage):
    """A local folder whose machine is switched off after so many renames."""

    def __init__(self, url: str, renames: int) -> None:
        super().__init__(url)
        self._left = renames

    def rename(self, name: str, new_name: str) -> None:
        if self._left == 0:
            raise StoppedError
        self._left -= 1
        super().rename(name, new_name)


def test_all_files_of_a_recording_are_there_and_the_manifest_knows_them_to_the_byte(output):
    transcript = a_meeting(names={"S1": "Ana"})
    manifest = write_transcript(output, transcript, "whisper")
    assert sorted(manifest.files) == sorted(name for name in output.names() if not name.startswith("_manifests/"))
    endings = {name.split(".")[-1] for name in manifest.files}
    assert endings == {"json", "md", "txt", "srt", "vtt", "html", "parquet"}
    assert read_manifest(output, transcript.content_id, "whisper") == manifest
    assert read_transcript(output, manifest) == transcript
    assert manifest.speakers == ("Ana", "S2", "S3")
    assert manifest.uncertain_s > 0


def test_the_segments_of_all_recordings_are_one_table(output):
    write_transcript(output, a_meeting())
    write_transcript(output, transcript_of([say("one two", 0.0)], content_id="other", recording="b.wav"))
    write_transcript(output, transcript_of([], content_id="silent", recording="c.wav"))
    assert datasets.load_dataset(output.path("segments"), split="train").num_rows == len(a_meeting().segments) + 1
    table = pandas.read_parquet(output.path("segments"))
    assert len(table) == len(a_meeting().segments) + 1
    assert set(table["recording"]) == {"meeting.wav", "b.wav"}
    assert table["text"].tolist().count("one two") == 1
    assert table.loc[table["uncertain"], "confidence"].tolist() == [0.21]


def test_writing_again_changes_no_name_and_leaves_nothing_behind(output):
    first = write_transcript(output, a_meeting())
    names = output.names()
    renamed = a_meeting(recording="after a rename.wav", names={"S1": "Ana"})
    second = write_transcript(output, renamed)
    assert output.names() == names
    assert second.name == first.name == planned_name(output, "any.wav", renamed.content_id)
    assert read_transcript(output, second).recording == "after a rename.wav"


def test_speakers_can_be_named_afterwards_and_the_page_still_finds_its_recording(output):
    manifest = write_transcript(output, a_meeting(), "whisper", "../../a%20b.wav?x=1&y='2")
    named = name_speakers(output, manifest, {"S1": "Ana", "S9": "nobody"})
    assert named.speakers == ("Ana", "S2", "S3")
    assert (named.name, named.fingerprint) == (manifest.name, "whisper")
    assert name_speakers(output, named, {"S2": "Bo"}).speakers == ("Ana", "Bo", "S3")
    page = output.read(f"{named.name}/transcript.html").decode()
    assert audio_of(page) == "../../a%20b.wav?x=1&y='2"
    for ending in ("md", "txt", "srt", "vtt", "html"):
        assert "Bo" in output.read(f"{named.name}/transcript.{ending}").decode()
    silent = write_transcript(output, transcript_of([], content_id="silent"))
    assert name_speakers(output, silent, {"S1": "Ana"}) == silent


def test_two_recordings_of_one_name_do_not_meet(output):
    for content_id in ("monday", "tuesday"):
        write_transcript(output, a_meeting(content_id=content_id))
    assert len({manifest.name for manifest in read_manifests(output)}) == 2
    assert len(list(read_manifests(output))) == 2


@pytest.mark.parametrize("renames", range(8))
def test_stopped_anywhere_a_recording_counts_as_not_transcribed_and_can_be_done_again(output, renames):
    transcript = a_meeting()
    with pytest.raises(StoppedError):
        write_transcript(StoppingStorage(output.url, renames), transcript)
    assert read_manifest(output, transcript.content_id, "") is None
    assert list(read_manifests(output)) == []
    done = write_transcript(output, transcript)
    assert read_manifest(output, transcript.content_id, "") == done
    names = set(output.names())
    sweep(output)
    assert set(output.names()) == {name for name in names if not name.startswith("_tmp-")}
    assert read_manifest(output, transcript.content_id, "") == done


@pytest.mark.parametrize("renames", range(8))
def test_stopped_while_it_is_replaced_a_recording_is_the_old_one_or_not_transcribed(output, renames):
    old = write_transcript(output, a_meeting())
    with pytest.raises(StoppedError):
        write_transcript(StoppingStorage(output.url, renames), a_meeting(names={"S1": "Ana"}), "new")
    found = read_manifest(output, old.content_id, "")
    assert found == (old if renames == 0 else None)
    assert read_manifest(output, old.content_id, "new") is None
    assert write_transcript(output, a_meeting(), "new").name == old.name


def test_a_file_that_was_deleted_or_edited_is_noticed(output):
    manifest = write_transcript(output, a_meeting())
    for name in manifest.files:
        content = output.read(name)
        output.write(name, content + b"\n")
        assert read_manifest(output, manifest.content_id, "") is None
        output.remove(name)
        assert read_manifest(output, manifest.content_id, "") is None
        output.write(name, content)
        assert read_manifest(output, manifest.content_id, "") == manifest


def test_a_damaged_manifest_does_not_count(output):
    manifest = write_transcript(output, a_meeting())
    name = next(name for name in output.names() if name.startswith(folder.MANIFESTS))
    output.write(name, b"{")
    assert read_manifest(output, manifest.content_id, "") is None
    assert list(read_manifests(output)) == []


def test_who_lost_the_folder_writes_nothing(output):
    output.make()
    with claim_lease(output, 0.0, 60.0, 5.0) as lease:
        write_transcript(output, a_meeting(), owner=lease.owner)
        names = output.names()
        with pytest.raises(LeaseLostError):
            write_transcript(output, a_meeting(content_id="other"), owner="somebody else")
        assert output.names() == names


@pytest.mark.parametrize(
    ("recording", "start"),
    [
        ("Weekly stand-up (24 Nov).m4a", "Weekly-stand-up-24-Nov-"),
        ("../../etc/passwd", "passwd-"),
        ("..", "recording-"),
        ("🎙️.wav", "recording-"),
        ("会議.mp3", "会議-"),
        (f"{HOSTILE}.wav", "script-"),
        ("a" * 300 + ".wav", "a" * 48 + "-"),
        ("é" * 300, "é" * 48 + "-"),
        ("CON.wav", "CON-"),
    ],
)
def test_names_are_safe_whatever_a_file_is_called(recording, start, output):
    name = transcript_name(recording, "c")
    assert name.startswith(start)
    assert not set(name) & set('/\\:*?"<>|. \n')
    assert len(os.fsencode(name)) < 256
    write_transcript(output, a_meeting(recording=recording))
    assert all(os.path.commonpath([output.path(n), output.path()]) == output.path() for n in output.names())


def test_an_output_in_memory_holds_the_same():
    storage = Storage("memory://meetings")
    manifest = write_transcript(storage, a_meeting())
    assert read_manifest(storage, manifest.content_id, "") == manifest
