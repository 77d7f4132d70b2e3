"""Answer the rows in quarantine, once what kept them there is mended, and leave every other row as it is.

A shard is written anew from the rows that it has and the new answers, and committed like any other: stopped at any
moment, the folder has the shard as it was or as it is to be. Shards with media files, and those in which several
rows go by one id, are inferred whole.
"""

from collections.abc import Callable
from typing import NamedTuple

from pipeline_core.device_slots import device_slot
from pipeline_core.device_threads import run_on
from pipeline_core.devices import resolve_device
from pipeline_core.engine import Progress
from pipeline_core.errors import OutputMismatchError
from pipeline_core.figures import Figures
from pipeline_core.inference import Inference
from pipeline_core.manifest import ShardManifest
from pipeline_core.pinning import pin
from pipeline_core.policies import BatchPolicy
from pipeline_core.shard_run import check_unchanged, run_shard, with_tensors
from pipeline_core.shards import RunPlan, Shard
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset
from pipeline_core.spec import PipelineSpec


class Replay(NamedTuple):
    """What came of a folder's quarantine.

    Attributes:
        rows: Rows that were in quarantine.
        answered: Those that have an answer now.
        is_complete: Whether every shard of the run is there.
    """

    rows: int
    answered: int
    is_complete: bool


def replay_quarantine(
    folder: OutputFolder,
    device: str | int | None = None,
    batch: BatchPolicy | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Replay:
    """Infer all rows of a folder that are in quarantine.

    Args:
        folder: The output of a run, complete or not.
        device: Where to; None for where the plan says.
        batch: How to group the rows.
        on_progress: Told after each batch how far a shard is.

    Raises:
        DatasetChangedError: The rows of a shard are not the planned ones any more.
        LoadError: The pipeline can't be loaded here.
        OutputNotFoundError: The folder has no plan.
        OutputInUseError: A run that is alive holds the folder.
        OutputMismatchError: The model is another one than the plan's by now.
    """
    plan = folder.require_plan()
    pinned = pin(plan.spec)
    if pinned.fingerprint != plan.spec_fingerprint:
        raise OutputMismatchError(
            f"the model of output {folder.ref.path!r} has changed since its other rows were answered; "
            "run the plan anew, with replace set or into another folder"
        )
    spec = plan.spec if device is None else plan.spec.model_copy(update={"device": device, "device_map": None})
    before = after = 0
    is_complete = True
    with folder.claim() as lease:
        for shard in plan.shards:
            manifest = folder.committed(shard, plan)
            if manifest is None:
                is_complete = False
            elif manifest.quarantined:
                before += manifest.quarantined
                after += _replay(shard, plan, spec, folder, lease.owner, manifest, batch, on_progress).quarantined
        if is_complete:
            folder.commit_run(plan, lease.owner)
    return Replay(before, before - after, is_complete)


def _replay(
    shard: Shard,
    plan: RunPlan,
    spec: PipelineSpec,
    folder: OutputFolder,
    owner: str,
    manifest: ShardManifest,
    batch: BatchPolicy | None,
    on_progress: Callable[[Progress], None],
) -> ShardManifest:
    answers, quarantine = folder.read_shard(shard)
    bad = set(quarantine.column("id").to_pylist())
    ids = [*answers.column("id").to_pylist(), *quarantine.column("id").to_pylist()]
    if manifest.media_files or len(set(ids)) < len(ids):
        return run_shard(shard, plan, spec, folder, owner, batch, on_progress=on_progress)
    dataset = open_dataset(plan.dataset, spec.task)
    check_unchanged(dataset, shard)
    wanted = (record for record in dataset.records(shard.start, shard.stop) if record.id in bad)
    inference = Inference(with_tensors(spec), wanted, batch or BatchPolicy(), on_progress)
    rows = (row for part in answers.to_batches() for row in part.to_pylist())

    def infer() -> ShardManifest:
        with device_slot(device), folder.shard_writer(shard, plan, owner) as writer:
            replayed = iter(inference)
            for record in dataset.records(shard.start, shard.stop):
                if record.id in bad:
                    writer.write(*next(replayed))
                else:
                    writer.keep(record, next(rows))
            check_unchanged(dataset, shard)
            next(replayed, None)  # lets the engine finish its figures
            return writer.commit(Figures.total([_without_bad(manifest), inference.figures]))

    device = resolve_device(spec.device)
    return run_on(device, infer)


def _without_bad(manifest: ShardManifest) -> Figures:
    """What the shard's answered rows took; the writer counts again how many of them are empty."""
    figures = manifest.figures
    return figures.model_copy(update={"rows": figures.rows - manifest.quarantined, "quarantined": 0, "empty": 0})
