"""One of Prefect's workers, bound to a device, with whatever it starts: its runs can outlive it."""

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from flows.device_binding import Binding

_MARK = "PIPELINE_FLOWS_WORKER_MARK"


@dataclass
class Worker:
    """One of Prefect's workers as a process that leads a group of its own.

    Attributes:
        pool: The work pool that it takes runs from.
        binding: The device that it and its runs see.
        queues: The work queues that it serves; none for all of the pool's.
        environment: What its environment has besides this process' own.
    """

    pool: str
    binding: Binding
    queues: Sequence[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    _mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """Host and device, as the UI shows them."""
        return f"{socket.gethostname()} {self.binding.name}"

    def start(self) -> None:
        """Start it; one that runs must have ended."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", self.pool]
        command += ["--name", self.name, "--limit", "1"]
        for queue in self.queues:
            command += ["--work-queue", queue]
        self.process = subprocess.Popen(  # noqa: S603  # the words are this module's
            command,
            env={
                # Without it nobody could tell a run whose machine is gone from a slow one.
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
                **os.environ,
                **self.environment,
                **self.binding.environment,
                "PIPELINE_FLOWS_WORKER": self.name,
                _MARK: self._mark,
            },
            stdin=subprocess.DEVNULL,
            # A terminal's Ctrl-C must reach it once, by way of this process.
            start_new_session=True,
        )

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: int) -> None:
        """Send it a signal; its runs get theirs from it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def left(self) -> list[psutil.Process]:
        """Whatever it has started, directly or not, and still runs; those of a worker that died have no parent."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.pid != self._pid:
                    found.append(process)
        return found

    def tell_left(self) -> None:
        """Tell what it has left to stop: a run then says to the server that it was, and frees its folder."""
        for process in self.left():
            with suppress(psutil.Error):
                process.terminate()

    def kill(self) -> None:
        """End it and whatever it has started, at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for process in self.left():
                with suppress(psutil.Error):
                    process.kill()

    @property
    def _pid(self) -> int | None:
        return None if self.process is None else self.process.pid
