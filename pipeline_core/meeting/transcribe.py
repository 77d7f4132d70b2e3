"""Transcribe recordings: find speech, cut it at pauses, recognize it, part by part, and join what was said."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline_core.device_threads import check_wanted, run_on
from pipeline_core.devices import resolve_device
from pipeline_core.meeting.chunking import Chunk, cut_chunks, whole_chunk
from pipeline_core.meeting.parts import Part, Source, content_id, opened, plan_parts
from pipeline_core.meeting.recognition import load_recognizer
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.transcript import Segment, Transcript
from pipeline_core.meeting.voice_activity import SAMPLE_RATE, detect_speech
from pipeline_core.pinning import PinnedSpec, pin


class PartTranscript(BaseModel):
    """What was said in one part.

    Attributes:
        part: Which stretch of the recording it is.
        speech_s: How much of it is speech.
        language: ISO 639-1 code; None where neither asked for nor heard.
        segments: In order; their times are those of the recording.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Part
    speech_s: float
    language: str | None
    segments: tuple[Segment, ...]


def transcribe_recording(
    source: Source,
    settings: TranscriptionSettings,
    name: str | None = None,
    on_progress: Callable[[float], None] = lambda seconds: None,
) -> Transcript:
    """Transcribe one recording of any length; no more than one part of it is held at once.

    Args:
        source: A file's path, its bytes, or ``(samples,)`` float32 at 16 kHz.
        settings: What to transcribe it with.
        name: What to call it; the file's name without one.
        on_progress: Told after each part how many seconds of the recording are done.

    Raises:
        InvalidInputError: It is empty, corrupt, of no known format, or has no sound.
        LoadError: The pipeline can't be loaded here, or a package that is needed is not installed.
        SpecError: The model does not take the language, or does not translate.
    """
    done = []
    for part in plan_transcription(source, settings):
        done += transcribe_parts([(source, part)], settings)
        on_progress(part.stop_s)
    recording = name or (Path(source).name if isinstance(source, os.PathLike) else "recording")
    return join_parts(done, recording, content_id(source), pin(settings.pipeline))


def plan_transcription(source: Source, settings: TranscriptionSettings) -> tuple[Part, ...]:
    """The parts that ``source`` is transcribed in; with chunks of fixed length, one.

    Raises:
        InvalidInputError: The recording can't be read, or has no samples.
    """
    return plan_parts(source, float("inf") if settings.fixed_chunks else settings.part_s)


def transcribe_parts(parts: Sequence[tuple[Source, Part]], settings: TranscriptionSettings) -> list[PartTranscript]:
    """Transcribe parts of one or several recordings in shared batches; all of them are held at once.

    Raises:
        InvalidInputError: A recording can't be read there.
        LoadError: The pipeline can't be loaded here, or a package that is needed is not installed.
        RecordError: The model has no answer for a chunk.
        SpecError: The model does not take the language, or does not translate.
    """
    device = resolve_device(settings.pipeline.device)
    recognizer = run_on(device, load_recognizer, settings)
    heard = [_listen(source, part, settings.fixed_chunks, recognizer.max_chunk_s) for source, part in parts]
    recognized = run_on(device, recognizer.recognize, [chunks for chunks, _ in heard])
    return [
        PartTranscript(
            part=part,
            speech_s=speech_s,
            language=answer.language,
            segments=tuple(segment for segments in answer.segments for segment in segments),
        )
        for (_, part), (_, speech_s), answer in zip(parts, heard, recognized, strict=True)
    ]


def join_parts(parts: Iterable[PartTranscript], recording: str, content: str, pinned: PinnedSpec) -> Transcript:
    """The transcript of a recording whose parts are all there.

    Its language is the one in which most is said.

    Args:
        parts: All parts, in any order.
        recording: The file's name.
        content: Its content's id.
        pinned: What transcribed it.
    """
    ordered = sorted(parts, key=lambda part: part.part.index)
    spoken: Counter[str] = Counter()
    for part in ordered:
        if part.language is not None:
            spoken[part.language] += int(part.speech_s * 1000) + 1
    return Transcript(
        recording=recording,
        content_id=content,
        duration_s=ordered[-1].part.stop_s if ordered else 0.0,
        speech_s=sum(part.speech_s for part in ordered),
        language=spoken.most_common(1)[0][0] if spoken else None,
        model=pinned.model.name,
        model_revision=pinned.model.revision or pinned.model.content,
        segments=tuple(segment for part in ordered for segment in part.segments),
        created_with=f"pipeline-flows {version('pipeline-flows')}",
    )


def _listen(source: Source, part: Part, fixed_chunks: bool, max_chunk_s: float) -> tuple[list[Chunk], float]:
    """The chunks of a part, and how many seconds of it are speech."""
    check_wanted()
    with opened(source) as recording:
        audio = recording.read(part.start_s, part.stop_s)
    if fixed_chunks:
        return ([whole_chunk(audio, part.start_s)] if len(audio) else []), len(audio) / SAMPLE_RATE
    activity = detect_speech(audio)
    chunks = cut_chunks(audio, activity, max_chunk_s, part.start_s)
    return chunks, sum(span.duration_s for span in activity.speech)
