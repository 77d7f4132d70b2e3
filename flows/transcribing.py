"""The command ``pipeline-flows transcribe``."""

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from flows.options import PipelineOptions, RowOptions, SpeechOptions
from pipeline_core.errors import RecordingsFailedError
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.settings import TranscriptionSettings

app = App(name="transcribe", result_action="return_value")


@app.default
def transcribe(
    recordings: Annotated[
        str, Parameter(help="A file, folder or glob of audio or video, or a dataset with a column of recordings.")
    ],
    /,
    *,
    output: Annotated[str, Parameter(help="The folder to write to, or its URL.")],
    rows: RowOptions | None = None,
    pipeline: PipelineOptions | None = None,
    speech: SpeechOptions | None = None,
) -> None:
    """Turn recordings into transcripts: who said what, when.

    The same command again transcribes only what is new or changed. With an option of rows, such as --column, the
    recordings are those of a dataset: each row is one.
    """
    from flows.readable import one_line
    from flows.running import run_transcription

    chosen = speech or SpeechOptions()
    spec = (pipeline or PipelineOptions()).spec("automatic-speech-recognition", default_model="openai/whisper-base")
    settings: dict[str, Any] = {
        "language": chosen.language,
        "translate": chosen.translate,
        "timestamps": chosen.timestamps,
    }
    summary = run_transcription(
        recordings=rows.of(recordings) if rows is not None and rows.given else recordings,
        output={"path": output},
        settings=TranscriptionSettings(pipeline=spec, **settings),
        speakers=chosen.told(),
        diarizer=DiarizerRef(way=chosen.diarizer, model=chosen.diarizer_model),
        names=tuple(chosen.names),
        embed=chosen.embed,
    )
    for manifest in summary.transcribed:
        if manifest.speakers_note is not None:
            print(one_line(f"{manifest.recording}: {manifest.speakers_note}"))
    for failed in summary.failed:
        print(one_line(f"no transcript of {failed.recording}: {failed.error}"), file=sys.stderr)
    if summary.failed:
        found = len(summary.failed) + len(summary.transcribed) + len(summary.cached)
        raise RecordingsFailedError(len(summary.failed), found, summary.output)
