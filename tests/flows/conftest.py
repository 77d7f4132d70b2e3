"""Fixtures of the flows' tests: small datasets, and the command in this process and in one of its own."""

import csv
import fcntl
import os
import pty
import random
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple
from unittest import mock

import psutil
import pytest
from tiny_models import WORDS

from pipeline_core import PipelineSpec


@pytest.fixture
def spec(build_model: Callable[[str], str]) -> PipelineSpec:
    """A classifier with the labels a, b and c, all of which it predicts for some of the reviews."""
    return PipelineSpec(task="text-classification", model=build_model("bert"), device="cpu")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A CSV file of 30 texts, each with a key, and a label that some of them lack."""
    path = tmp_path / "reviews.csv"
    draw = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text", "label"])
        for row in range(30):
            writer.writerow([f"r{row:02d}", " ".join(draw.choices(WORDS, k=3 + row)), draw.choice(["a", "B", "2", ""])])
    return path


class Ended(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def pipeline_flows(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """The command ``pipeline-flows`` in this process."""
    from flows.cli import main

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return Ended(left.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def many_rows(tmp_path: Path) -> Path:
    """A CSV file of 300 short texts."""
    path = tmp_path / "many.csv"
    draw = random.Random(5)
    lines = (f"m{row:03d},{' '.join(draw.choices(WORDS, k=draw.randrange(2, 12)))}" for row in range(300))
    path.write_text("\n".join(["key,text", *lines, ""]))
    return path


class Command:
    """``pipeline-flows`` as a process that leads a group of its own, in a pipe or on a terminal.

    Attributes:
        out: What it has written to stdout; on a terminal to stderr too.
        err: What it has written to stderr.
    """

    def __init__(self, words: Sequence[object], environment: dict[str, str], cwd: Path, terminal: bool) -> None:
        self._mark = uuid.uuid4().hex
        self._typed, given = pty.openpty() if terminal else (-1, subprocess.PIPE)
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("pipeline-flows"), *map(str, words)],
            env={**os.environ, **environment, "PIPELINE_FLOWS_TEST": self._mark, "TERM": "xterm", "COLUMNS": "120"},
            cwd=cwd,
            stdin=given if terminal else subprocess.DEVNULL,
            stdout=given,
            stderr=given,
            start_new_session=True,
            preexec_fn=_on_terminal if terminal else None,
        )
        self.out, self.err = "", ""
        if terminal:
            os.close(given)
            files = {"out": os.fdopen(self._typed, "rb", buffering=0)}
        else:
            files = {"out": self._process.stdout, "err": self._process.stderr}
        self._readers = [threading.Thread(target=self._read, args=item) for item in files.items()]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, condition: Callable[[], object], within_s: float = 120) -> None:
        """Wait until something is the case while the command runs."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"still waiting: {self.out}{self.err}"
            time.sleep(0.005)

    def wait_for_output(self, pattern: str) -> None:
        """Wait until it has written something like ``pattern``."""
        self.wait_for(lambda: re.search(pattern, self.out + self.err))

    def type(self, keys: str) -> None:
        """Press keys on its terminal."""
        os.write(self._typed, keys.encode())

    def send(self, number: int) -> None:
        """Send it a signal, and its children none."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it and all its children, in the middle of whatever they do."""
        os.killpg(self.pid, signal.SIGKILL)
        self.end()

    def end(self, within_s: float = 120) -> int:
        """Wait for its end and give its exit code."""
        code = self._process.wait(within_s)
        for reader in self._readers:
            reader.join()
        return code

    def processes_left(self) -> list[str]:
        """Everything that it started and that still runs."""
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("PIPELINE_FLOWS_TEST") == self._mark:
                    left.append(" ".join(process.cmdline()))
        return left

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.end()

    def _read(self, name: str, file: BinaryIO) -> None:
        with file, suppress(OSError):  # a terminal whose last writer has left reads as an error
            while block := os.read(file.fileno(), 65536):
                setattr(self, name, getattr(self, name) + block.decode())


def _on_terminal() -> None:
    """What a shell does for a command in the foreground; tests that run in the background ignore Ctrl-C themselves."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_command(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Command]]:
    """Start ``pipeline-flows``; ``server`` is the session's, or None for the one that Prefect embeds."""
    started: list[Command] = []
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "PIPELINE_FLOWS_CACHE": str(tmp_path / "cache")}

    def start(*words: object, cwd: Path = tmp_path, server: str | None = "", terminal: bool = False) -> Command:
        url = request.getfixturevalue("prefect_server") if server == "" else server
        environment = home if url is None else {**home, "PREFECT_API_URL": url}
        started.append(Command(words, environment, cwd, terminal))
        return started[-1]

    yield start
    for command in started:
        command.close()
