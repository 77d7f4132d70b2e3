"""The flow meeting-transcription: what is new is transcribed, once, and what can't be stops nothing."""

import json
import shutil
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from tiny_whisper import silence

from flows.meeting_transcription import meeting_transcription
from pipeline_core.errors import DatasetNotFoundError, InvalidInputError, SpecError
from pipeline_core.meeting import transcription
from pipeline_core.meeting.failures import FAILED
from pipeline_core.meeting.folder import read_manifests, read_transcript
from pipeline_core.sources import DatasetRef
from pipeline_core.storage import Storage

from .conftest import RATE, TALK


def test_each_recording_is_transcribed_once_whatever_it_is_called_later(run_flow, arguments, recordings) -> None:
    first = run_flow(meeting_transcription, **arguments)
    assert sorted(manifest.recording for manifest in first.state.result().transcribed) == ["quiet.flac", "talk.wav"]
    assert first.state.message.startswith("2 recordings transcribed (")
    assert first.states["talk.wav: part 0"] == first.states["talk.wav: write"] == "Completed"
    storage = Storage(arguments["output"])
    texts = {found.recording: read_transcript(storage, found).segments for found in read_manifests(storage)}
    assert texts["talk.wav"]
    assert texts["quiet.flac"] == ()
    assert not [name for name in storage.names() if name.startswith(transcription.PARTS)]

    (recordings / "talk.wav").rename(recordings / "renamed.wav")
    shutil.copy(recordings / "renamed.wav", recordings / "copy.wav")
    soundfile.write(recordings / "new.wav", TALK[: 2 * RATE], RATE)
    second = run_flow(meeting_transcription, **arguments)
    summary = second.state.result()
    assert [manifest.recording for manifest in summary.transcribed] == ["new.wav"]
    assert len(summary.cached) == 2
    assert "talk.wav: part 0" not in second.states
    assert len(list(read_manifests(storage))) == 3
    markdown = second.artifacts["markdown"].data
    assert "1 recordings transcribed" in markdown
    assert "2 were there" in markdown
    assert second.artifacts["progress"].data == 100.0


def test_what_can_not_be_read_is_reported_and_stops_nothing(run_flow, arguments, recordings) -> None:
    (recordings / "a-corrupt.wav").write_bytes(b"RIFF" + b"\0" * 400)
    (recordings / "b-empty.mp3").write_bytes(b"")
    soundfile.write(recordings / "c-short.wav", TALK[RATE : RATE + 3200], RATE)
    summary = run_flow(meeting_transcription, **arguments).state.result()
    assert sorted(failed.recording for failed in summary.failed) == ["a-corrupt.wav", "b-empty.mp3"]
    assert len(summary.transcribed) == 3
    storage = Storage(arguments["output"])
    written = [json.loads(storage.read(name)) for name in storage.names() if name.startswith(FAILED)]
    assert sorted(failed["recording"] for failed in written) == ["a-corrupt.wav", "b-empty.mp3"]
    assert all(failed["error"].startswith("InvalidInputError") for failed in written)


def test_short_recordings_share_batches_and_none_answers_for_another(
    run_flow, arguments, recordings, monkeypatch
) -> None:
    soundfile.write(recordings / "more.wav", np.concatenate([TALK, TALK]), RATE)
    soundfile.write(recordings / "long.wav", np.concatenate([TALK, silence(52)]), RATE)
    transcribe, together = transcription.transcribe_parts, []

    def seen_together(parts: Any, settings: Any) -> Any:
        together.append([source.name for source, _ in parts])
        return transcribe(parts, settings)

    monkeypatch.setattr(transcription, "transcribe_parts", seen_together)
    seen = run_flow(meeting_transcription, **arguments)
    assert together == [["long.wav", "quiet.flac"], ["more.wav", "talk.wav"]]
    assert seen.tasks["talk.wav: part 0"].state.message == "transcribed along with a recording before it"
    texts = segments_by_name(arguments["output"])

    def without_talk(parts: Any, settings: Any) -> Any:
        if "talk.wav" in [source.name for source, _ in parts]:
            raise InvalidInputError("talk.wav is gone")
        return transcribe(parts, settings)

    monkeypatch.setattr(transcription, "transcribe_parts", without_talk)
    other = {**arguments, "output": f"{arguments['output']}-other"}
    summary = run_flow(meeting_transcription, **other).state.result()
    assert [failed.recording for failed in summary.failed] == ["talk.wav"]
    assert segments_by_name(other["output"]) == {name: texts[name] for name in texts if name != "talk.wav"}


def segments_by_name(output: str) -> dict[str, Any]:
    storage = Storage(output)
    return {found.recording: read_transcript(storage, found).segments for found in read_manifests(storage)}


def test_a_failure_is_forgotten_once_its_file_is_mended_or_deleted(run_flow, arguments, recordings) -> None:
    talk = (recordings / "talk.wav").read_bytes()
    (recordings / "noise.wav").write_bytes(b"RIFF" + bytes(400))
    (recordings / "talk.wav").write_bytes(talk[:20])
    (recordings / "monday" / "talk.wav").write_bytes(b"RIFF")
    run_flow(meeting_transcription, **arguments)
    storage = Storage(arguments["output"])
    assert len(storage.names(FAILED)) == 3
    (recordings / "noise.wav").unlink()
    (recordings / "talk.wav").write_bytes(talk)
    storage.write(f"{FAILED}note.json", b"{}")
    run_flow(meeting_transcription, **{**arguments, "recordings": str(recordings / "talk.wav")})
    assert len(storage.names(FAILED)) == 2  # the other's, and what is not ours
    soundfile.write(recordings / "monday" / "talk.wav", silence(3), RATE)
    run_flow(meeting_transcription, **arguments)
    assert storage.names(FAILED) == [f"{FAILED}note.json"]


def test_a_failure_of_a_folder_that_is_not_here_stays(run_flow, arguments, recordings) -> None:
    (recordings / "monday" / "noise.wav").write_bytes(b"RIFF" + bytes(400))
    run_flow(meeting_transcription, **arguments)
    (recordings / "monday").rename(recordings.parent / "elsewhere")
    run_flow(meeting_transcription, **arguments)
    assert len(Storage(arguments["output"]).names(FAILED)) == 1


def test_a_long_recording_that_was_stopped_goes_on_after_the_parts_it_has(
    run_flow, arguments, recordings, monkeypatch
) -> None:
    (recordings / "talk.wav").unlink()
    long = np.concatenate([TALK, silence(117), TALK])
    soundfile.write(recordings / "long.wav", long, RATE)
    transcribe, done = transcription.transcribe_parts, []

    def stopping(parts: Any, settings: Any) -> Any:
        if len(done) == 1:
            raise RuntimeError("the machine stopped")
        done.append(parts)
        return transcribe(parts, settings)

    monkeypatch.setattr(transcription, "transcribe_parts", stopping)
    only = {**arguments, "recordings": str(recordings / "long.wav")}
    seen = run_flow(meeting_transcription, last=None, **only)
    assert "the machine stopped" in str(seen.error)
    monkeypatch.setattr(transcription, "transcribe_parts", transcribe)
    again = run_flow(meeting_transcription, **only)
    assert again.states["long.wav: part 0"] == "Cached"
    assert again.states["long.wav: part 1"] == "Completed"
    storage = Storage(arguments["output"])
    (manifest,) = read_manifests(storage)
    starts = [segment.start_s for segment in read_transcript(storage, manifest).segments]
    assert starts == sorted(starts)
    assert min(starts) < 3
    assert max(starts) > 119


def test_each_row_of_a_dataset_is_a_recording_that_is_transcribed_once(run_flow, arguments, recordings) -> None:
    talk, other = (recordings / "talk.wav").read_bytes(), recordings / "monday" / "other.flac"
    soundfile.write(other, TALK[: 2 * RATE], RATE)
    cells = [{"bytes": talk, "path": "calls/first.wav"}, {"bytes": None, "path": "talk.wav"}, None]
    cells += [{"bytes": b"RIFF" + bytes(400), "path": None}, {"bytes": None, "path": "/etc/hostname"}]
    cells.append({"bytes": other.read_bytes(), "path": None})
    table = pa.table({"id": ["a", "b", "c", "d", "e", "f"], "audio": cells})
    pq.write_table(table, recordings / "calls.parquet", row_group_size=2)
    rows = {**arguments, "recordings": str(recordings / "calls.parquet")}
    seen = run_flow(meeting_transcription, **rows)
    summary = seen.state.result()
    assert [manifest.recording for manifest in summary.transcribed] == ["first.wav", "f"]
    assert [(failed.recording, failed.error.split(":")[0]) for failed in summary.failed] == [
        ("c", "InvalidInputError"),
        ("d", "InvalidInputError"),
        ("hostname", "MediaNotAllowedError"),
    ]
    assert seen.states["first.wav: write"] == "Completed"

    (recordings / "paths.csv").write_text("call,n\nmonday/other.flac,1\ntalk.wav,2\nmonday/quiet.flac,3\ngone.wav,4\n")
    ref = DatasetRef(path=str(recordings / "paths.csv"), column="call", where=["n > 1"])
    again = run_flow(meeting_transcription, **{**arguments, "recordings": ref}).state.result()
    assert [manifest.recording for manifest in again.cached] == ["first.wav"]
    assert [manifest.recording for manifest in again.transcribed] == ["quiet.flac"]
    assert [failed.recording for failed in again.failed] == ["gone.wav"]
    storage = Storage(arguments["output"])
    (quiet,) = again.transcribed
    page = storage.read(f"{quiet.name}/transcript.html").decode()
    assert "recordings/monday/quiet.flac" in page
    assert len(list(read_manifests(storage))) == 3


def test_a_folder_on_another_file_system_is_read_there_and_each_recording_once(run_flow, arguments, recordings) -> None:
    there, root = fsspec.filesystem("memory"), f"/{recordings.parent.name}"
    there.put(f"{recordings}/", f"{root}/calls/", recursive=True)
    there.pipe(f"{root}/calls/corrupt.wav", b"RIFF" + bytes(400))
    remote = {**arguments, "recordings": f"memory:/{root}/calls", "output": f"memory:/{root}/transcripts"}
    summary = run_flow(meeting_transcription, **remote).state.result()
    assert sorted(manifest.recording for manifest in summary.transcribed) == ["quiet.flac", "talk.wav"]
    assert [failed.recording for failed in summary.failed] == ["corrupt.wav"]
    run_flow(meeting_transcription, **arguments)
    assert segments_by_name(remote["output"]) == segments_by_name(arguments["output"])
    there.mv(f"{root}/calls/talk.wav", f"{root}/calls/renamed.wav")
    again = run_flow(meeting_transcription, **remote).state.result()
    assert (len(again.transcribed), len(again.cached)) == (0, 2)


def test_a_folder_without_recordings_and_names_of_another_form_are_refused(run_flow, arguments, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    seen = run_flow(meeting_transcription, last=None, **{**arguments, "recordings": str(empty)})
    assert isinstance(seen.error, DatasetNotFoundError)
    seen = run_flow(meeting_transcription, last=None, **arguments, names=("Ana",))
    assert isinstance(seen.error, SpecError)


def test_the_command_transcribes_and_says_what_failed(pipeline_flows, prefect_server, arguments, recordings) -> None:
    (recordings / "corrupt.wav").write_bytes(b"RIFF" + b"\0" * 400)
    model, output = arguments["settings"].pipeline.model, arguments["output"]
    words = ["transcribe", recordings, "--output", output, "--model", model, "--language", "en", "--speakers", "off"]
    code, text, err = pipeline_flows(*words)
    assert code == 3, err
    assert "2 recordings transcribed" in text
    assert "no transcript of corrupt.wav: InvalidInputError" in err
    assert "error: 1 of 3 recordings have no transcript" in err
    assert "minutes of audio" in err
    assert sorted(found.recording for found in read_manifests(Storage(output))) == ["quiet.flac", "talk.wav"]
    (recordings / "corrupt.wav").unlink()
    (recordings / "calls.csv").write_text("call\ntalk.wav\n")
    code, text, _ = pipeline_flows("transcribe", recordings / "calls.csv", "--column", "call", *words[2:])
    assert code == 0
    assert "0 recordings transcribed" in text
    assert "1 were there" in text
    assert pipeline_flows("transcribe", recordings, "--output", output, "--speakers", "many").code == 2
