"""Run any pipeline over any dataset: plan shards, infer each one, commit, report."""

from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.outcome import stating_outcome
from pipeline_core.sink import OutputRef, RunSummary
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import BatchPolicy, FailurePolicy, PipelineSpec
from tasks.reports import report_run
from tasks.runs import run_pipeline

DEFAULT_FAILURES = FailurePolicy(max_bad_fraction=0.1)


def run_name() -> str:
    """Task and dataset of the run that is about to start."""
    spec = PipelineSpec.model_validate(flow_run.parameters["spec"])
    dataset = DatasetRef.model_validate(flow_run.parameters["dataset"])
    return f"{spec.task} {dataset.path}"


@flow(name="batch-inference", flow_run_name=run_name)
@stating_outcome
def batch_inference(
    dataset: DatasetRef,
    output: OutputRef,
    spec: PipelineSpec,
    batch: BatchPolicy = BatchPolicy(),
    failures: FailurePolicy = DEFAULT_FAILURES,
    rows_per_shard: Annotated[int, Field(ge=1)] | None = None,
    shards_at_once: Annotated[int, Field(ge=1)] = 1,
) -> RunSummary:
    """Predict every row of a dataset into one parquet dataset.

    A rerun with the same arguments skips the shards committed before.

    Args:
        dataset: A file, folder, URL or Hub dataset, and which of its columns and rows to take.
        output: The folder to write to.
        spec: The pipeline.
        batch: How to group rows; it changes no result.
        failures: How many rows may end in quarantine before the run fails; a tenth unless set.
        rows_per_shard: Rows that are committed together; about 16 shards unless set.
        shards_at_once: Shards in flight; those on one device still take turns.
    """
    plan, summary = run_pipeline(dataset, output, spec, batch, failures, rows_per_shard, shards_at_once)
    report_run(plan, summary)
    return summary
