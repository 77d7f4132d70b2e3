"""How far a run is, while it runs: a progress artifact, log lines, and whoever else listens.

Shards that run in this process report to the ``RunProgress`` of their flow run. Who listens here hears
of it every two seconds; the artifact, each update of which costs a server milliseconds, follows every
five. The time between two updates grows with what the last one took, to stay under a hundredth.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from pipeline_core.engine import Progress
from pipeline_core.errors import LeaseLostError
from pipeline_core.report import escape

_LEAST_INTERVAL_S = 2.0
_ARTIFACT_INTERVAL_S = 5.0
_LEAST_RATED_S = 1.0
_LOG_INTERVAL_S = 30.0
_MOST_OF_THE_TIME = 0.01

Listener = Callable[["RunProgress"], None]

_runs: dict[str, "RunProgress"] = {}
_listeners: list[Listener] = []


class RunProgress:
    """Rows of one run, done before and now.

    Args:
        rows: Rows of the whole run.
        title: What the run is called in its artifact.

    Attributes:
        rows: Rows of the whole run.
        done: Rows that are committed, or inferred by a shard that runs.
        quarantined: Rows without an answer among those.
        max_batch_tokens: The token budget of the last batch; None where there is none.
    """

    def __init__(self, rows: int, title: str) -> None:
        self.rows = rows
        self.title = title
        self.quarantined = 0
        self.max_batch_tokens: int | None = None
        self._committed = 0
        self._shards: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._inferring_since: float | None = None
        self._inferred = 0
        self._closed = False
        self._next_update = time.monotonic() + _LEAST_INTERVAL_S
        self._next_artifact = time.monotonic()
        self._next_log = time.monotonic() + _LOG_INTERVAL_S
        self._artifact: UUID | None = None
        self._logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = logging.getLogger(__name__)

    @property
    def done(self) -> int:
        """Rows that are committed, or inferred by a shard that runs."""
        return self._committed + sum(rows for rows, _ in self._shards.values())

    @property
    def rows_per_second(self) -> float | None:
        """Rows inferred in this process a second since the first; None in its first moments, which say nothing."""
        elapsed_s = 0.0 if self._inferring_since is None else time.monotonic() - self._inferring_since
        return self._inferred / elapsed_s if elapsed_s >= _LEAST_RATED_S else None

    def line(self) -> str:
        """Where the run is, in a line."""
        rate, left = self.rows_per_second, self.rows - self.done
        parts = [f"{self.done:,} of {self.rows:,} rows"]
        if rate:
            parts.append(f"{rate:,.1f} rows/s")
        if rate and left > 0:
            parts.append(f"{duration(left / rate)} left")
        if self.max_batch_tokens is not None:
            parts.append(f"{self.max_batch_tokens:,} tokens a batch")
        parts.append(f"{self.quarantined:,} quarantined")
        return ", ".join(parts)

    def inferring(self, shard: int, progress: Progress) -> None:
        """A shard has come this far.

        Raises:
            LeaseLostError: The run is over; a shard that is still being inferred could not be committed.
        """
        with self._lock:
            if self._closed:
                raise LeaseLostError(f"the run of {self.title!r} was stopped; this shard is left undone")
            if self._inferring_since is None:
                self._inferring_since = time.monotonic()
            before, bad = self._shards.get(shard, (0, 0))
            self._shards[shard] = (progress.rows, progress.failed)
            self._inferred += max(0, progress.rows - before)
            self.quarantined += progress.failed - bad
            self.max_batch_tokens = progress.max_batch_tokens
            if time.monotonic() < self._next_update:
                return
            self._next_update = math.inf  # until this update is through
        self._publish()

    def abandoned(self, shard: int) -> None:
        """A shard failed; what it had inferred is not there."""
        with self._lock:
            _, bad = self._shards.pop(shard, (0, 0))
            self.quarantined -= bad

    def committed(self, shard: int, rows: int, quarantined: int) -> None:
        """A shard is done, now or in an earlier run."""
        with self._lock:
            _, bad = self._shards.pop(shard, (0, 0))
            self._committed += rows + quarantined
            self.quarantined += quarantined - bad

    def open(self) -> None:
        """Create the artifact."""
        self._logger = get_run_logger()
        key = f"progress-{flow_run.id}"
        created = create_progress_artifact(progress=0.0, key=key, description=self._description())
        assert isinstance(created, UUID)
        self._artifact = created

    def close(self) -> None:
        """Bring the artifact up to date a last time, and stop shards that are still being inferred."""
        with self._lock:
            self._closed = True
        self._publish(last=True)

    def _publish(self, last: bool = False) -> None:
        started = time.monotonic()
        for listener in list(_listeners):
            try:
                listener(self)
            except OSError:  # whoever it wrote to has left, which is no reason to stop
                _listeners.remove(listener)
        if self._artifact is not None and (last or started >= self._next_artifact):
            self._next_artifact = started + _ARTIFACT_INTERVAL_S
            share = 100.0 * self.done / self.rows if self.rows else 100.0
            try:
                update_progress_artifact(self._artifact, progress=min(100.0, share), description=self._description())
            except Exception as error:  # a server that is away for a while costs the watching, not the run
                self._logger.warning("the progress artifact can't be updated: %s", error)
        if last or started >= self._next_log:
            self._logger.info(self.line())
            self._next_log = started + _LOG_INTERVAL_S
        took = time.monotonic() - started
        self._next_update = started + max(_LEAST_INTERVAL_S, took / _MOST_OF_THE_TIME)

    def _description(self) -> str:
        return f"**{escape(self.line())}**: {escape(self.title)}"


@contextmanager
def live_progress(progress: RunProgress) -> Iterator[RunProgress]:
    """Publish ``progress`` for the flow run that this is called in."""
    run_id = str(flow_run.id)
    progress.open()
    _runs[run_id] = progress
    try:
        yield progress
    finally:
        del _runs[run_id]
        progress.close()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` too whenever a run of this process publishes its progress."""
    _listeners.append(listener)
    try:
        yield
    finally:
        if listener in _listeners:
            _listeners.remove(listener)


def current_progress() -> RunProgress | None:
    """The progress of the flow run that the calling task belongs to; None in another process than the flow's."""
    return _runs.get(str(flow_run.id))


def duration(seconds: float) -> str:
    """Such as "41 s", "12 min" or "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
