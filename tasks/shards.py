"""Plan a run, infer its shards, commit it: what Prefect sees, names and retries."""

from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed

from pipeline_core.engine import Progress
from pipeline_core.evaluation import open_labelled
from pipeline_core.inference import FailureBudget
from pipeline_core.pinning import pin
from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.shard_run import run_shard
from pipeline_core.shards import RunPlan, Shard, plan_shards
from pipeline_core.sink import OutputFolder, OutputRef, RunSummary, ShardManifest
from pipeline_core.sources import DatasetRef, open_dataset
from pipeline_core.spec import PipelineSpec
from tasks.metrics import count_shard
from tasks.policies import RETRIES, RETRY_DELAYS_S, can_end_differently, smaller_each_attempt
from tasks.progress import RunProgress, current_progress


@task(task_run_name="plan", cache_policy=NO_CACHE, retries=1, retry_condition_fn=can_end_differently)
def plan_run(
    dataset: DatasetRef,
    spec: PipelineSpec,
    output: OutputRef,
    owner: str,
    rows_per_shard: int | None,
    label_column: str | None = None,
) -> RunPlan:
    """Cut the dataset into shards and make the folder that plan's.

    Raises:
        SourceError: The dataset can't be read as described, or has no ``label_column``.
        SpecError: The labels in ``label_column`` can't be compared with what the pipeline predicts.
        OutputMismatchError: The folder holds another plan's output.
    """
    pinned = pin(spec)
    if label_column is None:
        opened = open_dataset(dataset, spec.task, spec.parameters)
    else:
        opened = open_labelled(dataset, pinned.spec, label_column)
    plan = plan_shards(opened, pinned.spec, rows_per_shard, pinned.model, output.arrays)
    OutputFolder(output).adopt(plan, owner)
    get_run_logger().info("%s rows in %s shards", f"{plan.rows:,}", f"{len(plan.shards):,}")
    return plan


@task(
    task_run_name="{shard.name}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=can_end_differently,
)
def infer_shard(
    shard: Shard,
    spec: PipelineSpec,
    output: OutputRef,
    owner: str,
    batch: BatchPolicy,
    failures: FailurePolicy,
    bad_rows_before: int = 0,
) -> Any:
    """Predict every row of a shard and commit it, unless the folder has it already.

    The folder is the cache: a shard whose manifest fits its files, to the byte, ends as Cached. A copy
    of the result elsewhere could only be wrong, once the files are gone.

    Raises:
        FailureBudgetExceededError: The run has more bad rows than ``failures`` allows.
        LeaseLostError: Another run took the folder over.
    """
    folder = OutputFolder(output)
    plan = folder.require_plan()
    progress = current_progress()
    manifest = folder.committed(shard, plan)
    if manifest is not None:
        _report_commit(progress, shard, manifest)
        return Completed(name="Cached", message="the folder has this shard", data=manifest)
    try:
        smaller = smaller_each_attempt(batch, spec)
        report = _reporting(progress, shard)
        manifest = run_shard(shard, plan, spec, folder, owner, smaller, failures, report, bad_rows_before)
    except BaseException:
        if progress is not None:
            progress.abandoned(shard.index)
        raise
    count_shard(spec.task, manifest)
    _report_commit(progress, shard, manifest)
    return manifest


@task(task_run_name="commit", cache_policy=NO_CACHE, retries=1, retry_condition_fn=can_end_differently)
def commit_run(plan: RunPlan, output: OutputRef, owner: str, failures: FailurePolicy) -> RunSummary:
    """Verify that every shard is there and write the run's summary.

    Raises:
        OutputError: A shard is missing.
        FailureBudgetExceededError: The shards, each within ``failures``, have too many bad rows together.
    """
    folder = OutputFolder(output)
    FailureBudget(failures, plan.rows, folder.bad_rows(plan)).close()
    return folder.commit_run(plan, owner)


def _reporting(progress: RunProgress | None, shard: Shard) -> Callable[[Progress], None]:
    def report(shard_progress: Progress) -> None:
        if progress is not None:
            progress.inferring(shard.index, shard_progress)

    return report


def _report_commit(progress: RunProgress | None, shard: Shard, manifest: ShardManifest) -> None:
    if progress is not None:
        progress.committed(shard.index, manifest.rows, manifest.quarantined)
