"""Run a flow in this process and show how far it is: a bar on a terminal, lines in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pipeline_core.report import headline
from pipeline_core.sink import RunSummary
from tasks.progress import RunProgress, listening

_LINE_INTERVAL_S = 10.0


def run_flow(name: str, **parameters: Any) -> RunSummary:
    """Run the flow of this name, with Prefect's own embedded server where none is set, and say what it did."""
    console = Console(stderr=True)
    with _shown(console):
        from flows import flows_by_name

        summary: RunSummary = flows_by_name()[name](**parameters)
    print(headline(summary))
    print(f"report: pipeline-flows report {summary.output}")
    return summary


@contextmanager
def _shown(console: Console) -> Iterator[None]:
    if not console.is_terminal:
        with listening(_lines()):
            yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("starting Prefect", total=None)

        def show(progress: RunProgress) -> None:
            bars.update(bar, description=progress.line(), total=progress.rows or 1, completed=progress.done)

        with listening(show):
            yield


def _lines() -> Callable[[RunProgress], None]:
    next_at = 0.0

    def show(progress: RunProgress) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            print(progress.line(), file=sys.stderr, flush=True)
            next_at = time.monotonic() + _LINE_INTERVAL_S

    return show
