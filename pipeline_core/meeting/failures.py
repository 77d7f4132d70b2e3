"""Why recordings have no transcript, written down in the folder of those that have one.

OUTPUT/
  _failed/<recording>.json    what went wrong, until the recording is transcribed or gone
"""

import os
from collections.abc import Iterable, Set

from pydantic import BaseModel, ConfigDict

from pipeline_core.meeting.recordings import RecordingFile
from pipeline_core.storage import Storage

FAILED = "_failed/"


class FailedRecording(BaseModel):
    """A recording without a transcript.

    Attributes:
        recording: What it is called.
        error: Class and message of what went wrong.
        path: Where its file is; None if only a dataset's row leads to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    error: str
    path: str | None = None


def record_failure(storage: Storage, recording: RecordingFile, error: BaseException) -> FailedRecording:
    """Write down why a recording has no transcript."""
    failed = FailedRecording(recording=recording.name, error=f"{type(error).__name__}: {error}", path=recording.path)
    storage.make()
    storage.write(_failed_name(recording), failed.model_dump_json(indent=2).encode() + b"\n")
    return failed


def forget_failure(storage: Storage, recording: RecordingFile) -> None:
    """Drop what was written down of a recording that has its transcript now."""
    if storage.exists(_failed_name(recording)):
        storage.remove(_failed_name(recording))


def forget_mended(storage: Storage, transcribed: Iterable[RecordingFile]) -> None:
    """Drop what was written down of failures of files that are mended by now, or gone from a folder of others."""
    fine = list(transcribed)
    mended = {(recording.name, recording.path) for recording in fine}
    folders = {os.path.dirname(recording.path) for recording in fine if recording.path is not None}
    for name in storage.names(FAILED):
        content = storage.read(name)
        try:
            failed = None if content is None else FailedRecording.model_validate_json(content)
        except ValueError:  # not of ours
            continue
        if failed is not None and ((failed.recording, failed.path) in mended or _is_gone(failed.path, folders)):
            storage.remove(name)


def _is_gone(path: str | None, folders: Set[str]) -> bool:
    """Whether a file is in one of these folders no more; one that may not be looked at is not gone."""
    if path is None or os.path.dirname(path) not in folders:
        return False
    try:
        os.stat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _failed_name(recording: RecordingFile) -> str:
    return f"{FAILED}{recording.content_id}.json"
