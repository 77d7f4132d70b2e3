"""What can be looked at without a run: the tasks, this machine, an output folder."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from pipeline_core.sink import OutputFolder

_NEEDED = ("pipeline-flows", "torch", "transformers", "accelerate", "bitsandbytes", "datasets", "prefect", "pyarrow")
_OPTIONAL = {
    "PIL": ("images", "'pipeline-flows[vision]'"),
    "soundfile": ("audio files", "'pipeline-flows[audio]'"),
    "av": ("compressed audio and video", "'pipeline-flows[audio]'"),
    "soxr": ("resampling of audio", "'pipeline-flows[audio]'"),
    "sentencepiece": ("some tokenizers", "'pipeline-flows[sentencepiece]'"),
    "pytesseract": ("words on scanned pages", "'pipeline-flows[documents]'"),
    "prefect_dask": ("shards on Dask", "'pipeline-flows[dask]'"),
    "prefect_ray": ("shards on Ray", "'pipeline-flows[ray]'"),
    "s3fs": ("s3:// paths", "'pipeline-flows[s3]'"),
    "gcsfs": ("gs:// paths", "'pipeline-flows[gcs]'"),
}


def show_tasks() -> None:
    """Print every task, what it takes and what it does."""
    from flows.task_examples import describe
    from flows.task_pages import all_tasks, takes

    table = Table(Column("task", no_wrap=True), Column("takes", overflow="fold"), "what it does")
    for task in all_tasks():
        aliases = "".join(f"\n  = {alias}" for alias in task.aliases)
        table.add_row(task.name + aliases, escape(takes(task)), escape(describe(task)))
    Console().print(table)


def show_task(name: str) -> None:
    """Print what one task takes, what it needs, and a command that runs it.

    Raises:
        UnknownTaskError: No task has this name.
    """
    from flows.task_examples import describe, example_of
    from flows.task_pages import batches, generation_parameters, input_rows, own_parameters
    from pipeline_core.catalog import find_task
    from pipeline_core.requirements import PACKAGES, is_installed

    task = find_task(name)
    example = example_of(task)
    console = Console()

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True, highlight=False)

    also = f", also called {', '.join(task.aliases)}" if task.aliases else ""
    console.print(f"[bold]{task.name}[/bold]{also}: {escape(describe(task))}", soft_wrap=True)
    table = Table("input", "kind", "option", "columns taken unasked", box=None)
    for input_, kind, columns in input_rows(task):
        table.add_row(input_, kind, f"--{input_.replace('_', '-')}-column", columns)
    console.print(table)
    say(f"parameters: {own_parameters(task) or 'none'}")
    if task.generates:
        say(f"parameters of generation: {generation_parameters(task)}")
    say(f"batches: {batches(task)}")
    for package in task.requires:
        here = "installed" if is_installed(package) else f"missing: pip install {PACKAGES[package].install}"
        say(f"needs {package}: {here}")
    say(f"default model: {task.default_model or 'none'}")
    if example.row:
        say(f"for example, with this row in {example.rows_file}: {example.row}")
    else:
        say(f"for example, with files in {example.dataset}:")
    say(example.command)


def show_machine() -> None:
    """Print versions, devices with their memory and fastest dtype, and which optional packages are there."""
    from pipeline_core.devices import available_devices, device_name, fastest_dtype, memory_bytes, resolve_device
    from pipeline_core.tuning import cache_folder

    console = Console()
    table = Table("what", "here")
    table.add_row("Python", f"{sys.version.split()[0]} on {platform.platform()}")
    for name in _NEEDED:
        table.add_row(name, _version(name))
    for name in available_devices():
        device = resolve_device(name)
        free, total = memory_bytes(device)
        dtype = str(fastest_dtype(device)).removeprefix("torch.")
        text = f"{device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, fastest dtype {dtype}"
        table.add_row(f"device {name}", text)
    for module, (use, package) in _OPTIONAL.items():
        table.add_row(use, "yes" if find_spec(module) else escape(f"no: pip install {package}"))
    table.add_row("cache folder", str(cache_folder()))
    console.print(table)


def show_report(output: str, label_column: str | None = None) -> None:
    """Print a finished run's report, or how far an unfinished one is; with ``label_column``, how right it was.

    Raises:
        OutputNotFoundError: The folder is no run's output.
        ColumnNotFoundError: The output has no such column.
    """
    from pipeline_core.evaluation import evaluate_output
    from pipeline_core.report import markdown_report, rerun_command

    folder = OutputFolder(output)
    plan = folder.require_plan()
    summary = folder.read_summary()
    if summary is not None:
        evaluation = evaluate_output(folder, label_column) if label_column is not None else None
        markdown = markdown_report(plan, summary, evaluation)
        console = Console()
        if console.is_terminal:
            console.print(Markdown(markdown))
        else:
            print(markdown)
        return
    manifests = folder.manifests(plan)
    rows = sum(manifest.rows for manifest in manifests)
    bad = sum(manifest.quarantined for manifest in manifests)
    print(f"unfinished: {len(manifests)} of {len(plan.shards)} shards, {rows:,} rows answered, {bad:,} quarantined")
    print(f"go on with: {rerun_command(plan, output)}")


def show_accuracy(output: str, label_column: str) -> None:
    """Print in a line how often a run's predicted labels are those in ``label_column``."""
    from pipeline_core.evaluation import evaluate_output

    evaluation = evaluate_output(OutputFolder(output), label_column)
    print(f"accuracy {evaluation.accuracy:.2%} over {evaluation.rows:,} rows with a label")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
