"""What a finished run leaves in Prefect's UI: a Markdown report and a table of its figures."""

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from pipeline_core.evaluation import Evaluation, evaluate_output
from pipeline_core.report import figure_rows, headline, markdown_report, table_rows
from pipeline_core.shards import RunPlan
from pipeline_core.sink import OutputFolder, OutputRef, RunSummary


@task(task_run_name="evaluate", cache_policy=NO_CACHE)
def evaluate_labels(output: OutputRef, label_column: str) -> Evaluation:
    """Compare the predicted labels with a column that the output kept.

    Raises:
        SpecError: A label of the dataset is none of the model's.
    """
    return evaluate_output(OutputFolder(output), label_column)


@task(task_run_name="report", cache_policy=NO_CACHE)
def report_run(plan: RunPlan, summary: RunSummary, evaluation: Evaluation | None = None) -> None:
    """Create the artifacts ``report-RUN`` (Markdown) and ``figures-RUN`` (table)."""
    create_markdown_artifact(
        key=f"report-{flow_run.id}",
        markdown=markdown_report(plan, summary, evaluation),
        description=headline(summary),
    )
    create_table_artifact(key=f"figures-{flow_run.id}", table=table_rows(figure_rows(summary)))
