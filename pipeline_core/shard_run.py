"""Infer one shard of a plan and commit it: the unit that a scheduler retries, skips and counts."""

from collections.abc import Callable

from pipeline_core.catalog import find_task
from pipeline_core.device_slots import device_slot
from pipeline_core.device_threads import run_on
from pipeline_core.devices import resolve_device
from pipeline_core.engine import Progress
from pipeline_core.errors import DatasetChangedError
from pipeline_core.inference import FailureBudget, Inference
from pipeline_core.lease import check_lease
from pipeline_core.manifest import ShardManifest
from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.shards import RunPlan, Shard
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import OpenDataset, open_dataset
from pipeline_core.spec import PipelineSpec
from pipeline_core.storage import Storage


def run_shard(
    shard: Shard,
    plan: RunPlan,
    spec: PipelineSpec,
    folder: OutputFolder,
    owner: str | None = None,
    batch: BatchPolicy | None = None,
    failures: FailurePolicy | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    bad_rows_before: int = 0,
) -> ShardManifest:
    """Predict every row of a shard, then make it and its manifest appear in the folder at once.

    Shards that run on one device take turns: those of one process, and on an accelerator those of all.

    Args:
        shard: A shard of ``plan``.
        plan: The plan that the folder adopted.
        spec: The plan's, with the token that a plan does not keep.
        folder: Where to write.
        owner: The lease under which to write.
        batch: How to group the rows.
        failures: How many rows of the whole run may fail.
        on_progress: Told after each batch how far the shard is.
        bad_rows_before: Rows of the run's other shards that have failed; they count towards ``failures``.

    Raises:
        DatasetChangedError: The shard's rows are not the planned ones, before or after they were read.
        FailureBudgetExceededError: The run has more bad rows than ``failures`` allows.
        LeaseLostError: Another run took the folder over.
        LoadError: The pipeline can't be loaded here.
    """
    dataset = open_dataset(plan.dataset, spec.task, spec.parameters)
    check_unchanged(dataset, shard)
    budget = FailureBudget(failures or FailurePolicy(), plan.rows, bad_rows_before)
    records = dataset.records(shard.start, shard.stop)
    inference = Inference(with_tensors(spec), records, batch or BatchPolicy(), on_progress)

    device = resolve_device(spec.device)

    def still_ours() -> None:
        check_lease(Storage(folder.ref.path), owner)

    def infer() -> ShardManifest:
        with device_slot(device, still_ours), folder.shard_writer(shard, plan, owner) as writer:
            for record, prediction in inference:
                writer.write(record, prediction)
                budget.count(prediction)
            check_unchanged(dataset, shard)
            return writer.commit(inference.figures)

    return run_on(device, infer)


def with_tensors(spec: PipelineSpec) -> PipelineSpec:
    """The same pipeline; one that extracts features gives tensors and not lists, which take nine times the memory."""
    if not find_task(spec.task).name.endswith("feature-extraction"):
        return spec
    return spec.model_copy(update={"parameters": {**spec.parameters, "return_tensors": True}})


def check_unchanged(dataset: OpenDataset, shard: Shard) -> None:
    """Look at the shard's files again: rows that were read from others would be lost or be there twice.

    Raises:
        DatasetChangedError: They are not the planned ones, or gone.
    """
    try:
        found = dataset.fingerprint(shard.start, shard.stop)
    except FileNotFoundError as error:
        raise DatasetChangedError(dataset.ref.path, shard.name) from error
    if found != shard.fingerprint:
        raise DatasetChangedError(dataset.ref.path, shard.name)
