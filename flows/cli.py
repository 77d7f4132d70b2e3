"""The command ``pipeline-flows``: run, classify, preview, tasks, doctor, report.

Exit codes: 0 done, 1 failed, 2 asked for something that can't be run as written, 3 more bad rows than
allowed, or recordings without a transcript, 4 the output folder is another run's or another plan's, 130 interrupted,
143 terminated.
"""

import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from pydantic import ValidationError

from flows.options import BatchOptions, FailureOptions, PipelineOptions, RowOptions, RunOptions
from flows.task_options import spelled_out
from pipeline_core.errors import (
    FailureBudgetExceededError,
    LeaseLostError,
    LoadError,
    OutputInUseError,
    OutputMismatchError,
    OutputNotFoundError,
    PipelineFlowsError,
    RecordingsFailedError,
    SourceError,
    SpecError,
)
from pipeline_core.sources import DatasetRef, check_exists
from pipeline_core.spec import PipelineSpec

_TASK_COMMANDS = ("run", "classify", "preview")
DONE, FAILED, WRONG, TOO_MANY_BAD_ROWS, OUTPUT_TAKEN, INTERRUPTED = 0, 1, 2, 3, 4, 130

app = App(
    name="pipeline-flows",
    help="Hugging Face pipelines over datasets, as Prefect runs that resume.",
    help_epilogue="--debug, with any command, shows the logs and the traceback of an error.",
    version=lambda: version("pipeline-flows"),
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

Task = Annotated[str, Parameter(help="Such as text-classification; pipeline-flows tasks lists all.")]
Dataset = Annotated[str, Parameter(help="A file, folder, glob, URL, Hub dataset, or demo:reviews.")]
Output = Annotated[str, Parameter(help="The folder to write to, or its URL.")]
LabelColumn = Annotated[str | None, Parameter(help="The column of the actual labels, to compare with.")]


@app.command
def run(
    task: Task,
    /,
    *,
    dataset: Dataset,
    output: Output,
    rows: RowOptions | None = None,
    pipeline: PipelineOptions | None = None,
    batch: BatchOptions | None = None,
    failures: FailureOptions | None = None,
    options: RunOptions | None = None,
) -> None:
    """Run any pipeline over a dataset.

    The same command again goes on with a run that was stopped, and does nothing twice.

    Each parameter of the task is an option by its name, such as --max-new-tokens 20,
    --candidate-label cat; each input too, as --question-column q. pipeline-flows tasks TASK lists both.
    """
    spec = (pipeline or PipelineOptions()).spec(task)
    _run("batch-inference", output, (rows or RowOptions()).of(dataset), spec, batch, failures, options)


@app.command
def classify(
    dataset: Dataset,
    /,
    *,
    output: Output,
    label_column: LabelColumn = None,
    rows: RowOptions | None = None,
    pipeline: PipelineOptions | None = None,
    batch: BatchOptions | None = None,
    failures: FailureOptions | None = None,
    options: RunOptions | None = None,
) -> None:
    """Classify texts, and compare with the labels they have.

    The same command again goes on with a run that was stopped, and does nothing twice.
    """
    spec = (pipeline or PipelineOptions()).spec("text-classification", default_model="demo:sentiment")
    chosen = (rows or RowOptions()).of(dataset)
    _run("imdb-classification", output, chosen, spec, batch, failures, options, label_column=label_column)
    if label_column is not None:
        from flows.inspection import show_accuracy

        show_accuracy(output, label_column)


@app.command
def preview(
    task: Task,
    /,
    *,
    dataset: Dataset,
    first: Annotated[int, Parameter(help="Rows to try.", validator=Number(gte=1))] = 20,
    rows: RowOptions | None = None,
    pipeline: PipelineOptions | None = None,
    batch: BatchOptions | None = None,
) -> None:
    """Try a pipeline on a few rows.

    It prints their predictions, what is cut off, the rate, and the time that all rows would take.

    Each parameter of the task is an option by its name, and each input is --INPUT-column, as for run.
    """
    from flows.preview import show_preview

    spec = (pipeline or PipelineOptions()).spec(task)
    show_preview(spec, (rows or RowOptions()).of(dataset), (batch or BatchOptions()).policy(), first)


@app.command
def tasks(task: Annotated[str | None, Parameter(help="The one to describe.")] = None, /) -> None:
    """List the pipeline tasks, or say what one takes."""
    from flows.inspection import show_task, show_tasks

    if task is None:
        show_tasks()
    else:
        show_task(task)


@app.command
def doctor() -> None:
    """Say what this machine has.

    It prints versions, devices with their memory and fastest dtype, and which optional packages are there.
    """
    from flows.inspection import show_machine

    show_machine()


@app.command
def report(
    output: Annotated[str, Parameter(help="The folder that the run wrote to, or its URL.")],
    /,
    *,
    label_column: LabelColumn = None,
) -> None:
    """Print what a run did, or how far it is."""
    from flows.inspection import show_report

    show_report(output, label_column)


app.command("flows.transcribing:app", name="transcribe", help="Turn recordings into transcripts.")
app.command("flows.replaying:replay", name="replay", help="Infer the rows in quarantine again, and no others.")
app.command("flows.status:status", name="status", help="List the server's runs: how far they are, or how they ended.")
app.command("flows.status:resume", name="resume", help="Go on with a run that failed, crashed or was cancelled.")
app.command("flows.workers:app", name="workers", help="Serve a work pool with the devices of this machine.")
app.command("flows.alerts:app", name="alerts", help="Tell people of runs that fail, and resume those that crash.")


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    # A worker's own output is its log.
    _quiet_libraries(debug or given[:1] == ["workers"])
    sys.exit(_exit_code(lambda: app(_spelled_out(given), exit_on_error=False, print_error=False), debug))


def _spelled_out(given: list[str]) -> list[str]:
    """The arguments, with the options that a task brings in terms of the command's own."""
    if not given or given[0] not in _TASK_COMMANDS:
        return given
    command = app[given[0]]
    known = {name for argument in command.assemble_argument_collection() for name in argument.names}
    return spelled_out(given, known | {"--help", "--version"})


def _exit_code(command: Callable[[], object], debug: bool) -> int:
    try:
        command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one was", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_one_line(_message(error))}", file=sys.stderr)
        return _code_of(error)
    return DONE


def _code_of(error: Exception) -> int:
    if isinstance(error, FailureBudgetExceededError | RecordingsFailedError):
        return TOO_MANY_BAD_ROWS
    if isinstance(error, OutputMismatchError | OutputInUseError | LeaseLostError):
        return OUTPUT_TAKEN
    if isinstance(error, SpecError | SourceError | LoadError | OutputNotFoundError | ValidationError | CycloptsError):
        return WRONG
    return FAILED


def _message(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problems = []
        for problem in error.errors():
            place = str(next(iter(problem["loc"]), ""))
            text = problem["msg"].removeprefix("Value error, ")
            problems.append(text if place in text else f"{place}: {text}")
        return "; ".join(problems)
    if isinstance(error, PipelineFlowsError | CycloptsError):
        return str(error)
    return f"{type(error).__name__}: {error} (run again with --debug for the traceback)"


def _one_line(message: str) -> str:
    """The message's lines in one, without what a row's text could do to a terminal."""
    line = "; ".join(filter(None, map(str.strip, message.splitlines())))
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _run(
    flow: str,
    output: str,
    dataset: DatasetRef,
    spec: PipelineSpec,
    batch: BatchOptions | None,
    failures: FailureOptions | None,
    options: RunOptions | None,
    **more: object,
) -> None:
    from flows.running import run_flow

    check_exists(dataset)  # before seconds go by until Prefect has started
    options = options or RunOptions()
    run_flow(
        flow,
        dataset=dataset,
        output={"path": output, "replace": options.replace, "arrays": options.arrays},
        spec=spec,
        batch=(batch or BatchOptions()).policy(),
        failures=(failures or FailureOptions()).policy(),
        rows_per_shard=options.rows_per_shard,
        shards_at_once=options.shards_at_once,
        **more,
    )


def _quiet_libraries(debug: bool) -> None:
    """Keep other libraries' bars and logs off the terminal; Prefect's still reach its server."""
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    if not debug:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    main()
