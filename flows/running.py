"""Run a flow in this process and show how far it is: a bar on a terminal, lines in a pipe."""

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from prefect import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pipeline_core.meeting.transcription import TranscriptionSummary
from pipeline_core.meeting.transcription_report import transcription_headline
from pipeline_core.report import headline
from pipeline_core.sink import RunSummary
from tasks.progress import RunProgress, listening

_LINE_INTERVAL_S = 10.0


def run_flow(name: str, **parameters: Any) -> RunSummary:
    """Run the flow of this name, with Prefect's own embedded server where none is set, and say what it did.

    Raises:
        SystemExit: The process was told to terminate.
    """
    with _exit_on_sigterm(), _shown(Console(stderr=True)), heartbeats_where_watched():
        from flows import flows_by_name

        flow = flows_by_name()[name]
        _start_server()
        summary: RunSummary = flow(**parameters)
    print(headline(summary))
    print(f"report: {shlex.join(['pipeline-flows', 'report', summary.output])}")
    return summary


def run_transcription(**parameters: Any) -> TranscriptionSummary:
    """Run the flow of transcriptions as ``run_flow`` runs others, and say what it did.

    Raises:
        SystemExit: The process was told to terminate.
    """
    with _exit_on_sigterm(), heartbeats_where_watched():
        from flows.meeting_transcription import meeting_transcription

        _start_server()
        summary: TranscriptionSummary = meeting_transcription(**parameters)
    print(transcription_headline(summary))
    return summary


def _start_server() -> None:
    """Start the embedded server, if there is to be one, where a terminal's Ctrl-C does not reach it.

    Otherwise it would die before the flow that Ctrl-C stops, which then waits for it for a minute.
    """
    started: Future[None] = Future()

    def start() -> None:
        # A process inherits the signals that the thread which starts it has blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            get_client(sync_client=True)
            started.set_result(None)
        except Exception as error:
            started.set_exception(error)

    threading.Thread(target=start, daemon=True).start()
    started.result()


@contextmanager
def heartbeats_where_watched() -> Iterator[None]:
    """Send none to an embedded server, which ends with the run and so can't notice that the run has died.

    The thread that sends them holds up the end of a run, by up to a second.
    """
    embedded = PREFECT_API_URL.value() is None
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if embedded else {}):
        yield


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Leave by way of Python's own exit, which stops the embedded server.

    Prefect catches SIGTERM to record it, then hands it on to the handler that it found.
    """
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
