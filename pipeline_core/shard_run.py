"""Infer one shard of a plan and commit it: the unit that a scheduler retries, skips and counts."""

from collections.abc import Callable

from pipeline_core.devices import device_slot
from pipeline_core.figures import Figures
from pipeline_core.inference import FailureBudget, Inference
from pipeline_core.loading import load_pipeline
from pipeline_core.manifest import ShardManifest
from pipeline_core.shards import RunPlan, Shard
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset
from pipeline_core.spec import BatchPolicy, FailurePolicy, PipelineSpec


def run_shard(
    shard: Shard,
    plan: RunPlan,
    spec: PipelineSpec,
    folder: OutputFolder,
    owner: str | None = None,
    batch: BatchPolicy | None = None,
    failures: FailurePolicy | None = None,
    on_progress: Callable[[Figures, int | None], None] = lambda figures, max_batch_tokens: None,
) -> ShardManifest:
    """Predict every row of a shard, then make it and its manifest appear in the folder at once.

    Shards of one process that run on one device take turns.

    Args:
        shard: A shard of ``plan``.
        plan: The plan that the folder adopted.
        spec: The plan's, with the token that a plan does not keep.
        folder: Where to write.
        owner: The lease under which to write.
        batch: How to group the rows.
        failures: How many rows of the whole run may fail.
        on_progress: Called after each row with the figures so far and the token budget of the next batch.

    Raises:
        FailureBudgetExceededError: The run has more bad rows than ``failures`` allows.
        LeaseLostError: Another run took the folder over.
        LoadError: The pipeline can't be loaded here.
    """
    dataset = open_dataset(plan.dataset, spec.task)
    budget = FailureBudget(failures or FailurePolicy(), plan.rows, folder.bad_rows(plan))
    records = dataset.records(shard.start, shard.stop)
    inference = Inference(spec, records, batch or BatchPolicy(), on_progress)
    with device_slot(load_pipeline(spec).device), folder.shard_writer(shard, plan, owner) as writer:
        for record, prediction in inference:
            writer.write(record, prediction)
            budget.count(prediction)
        return writer.commit(inference.figures)
