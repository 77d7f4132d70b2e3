"""One run over recordings into a folder of transcripts: what is there already, what is left, and what it came to.

    OUTPUT/
      _parts/<recording>-<settings>/00000.json    parts of recordings that are not finished yet

Beside the transcripts' own files, which ``meeting.folder`` describes, and those of ``meeting.failures``. A part
counts once its file is there; it is dropped when its recording's transcript is written.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline_core.errors import InvalidInputError, RecordError
from pipeline_core.meeting.channel_parts import channel_parts
from pipeline_core.meeting.diarization import Diarization, check_diarizer, diarize, find_diarizer, one_speaker
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.failures import FailedRecording, forget_failure
from pipeline_core.meeting.folder import (
    TranscriptManifest,
    name_speakers,
    planned_name,
    read_manifest,
    read_transcript,
    write_transcript,
)
from pipeline_core.meeting.listening import check_can_embed, embed_recording, link_recording
from pipeline_core.meeting.parts import Part
from pipeline_core.meeting.recordings import RecordingFile
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.speakers import assign_speakers
from pipeline_core.meeting.transcribe import PartTranscript, join_parts, plan_transcription, transcribe_parts
from pipeline_core.meeting.transcript import Transcript
from pipeline_core.pinning import PinnedSpec
from pipeline_core.storage import Storage

_LOGGER = logging.getLogger(__name__)

PARTS = "_parts/"

Speakers = int | Literal["auto", "off"]
"""How many speakers there are, "auto" to find out, "off" to leave them."""


class Job(BaseModel):
    """What a run does with each recording.

    Attributes:
        settings: How it is transcribed.
        pinned: The pipeline of the settings, resolved.
        speakers: How many speakers there are.
        diarizer: How they are told apart.
        names: What to call speakers, by their labels.
        embed: Whether pages hold a copy of their recording.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: TranscriptionSettings
    pinned: PinnedSpec
    speakers: Speakers = "auto"
    diarizer: DiarizerRef = DiarizerRef()
    names: dict[str, str] = {}
    embed: bool = False

    @property
    def speakers_known(self) -> int | None:
        """How many there are; None where that is not known."""
        return self.speakers if isinstance(self.speakers, int) else None

    @property
    def parts_fingerprint(self) -> str:
        """Changes exactly when the parts of a recording could."""
        return self.settings.fingerprint(self.pinned)

    @property
    def fingerprint(self) -> str:
        """Changes exactly when transcripts could, but for the names of speakers and what pages hold."""
        apart = [] if self.speakers in ("off", 1) else [*self.diarizer.model_dump(exclude_defaults=True).items()]
        content = json.dumps([self.parts_fingerprint, self.speakers, *apart])
        return hashlib.sha256(content.encode()).hexdigest()[:32]


class TranscriptionSummary(BaseModel):
    """What a run came to.

    Attributes:
        output: Where the transcripts are.
        transcribed: Those that this run made.
        cached: Those that were there.
        failed: Recordings without a transcript.
        seconds: Wall time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    transcribed: tuple[TranscriptManifest, ...]
    cached: tuple[TranscriptManifest, ...]
    failed: tuple[FailedRecording, ...]
    seconds: float

    @property
    def audio_s(self) -> float:
        """Seconds of audio that this run transcribed."""
        return sum(manifest.duration_s for manifest in self.transcribed)

    @property
    def cached_s(self) -> float:
        """Seconds of audio that were transcribed before."""
        return sum(manifest.duration_s for manifest in self.cached)

    @property
    def languages(self) -> dict[str, int]:
        """Recordings by language."""
        told = (manifest.language or "none" for manifest in (*self.transcribed, *self.cached))
        return dict(Counter(told).most_common())


def finished(storage: Storage, recording: RecordingFile, job: Job, owner: str | None) -> TranscriptManifest | None:
    """The manifest of a recording that is transcribed as the job asks, its speakers called and its page as it says.

    Raises:
        InvalidInputError: The row that leads to it holds another recording by now.
    """
    manifest = read_manifest(storage, recording.content_id, job.fingerprint)
    if manifest is None:
        return None
    if manifest.embedded != job.embed:
        transcript = read_transcript(storage, manifest)
        page = _audio_of(storage, manifest.name, recording, job)
        manifest = write_transcript(storage, transcript, job.fingerprint, page, owner)
    return name_speakers(storage, manifest, job.names, owner)


def plan_recording(recording: RecordingFile, job: Job) -> tuple[Part, ...]:
    """The parts of a recording, whose speakers can be told apart here as the job asks.

    Raises:
        InvalidInputError: It is empty, corrupt, of no known format, or has no sound.
        InputTooLargeError: It is longer than what tells its speakers apart may be given.
        LoadError: What tells its speakers apart can't be loaded.
        MissingPackageError: Telling the speakers apart, or a copy of it, needs a package that is not installed.
    """
    if job.embed:
        check_can_embed()
    source = recording.source()
    parts = plan_transcription(source, job.settings)
    if job.speakers not in ("off", 1):
        length_s = parts[-1].stop_s
        check_diarizer(job.diarizer, recording.name, channel_parts(source), length_s, job.speakers_known)
    return parts


def has_part(storage: Storage, recording: RecordingFile, part: Part, job: Job) -> bool:
    """Whether the part was transcribed before."""
    return _read_part(storage, recording, part, job) is not None


def transcribe_part(
    storage: Storage,
    recording: RecordingFile,
    part: Part,
    job: Job,
    others: Sequence[tuple[RecordingFile, Part]] = (),
) -> None:
    """Transcribe a part and keep it, unless it is there, and with it ``others``, which fill its batches.

    Where they can't be transcribed together, the part is alone; it is never refused for what is wrong with another.

    Raises:
        InvalidInputError: The recording can't be read there.
        LoadError: The pipeline can't be loaded here.
        RecordError: The model has no answer for a chunk.
    """
    if has_part(storage, recording, part, job):
        return
    together = [(recording, part), *others]
    try:
        written = _transcribe(together, job)
    except RecordError:
        if not others:
            raise
        written = _transcribe(together[:1], job)
    storage.make()
    for (of, what), transcript in zip(together, written, strict=False):
        storage.write(_part_name(of, what, job), transcript.model_dump_json().encode())


def finish_recording(
    storage: Storage, recording: RecordingFile, parts: Sequence[Part], job: Job, owner: str | None
) -> TranscriptManifest:
    """Join a recording's parts, tell the speakers apart, and write all of its files.

    Raises:
        FileNotFoundError: A part is missing.
        LeaseLostError: Another run took the folder over.
    """
    written = [_require_part(storage, recording, part, job) for part in parts]
    transcript = join_parts(written, recording.name, recording.content_id, job.pinned)
    transcript = _with_speakers(transcript, recording, job)
    name = planned_name(storage, recording.name, recording.content_id)
    page = _audio_of(storage, name, recording, job)
    manifest = write_transcript(storage, transcript, job.fingerprint, page, owner)
    for name in (_part_name(recording, part, job) for part in parts):
        if storage.exists(name):
            storage.remove(name)
    forget_failure(storage, recording)
    return manifest


def _audio_of(storage: Storage, name: str, recording: RecordingFile, job: Job) -> str | None:
    """Where the page in folder ``name`` finds the recording."""
    if job.embed:
        source = recording.source()
        assert not isinstance(source, np.ndarray)
        try:
            return embed_recording(source)
        except InvalidInputError as error:  # not every format that is read can be copied; the transcript stands
            _LOGGER.warning("the page of %r holds no copy of it: %s", recording.name, error)
    return None if recording.path is None else link_recording(storage, name, recording.path)


def _with_speakers(transcript: Transcript, recording: RecordingFile, job: Job) -> Transcript:
    if job.speakers == "off" or not transcript.segments:
        return transcript
    found = Diarization((), None)
    if job.speakers != 1:
        way = find_diarizer(job.diarizer.way, job.diarizer.model)
        found = diarize(channel_parts(recording.source()), job.speakers_known, way)
    turns = found.turns or one_speaker(transcript.segments)
    segments = assign_speakers(transcript.segments, turns)
    told = transcript.model_copy(update={"turns": turns, "segments": segments, "speakers_note": found.note})
    names = {label: name for label, name in job.names.items() if label in told.speakers}
    return told.model_copy(update={"names": names})


def _transcribe(parts: Sequence[tuple[RecordingFile, Part]], job: Job) -> list[PartTranscript]:
    return transcribe_parts([(recording.source(), part) for recording, part in parts], job.settings)


def _require_part(storage: Storage, recording: RecordingFile, part: Part, job: Job) -> PartTranscript:
    written = _read_part(storage, recording, part, job)
    if written is None:
        raise FileNotFoundError(storage.path(_part_name(recording, part, job)))
    return written


def _read_part(storage: Storage, recording: RecordingFile, part: Part, job: Job) -> PartTranscript | None:
    content = storage.read(_part_name(recording, part, job))
    try:
        written = None if content is None else PartTranscript.model_validate_json(content)
    except ValueError:
        return None
    return written if written is not None and written.part == part else None


def _part_name(recording: RecordingFile, part: Part, job: Job) -> str:
    return f"{PARTS}{recording.content_id}-{job.parts_fingerprint[:8]}/{part.index:05}.json"
