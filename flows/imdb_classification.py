"""Classify movie reviews, and compare with the labels where the dataset has some."""

from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run

from flows.outcome import stating_outcome
from flows.parameters import DEFAULT_FAILURES, Batches, Failures, Output, RowsPerShard, ShardsAtOnce, shown
from pipeline_core.policies import BatchPolicy
from pipeline_core.sink import RunSummary
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec
from tasks.reports import evaluate_labels, report_run
from tasks.runs import run_pipeline

IMDB = DatasetRef(path="stanfordnlp/imdb", split="test", column="text")
SENTIMENT = PipelineSpec(task="text-classification", model="distilbert/distilbert-base-uncased-finetuned-sst-2-english")


def run_name() -> str:
    """Dataset of the run that is about to start."""
    given = flow_run.parameters.get("dataset")
    return f"classify {DatasetRef.model_validate(given).path if given is not None else IMDB.path}"


@flow(name="imdb-classification", flow_run_name=run_name)
@stating_outcome
def imdb_classification(
    output: Output,
    dataset: Annotated[DatasetRef, shown("Dataset", IMDB)] = IMDB,
    spec: Annotated[PipelineSpec, shown("Pipeline", SENTIMENT)] = SENTIMENT,
    label_column: Annotated[str | None, shown("Label column")] = "label",
    failures: Failures = None,
    batch: Batches = None,
    rows_per_shard: RowsPerShard = None,
    shards_at_once: ShardsAtOnce = 1,
) -> RunSummary:
    """Label every review of a dataset, and report how often the labels it has are met.

    A rerun with the same arguments skips the shards committed before.

    Args:
        output: The folder to write to.
        dataset: The reviews; the test split of IMDB unless set.
        spec: A text-classification pipeline.
        label_column: The column of the actual labels: the model's labels, or their numbers. Null for none.
        failures: How many rows may end in quarantine before the run fails; a tenth unless set.
        batch: How to group rows; it changes no result, and is measured unless set.
        rows_per_shard: Rows that are committed together; about 16 shards unless set.
        shards_at_once: Shards in flight; those on one device still take turns.
    """
    batch, failures = batch or BatchPolicy(), failures or DEFAULT_FAILURES
    plan, summary = run_pipeline(dataset, output, spec, batch, failures, rows_per_shard, shards_at_once, label_column)
    evaluation = evaluate_labels(output, label_column) if label_column is not None else None
    report_run(plan, summary, evaluation)
    return summary
