"""The command ``pipeline-flows transcribe``."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from flows.options import PipelineOptions
from pipeline_core.errors import RecordError, SpecError
from pipeline_core.meeting.settings import TranscriptionSettings

app = App(name="transcribe", result_action="return_value")


@Parameter(name="*")
@dataclass
class SpeechOptions:
    """How recordings are transcribed."""

    language: Annotated[str, Parameter(help="auto, or a code such as en or de.")] = "auto"
    translate: Annotated[bool, Parameter(help="Write English whatever is spoken.", negative=())] = False
    speakers: Annotated[str, Parameter(help="How many speakers there are, auto, or off.")] = "auto"
    names: Annotated[list[str], Parameter(help="What to call a speaker, such as S1=Ana.", negative=())] = field(
        default_factory=list
    )
    timestamps: Annotated[Literal["word", "segment"], Parameter(help="Times of words, or of segments alone.")] = "word"

    def told(self) -> int | Literal["auto", "off"]:
        """The speakers as the flow takes them.

        Raises:
            SpecError: They are neither a number nor one of the words.
        """
        if self.speakers in ("auto", "off"):
            return self.speakers  # type: ignore[return-value]
        if not self.speakers.isdecimal() or int(self.speakers) < 1:
            raise SpecError(f"speakers must be a number from 1 on, auto or off, but is {self.speakers!r} instead")
        return int(self.speakers)


@app.default
def transcribe(
    recordings: Annotated[str, Parameter(help="A file, folder or glob of audio or video.")],
    /,
    *,
    output: Annotated[str, Parameter(help="The folder to write to, or its URL.")],
    pipeline: PipelineOptions | None = None,
    speech: SpeechOptions | None = None,
) -> None:
    """Turn recordings into transcripts: who said what, when.

    The same command again transcribes only what is new or changed.
    """
    from flows.running import run_transcription

    chosen = speech or SpeechOptions()
    spec = (pipeline or PipelineOptions()).spec("automatic-speech-recognition", default_model="openai/whisper-base")
    settings: dict[str, Any] = {
        "language": chosen.language,
        "translate": chosen.translate,
        "timestamps": chosen.timestamps,
    }
    summary = run_transcription(
        recordings=recordings,
        output={"path": output},
        settings=TranscriptionSettings(pipeline=spec, **settings),
        speakers=chosen.told(),
        names=tuple(chosen.names),
    )
    for failed in summary.failed:
        print(f"no transcript of {failed.recording}: {failed.error}")
    if summary.failed and not summary.transcribed and not summary.cached:
        raise RecordError("none of the recordings could be transcribed")
