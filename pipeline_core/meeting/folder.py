"""A folder of transcripts: each recording's files are there together or don't count, once whatever it is called.

    OUTPUT/
      standup-5f0c2a9b1d/            one folder a recording; the same for as long as its audio is
        transcript.json              all there is to know: segments, words, turns, confidences
        transcript.md, .txt          to read
        transcript.srt, .vtt         subtitles
        transcript.html              to read and to listen along
      segments/5f0c2a9b1d.parquet    its segments; the folder reads as one table
      _manifests/5f0c2a9b1d.json     what its files are, to the byte; written last

A recording is known by the id of its content, so a file that was renamed is found again, and two files of one name
do not meet. Stopped at any moment, writing leaves a manifest that is missing or does not fit its files, and the
recording counts as not transcribed.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline_core.lease import check_lease
from pipeline_core.meeting.documents import to_markdown, to_text
from pipeline_core.meeting.page import audio_of, is_embedded, to_html
from pipeline_core.meeting.segment_table import segment_table
from pipeline_core.meeting.subtitles import to_srt, to_vtt
from pipeline_core.meeting.transcript import Transcript
from pipeline_core.storage import TEMPORARY, Storage

MANIFESTS = "_manifests/"
SEGMENTS = "segments/"

_NAME_CHARACTERS = 48
_ID_CHARACTERS = 10


class FileRecord(BaseModel):
    """What one file is, to the byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int


class TranscriptManifest(BaseModel):
    """That one recording is transcribed, and what a summary says of it.

    Attributes:
        name: The folder of its files, relative to the output.
        recording: What the file was called when it was transcribed.
        content_id: Identifies the audio.
        fingerprint: Identifies what was asked for: the model and all that changes the text.
        files: By their names relative to the output.
        duration_s: Length of the recording.
        speech_s: How much of it is speech.
        uncertain_s: How much of it is marked as uncertain.
        segments: Number of segments.
        language: As in the transcript.
        speakers: What the speakers are called, in the order in which they first talk.
        speakers_note: As in the transcript.
        embedded: Whether the page holds a copy of the recording.
        committed_at: ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    recording: str
    content_id: str
    fingerprint: str
    files: dict[str, FileRecord]
    duration_s: float
    speech_s: float
    uncertain_s: float
    segments: int
    language: str | None
    speakers: tuple[str, ...]
    speakers_note: str | None = None
    embedded: bool = False
    committed_at: str


def transcript_name(recording: str, content_id: str) -> str:
    """A name for a recording's files that is safe in every file system and URL, and no other recording's."""
    stem = unicodedata.normalize("NFKC", PurePath(recording).stem)
    safe = re.sub(r"[^\w]+", "-", stem)[:_NAME_CHARACTERS].strip("-_")
    return f"{safe or 'recording'}-{_short(content_id)}"


def read_manifest(storage: Storage, content_id: str, fingerprint: str) -> TranscriptManifest | None:
    """The manifest of a recording that is transcribed as ``fingerprint`` asks and whose files are all there."""
    manifest = _found(storage, content_id)
    if manifest is None or manifest.fingerprint != fingerprint:
        return None
    whole = all(storage.digest(name) == (file.sha256, file.size_bytes) for name, file in manifest.files.items())
    return manifest if whole else None


def read_manifests(storage: Storage) -> Iterator[TranscriptManifest]:
    """The manifests of all recordings; their files are taken at their word."""
    for name in storage.names():
        if name.startswith(MANIFESTS):
            manifest = _parsed(storage.read(name))
            if manifest is not None:
                yield manifest


def read_transcript(storage: Storage, manifest: TranscriptManifest) -> Transcript:
    """The transcript that a manifest is about.

    Raises:
        FileNotFoundError: It is not there.
    """
    name = f"{manifest.name}/transcript.json"
    content = storage.read(name)
    if content is None:
        raise FileNotFoundError(storage.path(name))
    return Transcript.model_validate_json(content)


def planned_name(storage: Storage, recording: str, content_id: str) -> str:
    """The folder that a recording's files are in or will be: the one that they have, whatever it is called now."""
    manifest = _found(storage, content_id)
    return transcript_name(recording, content_id) if manifest is None else manifest.name


def write_transcript(
    storage: Storage,
    transcript: Transcript,
    fingerprint: str = "",
    audio: str | None = None,
    owner: str | None = None,
) -> TranscriptManifest:
    """Write all files of a recording and make them count together, in place of what was there of it.

    Args:
        storage: The output.
        transcript: Of one recording.
        fingerprint: Identifies what was asked for.
        audio: Where its page finds the recording: a URL relative to the page, or a ``data:`` URL.
        owner: The lease under which it is written, if any.

    Raises:
        LeaseLostError: Another run holds the output; nothing was moved.
    """
    storage.make()
    name = planned_name(storage, transcript.recording, transcript.content_id)
    contents = dict(_contents(transcript, name, audio))
    written: dict[str, str] = {}
    try:
        for file, content in contents.items():
            written[file] = storage.temporary(file, label=owner or "")
            opened = storage.open_new(written[file])
            try:
                opened.write(content)
            finally:
                storage.finish(opened)
        with storage.exclusive():
            check_lease(storage, owner)
            for file, temporary in list(written.items()):
                storage.rename(temporary, file)
                del written[file]
                storage.sync(file)
            manifest = _manifest(transcript, name, fingerprint, contents, is_embedded(audio))
            storage.write(_manifest_file(transcript.content_id), manifest.model_dump_json(indent=2).encode() + b"\n")
    finally:
        for temporary in written.values():
            with suppress(OSError):
                storage.remove(temporary)
    return manifest


def name_speakers(
    storage: Storage, manifest: TranscriptManifest, names: Mapping[str, str], owner: str | None = None
) -> TranscriptManifest:
    """Write a recording's files again with other names for its speakers; nothing is transcribed.

    Args:
        storage: The output.
        manifest: The recording's.
        names: What to call speakers, by their labels; those left out keep the names they have.
        owner: The lease under which it is written, if any.

    Raises:
        FileNotFoundError: The transcript is not there.
        LeaseLostError: Another run holds the output; nothing was moved.
    """
    transcript = read_transcript(storage, manifest)
    named = {**transcript.names, **{label: name for label, name in names.items() if label in transcript.speakers}}
    if named == transcript.names:
        return manifest
    page = storage.read(f"{manifest.name}/transcript.html") or b""
    renamed = transcript.model_copy(update={"names": named})
    return write_transcript(storage, renamed, manifest.fingerprint, audio_of(page.decode()), owner)


def sweep(storage: Storage, owner: str | None = None) -> None:
    """Delete what stopped attempts left half-written; not what ``owner``, who holds the output, writes now."""
    for name in storage.names():
        if name.startswith(TEMPORARY) and (owner is None or not name.startswith(TEMPORARY + owner[:8])):
            storage.remove(name)


def _contents(transcript: Transcript, name: str, audio: str | None) -> Iterator[tuple[str, bytes]]:
    folder = f"{name}/transcript"
    yield f"{folder}.json", transcript.model_dump_json(indent=1).encode() + b"\n"
    yield f"{folder}.md", to_markdown(transcript).encode()
    yield f"{folder}.txt", to_text(transcript).encode()
    yield f"{folder}.srt", to_srt(transcript).encode()
    yield f"{folder}.vtt", to_vtt(transcript).encode()
    yield f"{folder}.html", to_html(transcript, audio).encode()
    yield f"{SEGMENTS}{_short(transcript.content_id)}.parquet", _parquet(segment_table(transcript, name))


def _parquet(table: pa.Table) -> bytes:
    written = pa.BufferOutputStream()
    with pq.ParquetWriter(written, table.schema, compression="zstd") as writer:
        # A row group without rows makes datasets' parquet reader fail.
        if table.num_rows:
            writer.write_table(table)
    return bytes(written.getvalue().to_pybytes())


def _manifest(
    transcript: Transcript, name: str, fingerprint: str, contents: dict[str, bytes], embedded: bool
) -> TranscriptManifest:
    files = {
        file: FileRecord(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for file, content in contents.items()
    }
    return TranscriptManifest(
        name=name,
        recording=transcript.recording,
        content_id=transcript.content_id,
        fingerprint=fingerprint,
        files=files,
        duration_s=transcript.duration_s,
        speech_s=transcript.speech_s,
        uncertain_s=sum(segment.duration_s for segment in transcript.segments if segment.uncertain),
        segments=len(transcript.segments),
        language=transcript.language,
        speakers=tuple(transcript.name(speaker) for speaker in transcript.speakers),
        speakers_note=transcript.speakers_note,
        embedded=embedded,
        committed_at=datetime.now(UTC).isoformat(),
    )


def _found(storage: Storage, content_id: str) -> TranscriptManifest | None:
    manifest = _parsed(storage.read(_manifest_file(content_id)))
    return manifest if manifest is not None and manifest.content_id == content_id else None


def _parsed(content: bytes | None) -> TranscriptManifest | None:
    try:
        return None if content is None else TranscriptManifest.model_validate_json(content)
    except ValueError:
        return None


def _manifest_file(content_id: str) -> str:
    return f"{MANIFESTS}{_short(content_id)}.json"


def _short(content_id: str) -> str:
    return hashlib.sha256(content_id.encode()).hexdigest()[:_ID_CHARACTERS]
