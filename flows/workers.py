"""The command ``pipeline-flows workers``: one for each GPU or several for the CPU, stopped together."""

import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from flows.device_binding import bindings
from flows.worker_process import Worker

_POLL_S = 0.5
_RESTART_S = 5.0
# Runs of a worker that died are told to stop, and need a moment to say so to the server.
_ORPHANS_S = 45.0

app = App(name="workers", help="Serve a work pool with this machine's devices.")


@app.command
def start(
    *,
    pool: Annotated[str, Parameter(help="The work pool to take runs from; of type process.")],
    count: Annotated[
        int | None,
        Parameter(
            help="Workers: one a visible GPU unless given, or one on a machine without.", validator=Number(gte=1)
        ),
    ] = None,
    cpu: Annotated[bool, Parameter(help="Leave GPUs alone and share the CPU's cores.", negative=())] = False,
    queue: Annotated[list[str] | None, Parameter(help="Take runs of these work queues only.", negative=())] = None,
    query_s: Annotated[float, Parameter(help="Seconds between two looks for runs.", validator=Number(gt=0))] = 5.0,
    stop_s: Annotated[
        float,
        Parameter(help="Seconds that runs have to stop in, when the workers are told to.", validator=Number(gt=0)),
    ] = 60.0,
    metrics_port: Annotated[int | None, Parameter(help="Serve Prometheus metrics of all workers here.")] = None,
) -> None:
    """Start one worker a visible GPU, or ``--count`` of them for the CPU, and stay until told to stop.

    Each takes one run at a time and sees its own device only. One that dies is started again. Ctrl-C or SIGTERM
    stops all: their runs leave whole shards behind, and other workers go on with them.
    """
    chosen = bindings(count, cpu=cpu)
    with ExitStack() as stack:
        environment = {"PREFECT_WORKER_QUERY_SECONDS": str(query_s)}
        if metrics_port is not None:
            from flows.metrics_server import serve_metrics

            folder = stack.enter_context(TemporaryDirectory(prefix="pipeline-flows-metrics-"))
            environment["PROMETHEUS_MULTIPROC_DIR"] = folder
            stack.enter_context(serve_metrics(metrics_port, folder))
        workers = [Worker(pool, binding, queue or [], environment) for binding in chosen]
        supervise(workers, stop_s)


def supervise(workers: Sequence[Worker], stop_s: float) -> None:
    """Keep the workers running until this process gets SIGINT or SIGTERM; then stop them all within ``stop_s``."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    died_at: dict[int, float] = {}
    try:
        for worker in workers:
            worker.start()
            print(f"worker {worker.name!r} serves pool {worker.pool!r}", flush=True)
        while not told.wait(_POLL_S):
            for place, worker in enumerate(workers):
                code = worker.ended()
                if code is None:
                    continue
                if place not in died_at:
                    print(f"worker {worker.name!r} ended with {code}; it starts again", file=sys.stderr, flush=True)
                    worker.tell_left()
                    died_at[place] = time.monotonic()
                    continue
                silent_s = time.monotonic() - died_at[place]
                if silent_s >= _RESTART_S and (silent_s >= _ORPHANS_S or not worker.left()):
                    worker.kill()
                    worker.start()
                    del died_at[place]
        _stop(workers, stop_s)
    finally:
        for worker in workers:
            worker.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(workers: Sequence[Worker], stop_s: float) -> None:
    for worker in workers:
        worker.signal(signal.SIGTERM)
    deadline = time.monotonic() + stop_s
    told: set[str] = set()
    while time.monotonic() < deadline:
        ended = [worker for worker in workers if worker.ended() is not None]
        for worker in ended:
            if worker.name not in told:
                worker.tell_left()
                told.add(worker.name)
        if len(ended) == len(workers) and not any(worker.left() for worker in workers):
            return
        time.sleep(0.2)
