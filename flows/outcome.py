"""What a run came to, in a line: the message of the state that it ends in."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from itertools import pairwise
from typing import Any, ParamSpec, TypeVar

from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from pipeline_core.device_threads import stopping_when_interrupted
from pipeline_core.errors import FailureBudgetExceededError, OutputInUseError, OutputMismatchError, SpecError
from pipeline_core.figures import BudgetChange, Figures
from pipeline_core.meeting.transcription import TranscriptionSummary
from pipeline_core.meeting.transcription_report import transcription_headline
from pipeline_core.sink import OutputFolder, OutputRef, RunSummary

Parameters = ParamSpec("Parameters")
Summary = TypeVar("Summary", RunSummary, TranscriptionSummary)

TOO_MANY_BAD_ROWS = "TooManyBadRows"
"""The name of the state of runs that failed because more rows did than is allowed."""

_MESSAGE_LENGTH = 1000


def stating_outcome(flow: Callable[Parameters, Summary]) -> Callable[Parameters, Summary]:
    """End the flow in a state whose message says what was committed, why it stopped, and what to do.

    Who calls the flow gets its summary, or its error, as before. What interrupts it, Ctrl-C or a signal, ends what is
    being computed at its next step: Prefect waits for the tasks that have begun.
    """

    @wraps(flow)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
        try:
            with stopping_when_interrupted():
                summary = flow(*args, **kwargs)
        except Exception as error:
            get_run_logger().error("the run failed", exc_info=error)
            output = signature(flow).bind(*args, **kwargs).arguments["output"]
            name = TOO_MANY_BAD_ROWS if isinstance(error, FailureBudgetExceededError) else None
            return Failed(name=name, message=failed_line(output, error), data=error)
        return Completed(message=completed_line(summary), data=summary)

    return run


def completed_line(summary: RunSummary | TranscriptionSummary) -> str:
    """Such as "1,000,000 of 1,000,000 rows committed, 37 quarantined; in s3://bucket/table"."""
    if isinstance(summary, TranscriptionSummary):
        return transcription_headline(summary)
    rows = summary.rows + summary.quarantined
    return f"{_committed(rows, rows, summary.quarantined, summary.figures)}; in {summary.output}"


def failed_line(output: OutputRef, error: Exception) -> str:
    """Such as "912,000 of 1,000,000 rows committed, 37 quarantined; rerun to resume; OSError: no space left".

    A folder that is another run's, or a run that could not even begin, has nothing to be said of but the error.
    """
    why = " ".join(f"{type(error).__name__}: {error}".split())[:_MESSAGE_LENGTH]
    if isinstance(error, SpecError | OutputMismatchError | OutputInUseError):
        return why
    folder = OutputFolder(output)
    plan = folder.read_plan()
    if plan is None:
        return why
    manifests = folder.manifests(plan)
    quarantined = sum(manifest.quarantined for manifest in manifests)
    rows = sum(manifest.rows for manifest in manifests) + quarantined
    figures = Figures.total(manifest.figures for manifest in manifests)
    return f"{_committed(rows, plan.rows, quarantined, figures)}; rerun to resume; {why}"


def _committed(rows: int, of: int, quarantined: int, figures: Figures) -> str:
    line = f"{rows:,} of {of:,} rows committed, {quarantined:,} quarantined"
    fall = _fall(figures.budgets)
    return line + (f", budget fell {fall} tokens" if fall else "")


def _fall(budgets: list[BudgetChange]) -> str:
    """From which budget to which running out of memory has led, if it has."""
    for before, after in pairwise(budgets):
        if after.reason == "out of memory":
            lowest = min(change.max_batch_tokens for change in budgets if change.reason == "out of memory")
            return f"{before.max_batch_tokens:,} -> {lowest:,}"
    return ""
