"""Pages of transcripts hold copies of their recordings where they are asked to, at any time."""

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from flows.meeting_transcription import meeting_transcription
from pipeline_core.meeting.folder import read_manifests, read_transcript
from pipeline_core.storage import Storage

from .conftest import RATE, TALK


def test_copies_in_pages_asked_for_later_transcribe_nothing(run_flow, arguments, recordings) -> None:
    cells = [{"bytes": (recordings / "talk.wav").read_bytes(), "path": "call.wav"}]
    pq.write_table(pa.table({"audio": cells}), recordings / "calls.parquet")
    arguments["recordings"] = str(recordings / "calls.parquet")
    run_flow(meeting_transcription, **arguments)
    storage = Storage(arguments["output"])
    (manifest,) = read_manifests(storage)
    transcript, files = read_transcript(storage, manifest), manifest.files
    for embed in (True, False):
        summary = run_flow(meeting_transcription, **arguments, embed=embed).state.result()
        assert (len(summary.transcribed), len(summary.cached)) == (0, 1)
        page = storage.read(f"{manifest.name}/transcript.html").decode()
        assert ('src="data:audio/mp4;base64,' in page) == embed
        (again,) = read_manifests(storage)
        assert read_transcript(storage, again) == transcript
        assert (again.files == files) == (not embed)


def test_a_recording_that_no_page_can_hold_has_its_transcript_all_the_same(run_flow, arguments, recordings) -> None:
    soundfile.write(recordings / "old.wav", TALK, RATE, format="PAF", subtype="PCM_16")
    run_flow(meeting_transcription, **arguments)
    soundfile.write(recordings / "new.wav", TALK[: 2 * RATE], RATE)
    summary = run_flow(meeting_transcription, **arguments, embed=True).state.result()
    assert summary.failed == ()
    assert [manifest.recording for manifest in summary.transcribed] == ["new.wav"]
    assert {manifest.recording: manifest.embedded for manifest in (*summary.cached, *summary.transcribed)} == {
        "old.wav": False,
        "talk.wav": True,
        "new.wav": True,
        "quiet.flac": True,
    }
