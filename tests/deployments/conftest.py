"""A whole installation on this machine: server, pool, deployments, automations, workers, a webhook that listens."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
WORDS = "a quiet triumph two hours want back dull great wonderful terrible boring movie film acting".split()  # noqa: SIM905


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_reviews(path: Path, rows: int, words: int = 20) -> Path:
    """A CSV of short reviews, each with a key."""
    draw = random.Random(rows)
    lines = (f"r{row:06d},{' '.join(draw.choices(WORDS, k=draw.randrange(3, words)))}" for row in range(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["key,text", *lines, ""]))
    return path


class Installation:
    """A server of its own with what a team deploys on it.

    Attributes:
        data: The folder that runs may read and write.
        told: Messages that the webhook has received.
    """

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.told: list[dict[str, Any]] = []
        self._folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PIPELINE_FLOWS_DATA": str(self.data),
            "PIPELINE_FLOWS_CACHE": str(folder / "cache"),
        }
        server = {
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
            "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "3",
            "PREFECT_API_SERVICES_LATE_RUNS_AFTER_SECONDS": "600",
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        }
        if database is not None:
            server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        self.start("server", *words, environment=server)
        self.wait_for(lambda: self._is_healthy(), "the server", within_s=180)

    def _is_healthy(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health").status_code == 200
        return False

    def start(self, name: str, *words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program in a group of its own; what it writes goes to NAME.log."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                env={**self.environment, **(environment or {})},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append((name, process))
        return process

    def command(self, *words: object) -> str:
        """Run a command to its end, from the project's folder."""
        program = [sys.executable, "-m", "prefect"] if words[0] == "prefect" else [sys.executable, "-m", "flows.cli"]
        done = subprocess.run(
            [*program, *map(str, words[1:])],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def deploy(self) -> None:
        """What the documents say a team does once."""
        template = "deployments/work_pools/process-cpu.json"
        words = [
            "work-pool",
            "create",
            "inference",
            "--type",
            "process",
            "--base-job-template",
            template,
            "--overwrite",
        ]
        self.command("prefect", "--no-prompt", *words)
        for queue, priority in (("ad-hoc", 1), ("nightly", 10)):
            self.command("prefect", "work-queue", "create", queue, "--pool", "inference", "--priority", priority)
        self.command("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")

    def listen(self) -> str:
        """Start a webhook and give its Apprise URL."""
        told = self.told

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._webhook = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
        threading.Thread(target=self._webhook.serve_forever, daemon=True).start()
        self.address = f"json://127.0.0.1:{self._webhook.server_port}/"
        return self.address

    def start_workers(self, *words: object, **environment: str) -> subprocess.Popen[bytes]:
        """Start ``pipeline-flows workers start`` for the CPU."""
        pool = [] if "--pool" in words else ["--pool", "inference"]
        program = [sys.executable, "-m", "flows.cli", "workers", "start", *pool, "--cpu", "--query-s", "1"]
        return self.start("workers", *program, *map(str, words), environment=environment)

    def api(self, method: str, path: str, content: Any = None) -> Any:
        """Ask the server."""
        answer = httpx.request(method, self.url + path, json=content, timeout=30)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def deployment_id(self, name: str) -> str:
        """The id of the deployment FLOW/NAME."""
        return str(self.api("GET", f"/deployments/name/{name}")["id"])

    def run(self, name: str, parameters: dict[str, Any] | None = None, **more: Any) -> str:
        """Create a run of a deployment that is due now, and give its id."""
        content = {"parameters": parameters or {}, "state": {"type": "SCHEDULED"}, **more}
        made = self.api("POST", f"/deployments/{self.deployment_id(name)}/create_flow_run", content)
        return str(made["id"])

    def states(self, run: str) -> list[tuple[str, str]]:
        """Name and message of all states that the run has been in."""
        found = self.api("GET", f"/flow_run_states/?flow_run_id={run}")
        return [(state["name"], state["message"] or "") for state in sorted(found, key=lambda s: s["timestamp"])]

    def wait_for_state(self, run: str, *names: str, within_s: float = 300) -> tuple[str, str]:
        """Wait until the run is in one of these states; its name and message."""

        def reached() -> bool:
            return self.states(run)[-1][0] in names

        self.wait_for(reached, f"{names} of {self.states(run)}", within_s)
        return self.states(run)[-1]

    def wait_for(self, condition: Callable[[], object], what: str, within_s: float = 120) -> None:
        """Wait until something is the case."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"still waiting for {what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of what all programs have written."""
        return "\n".join(f"== {path}\n{path.read_text()[-4000:]}" for path in sorted(self._folder.glob("*.log")))

    def close(self) -> None:
        """End everything."""
        if hasattr(self, "_webhook"):
            self._webhook.shutdown()
            self._webhook.server_close()
        self.kill_all_but()

    def kill_all_but(self, *names: str) -> None:
        """End all programs but those of these names."""
        for name, process in reversed(self._processes):
            if name not in names and process.poll() is None:
                kill_with_children(process.pid)
                process.wait()


def kill_with_children(pid: int) -> None:
    """What a power cut does to a process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()  # so that it starts nothing while its children are counted
        children = process.children(recursive=True)
        for found in [process, *children]:
            with suppress(psutil.NoSuchProcess):
                found.kill()


@pytest.fixture(scope="session")
def sqlite_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    yield from _installed(tmp_path_factory.mktemp("installation"), None)


@pytest.fixture(scope="module")
def installation(sqlite_installation: Installation) -> Iterator[Installation]:
    """A server on SQLite with the pool and all deployments, and no worker until a test starts some."""
    yield sqlite_installation
    sqlite_installation.kill_all_but("server")


@pytest.fixture(scope="module")
def installation_on_postgresql(postgresql_installation: Installation) -> Iterator[Installation]:
    """The same on PostgreSQL, where that is installed."""
    yield postgresql_installation
    postgresql_installation.kill_all_but("server")


@pytest.fixture(scope="session")
def postgresql_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("postgresql")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(programs[-1]) if programs else None)
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    bin_folder = Path(found).resolve().parent
    # PostgreSQL refuses to run as root, and pytest's own folder is closed to others, again by each run that starts.
    database = Path(tempfile.mkdtemp(prefix="postgresql-"))
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(database, "postgres", "postgres")
    initdb = [bin_folder / "initdb", "-D", database, "-U", "prefect", "--auth", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/", **user)
    port = free_port()
    words = [bin_folder / "postgres", "-D", database, "-p", str(port), "-h", "127.0.0.1", "-k", database]
    server = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, **user
    )
    try:
        ready = [bin_folder / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, capture_output=True).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.1)
        yield from _installed(folder, f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres")
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(60)
        shutil.rmtree(database)


def _installed(folder: Path, database: str | None) -> Iterator[Installation]:
    made = Installation.__new__(Installation)
    made._processes = []
    try:
        made.__init__(folder, database)  # type: ignore[misc]
        made.deploy()
        yield made
    finally:
        made.close()
