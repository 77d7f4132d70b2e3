"""Run any pipeline over any dataset: plan shards, infer each one, commit, report."""

from prefect import flow
from prefect.runtime import flow_run

from flows.outcome import stating_outcome
from flows.parameters import DEFAULT_FAILURES, Batches, Dataset, Failures, Output, Pipeline, RowsPerShard, ShardsAtOnce
from pipeline_core.policies import BatchPolicy
from pipeline_core.sink import RunSummary
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec
from tasks.reports import report_run
from tasks.runs import run_pipeline


def run_name() -> str:
    """Task and dataset of the run that is about to start."""
    spec = PipelineSpec.model_validate(flow_run.parameters["spec"])
    dataset = DatasetRef.model_validate(flow_run.parameters["dataset"])
    return f"{spec.task} {dataset.path}"


@flow(name="batch-inference", flow_run_name=run_name)
@stating_outcome
def batch_inference(
    dataset: Dataset,
    output: Output,
    spec: Pipeline,
    failures: Failures = None,
    batch: Batches = None,
    rows_per_shard: RowsPerShard = None,
    shards_at_once: ShardsAtOnce = 1,
) -> RunSummary:
    """Predict every row of a dataset into one parquet dataset.

    A rerun with the same arguments skips the shards committed before.

    Args:
        dataset: A file, folder, URL or Hub dataset, and which of its columns and rows to take.
        output: The folder to write to.
        spec: The pipeline.
        failures: How many rows may end in quarantine before the run fails; a tenth unless set.
        batch: How to group rows; it changes no result, and is measured unless set.
        rows_per_shard: Rows that are committed together; about 16 shards unless set.
        shards_at_once: Shards in flight; those on one device still take turns.
    """
    batch, failures = batch or BatchPolicy(), failures or DEFAULT_FAILURES
    plan, summary = run_pipeline(dataset, output, spec, batch, failures, rows_per_shard, shards_at_once)
    report_run(plan, summary)
    return summary
