"""One run from its claim on the output folder to its summary, as the tasks that Prefect sees."""

from collections import deque
from typing import Any, NamedTuple

from prefect.runtime import deployment

from pipeline_core.access import AccessPolicy
from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.shards import RunPlan
from pipeline_core.sink import OutputFolder, OutputRef, RunSummary, ShardManifest
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec
from tasks.progress import RunProgress, live_progress
from tasks.secrets import load_secrets
from tasks.shards import commit_run, infer_shard, plan_run

# By then the lease of a run whose machine is gone has expired.
TAKEOVER_S = 75.0


class FinishedRun(NamedTuple):
    """What was to be done, and what was."""

    plan: RunPlan
    summary: RunSummary


def run_pipeline(
    dataset: DatasetRef,
    output: OutputRef,
    spec: PipelineSpec,
    batch: BatchPolicy,
    failures: FailurePolicy,
    rows_per_shard: int | None,
    shards_at_once: int,
    label_column: str | None = None,
) -> FinishedRun:
    """Plan, infer and commit a run, inside a flow.

    Raises:
        AccessRefusedError: A deployment's run names data, code or weights that its owner has not allowed.
        ColumnNotFoundError: The dataset lacks a column; ``label_column`` is one that the output must keep.
        OutputInUseError: Another run that is alive holds the output folder.
        OutputMismatchError: The folder holds another plan's output.
        FailureBudgetExceededError: More rows failed than ``failures`` allows.
    """
    load_secrets()
    if deployment.id is not None:
        AccessPolicy.from_environment().check(dataset, output, spec)
    with OutputFolder(output).claim(wait_s=TAKEOVER_S if deployment.id is not None else 0.0) as lease:
        plan = plan_run(dataset, spec, output, lease.owner, rows_per_shard, label_column)
        with live_progress(RunProgress(plan.rows, f"{plan.spec.task} over {plan.dataset.path}")):
            infer_shards(
                plan,
                shards_at_once,
                spec=plan.spec,
                output=OutputRef(path=output.path),
                owner=lease.owner,
                batch=batch,
                failures=failures,
            )
        return FinishedRun(plan, commit_run(plan, output, lease.owner, failures))


def infer_shards(plan: RunPlan, at_once: int, **arguments: Any) -> list[ShardManifest]:
    """Run ``infer_shard`` for every shard of the plan, no more than ``at_once`` at a time.

    A shard that fails ends the run before the ones behind it start.
    """
    manifests: list[ShardManifest] = []
    running: deque[Any] = deque()
    for shard in plan.shards:
        if len(running) >= at_once:
            manifests.append(running.popleft().result())
        bad_rows = sum(manifest.quarantined for manifest in manifests)
        running.append(infer_shard.submit(shard, **arguments, bad_rows_before=bad_rows))
    return manifests + [future.result() for future in running]
