"""Transcribe recordings: each a task, a long one several, and none that fails stops the others."""

import time
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.states import Completed

from pipeline_core.access import AccessPolicy
from pipeline_core.errors import RecordError
from pipeline_core.lease import claim_lease
from pipeline_core.meeting.diarizer_ref import DiarizerRef
from pipeline_core.meeting.failures import FailedRecording, forget_mended, record_failure
from pipeline_core.meeting.folder import TranscriptManifest, sweep
from pipeline_core.meeting.parts import Part
from pipeline_core.meeting.pyannote import DEFAULT_MODEL
from pipeline_core.meeting.recordings import RecordingFile
from pipeline_core.meeting.recordings import list_recordings as find
from pipeline_core.meeting.settings import TranscriptionSettings
from pipeline_core.meeting.shared_batches import SharedBatches
from pipeline_core.meeting.transcription import (
    Job,
    Speakers,
    TranscriptionSummary,
    finish_recording,
    finished,
    has_part,
    plan_recording,
)
from pipeline_core.meeting.transcription import transcribe_part as transcribe
from pipeline_core.meeting.transcription_report import markdown_summary
from pipeline_core.pinning import pin
from pipeline_core.sink import OutputRef
from pipeline_core.sources import DatasetRef
from pipeline_core.storage import Storage
from tasks.audio_progress import AudioProgress
from tasks.metrics import count_recording
from tasks.policies import RETRIES, RETRY_DELAYS_S, can_end_differently
from tasks.runs import TAKEOVER_S
from tasks.secrets import load_secrets

_RETRIED: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": RETRIES,
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": can_end_differently,
}


@task(task_run_name="find recordings", **_RETRIED)
def list_recordings(where: str | DatasetRef) -> list[RecordingFile]:
    """The recordings at a path or of a dataset, by what they hold.

    Raises:
        DatasetNotFoundError: There are none.
        SourceError: The dataset can't be read as described.
    """
    found = find(where)
    get_run_logger().info("%s recordings", f"{len(found):,}")
    return found


@task(task_run_name="{recording.name}: plan", **_RETRIED)
def plan_parts(recording: RecordingFile, job: Job) -> tuple[Part, ...]:
    """The parts of a recording.

    Raises:
        InvalidInputError: It can't be read.
        MissingPackageError: Telling its speakers apart needs a package that is not installed.
    """
    return plan_recording(recording, job)


@task(task_run_name="{recording.name}: part {part.index}", **_RETRIED)
def transcribe_part(
    recording: RecordingFile,
    part: Part,
    job: Job,
    output: str,
    others: tuple[tuple[RecordingFile, Part], ...] = (),
    joins: bool = False,
) -> Any:
    """Transcribe a part, and ``others`` along with it, unless it was; ``joins`` if one before took it along.

    Raises:
        RecordError: The recording can't be read or transcribed there.
    """
    storage = Storage(output)
    if has_part(storage, recording, part, job):
        if joins:
            return Completed(message="transcribed along with a recording before it")
        return Completed(name="Cached", message="an earlier run transcribed this part")
    transcribe(storage, recording, part, job, others)
    return None


@task(task_run_name="{recording.name}: write", **_RETRIED)
def write_recording(
    recording: RecordingFile, parts: tuple[Part, ...], job: Job, output: str, owner: str
) -> TranscriptManifest:
    """Tell the speakers apart and write all files of a recording.

    Raises:
        LeaseLostError: Another run took the folder over.
    """
    manifest = finish_recording(Storage(output), recording, parts, job, owner)
    count_recording(job.settings.pipeline.task, manifest.duration_s)
    return manifest


@task(task_run_name="report", cache_policy=NO_CACHE)
def report_transcription(summary: TranscriptionSummary) -> None:
    """Leave a summary of the run in Prefect's UI."""
    key = f"transcripts-{flow_run.id}"
    create_markdown_artifact(markdown_summary(summary), key=key, description="What was transcribed")


def transcribe_recordings(
    where: str | DatasetRef,
    output: OutputRef,
    settings: TranscriptionSettings,
    speakers: Speakers = "auto",
    diarizer: DiarizerRef | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
    embed: bool = False,
) -> TranscriptionSummary:
    """Transcribe what is new at a path or in a dataset, inside a flow.

    Args:
        where: The recordings.
        output: The folder to write to.
        settings: How they are transcribed.
        speakers: How many there are, "auto" to find out, "off" to leave them.
        diarizer: How they are told apart; None for the way that suits each recording.
        names: What to call speakers, by their labels.
        embed: Whether pages hold a copy of their recording.

    Raises:
        AccessRefusedError: A deployment's run names data, code or weights that its owner has not allowed.
        DatasetNotFoundError: There are no recordings.
        OutputInUseError: Another run that is alive holds the output folder.
    """
    deployed = deployment.id is not None
    if deployed:
        dataset = DatasetRef(path=where) if isinstance(where, str) else where
        policy = AccessPolicy.from_environment()
        policy.check(dataset, output, settings.pipeline)
        if diarizer is not None and diarizer.way == "pyannote":
            policy.check_pickles("diarizer", diarizer.model or DEFAULT_MODEL)
    load_secrets()
    job = Job(
        settings=settings,
        pinned=pin(settings.pipeline),
        speakers=speakers,
        diarizer=diarizer or DiarizerRef(),
        names=dict(names),
        embed=embed,
    )
    started = time.monotonic()
    storage = Storage(output.path)
    storage.make()
    with claim_lease(storage, wait_s=TAKEOVER_S if deployed else 0.0) as lease:
        sweep(storage, lease.owner)
        cached: list[TranscriptManifest] = []
        done: list[TranscriptManifest] = []
        failed: list[FailedRecording] = []
        new: list[RecordingFile] = []
        fine: list[RecordingFile] = []
        for recording in list_recordings(where):
            try:
                manifest = finished(storage, recording, job, lease.owner)
            except RecordError as error:
                failed.append(record_failure(storage, recording, error))
                continue
            if manifest is None:
                new.append(recording)
            else:
                cached.append(manifest)
                fine.append(recording)
        planned = list(_planned(new, job, storage, failed))
        batches = SharedBatches(storage, planned, job)
        with AudioProgress(sum(part.duration_s for _, parts in planned for part in parts)) as progress:
            for recording, parts in planned:
                outcome = _transcribed(recording, parts, job, storage, lease.owner, progress, batches)
                if isinstance(outcome, TranscriptManifest):
                    done.append(outcome)
                    fine.append(recording)
                else:
                    failed.append(outcome)
        summary = TranscriptionSummary(
            output=output.path,
            transcribed=tuple(done),
            cached=tuple(cached),
            failed=tuple(failed),
            seconds=time.monotonic() - started,
        )
        forget_mended(storage, fine)
    return summary


def _planned(
    recordings: Iterable[RecordingFile], job: Job, storage: Storage, failed: list[FailedRecording]
) -> Iterator[tuple[RecordingFile, tuple[Part, ...]]]:
    """The recordings that can be read, with their parts."""
    for recording in recordings:
        try:
            yield recording, plan_parts(recording, job)
        except RecordError as error:
            failed.append(record_failure(storage, recording, error))


def _transcribed(
    recording: RecordingFile,
    parts: tuple[Part, ...],
    job: Job,
    storage: Storage,
    owner: str,
    progress: AudioProgress,
    batches: SharedBatches,
) -> TranscriptManifest | FailedRecording:
    try:
        for part in parts:
            others, joins = batches.others(recording, part), batches.joins(recording, part)
            transcribe_part.submit(recording, part, job, storage.url, others, joins).result()
            progress.add(part.duration_s, recording.name)
        return write_recording(recording, parts, job, storage.url, owner)
    except RecordError as error:
        return record_failure(storage, recording, error)
