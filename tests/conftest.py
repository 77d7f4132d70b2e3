"""Fixtures for all tests: tiny real models, built once a session, and a cache folder that is not the user's."""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"
# Tiny models gain nothing from more threads, and lose much to waiting for them on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import seven_cases
import tiny_media_models
import tiny_models
import tiny_multimodal
import tiny_pictures
import tiny_whisper
import torch

from pipeline_core.loading import unload


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Draw the same random weights for a test whatever ran before it."""
    torch.manual_seed(11)


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what runs remember out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PIPELINE_FLOWS_CACHE"] = str(folder)
    yield folder
    unload()


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that remembers nothing yet."""
    monkeypatch.setenv("PIPELINE_FLOWS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def build_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Build a tiny model by its kind and return its folder; each is built once."""
    builders = (
        tiny_models.BUILDERS
        | seven_cases.MODELS
        | tiny_media_models.MEDIA_BUILDERS
        | tiny_multimodal.BUILDERS
        | tiny_pictures.BUILDERS
        | {"whisper": tiny_whisper.whisper}
    )
    built: dict[str, str] = {}

    def build(kind: str) -> str:
        if kind not in built:
            folder = tmp_path_factory.mktemp(kind)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.manual_seed(11)
                builders[kind](folder)
            built[kind] = str(folder)
        return built[kind]

    return build


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one Prefect API for the session, with a database and a home of its own."""
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    from prefect import settings
    from prefect.testing.utilities import prefect_test_harness

    private = {
        settings.PREFECT_HOME: tmp_path_factory.mktemp("prefect"),
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its thread holds up the end of each run by a second
    }
    with settings.temporary_settings(private), prefect_test_harness(server_startup_timeout=120):
        yield settings.PREFECT_API_URL.value()


class SeenRun(NamedTuple):
    """What the API has of a flow run."""

    state: Any
    name: str
    tasks: dict[str, Any]
    artifacts: dict[str, Any]

    @property
    def error(self) -> BaseException:
        """What the flow raised."""
        return self.state.result(raise_on_failure=False)

    @property
    def states(self) -> dict[str, str]:
        """The names of the states that the task runs ended in."""
        return {name: task.state_name for name, task in self.tasks.items()}


@pytest.fixture(scope="session")
def read_run(prefect_server: str) -> Callable[..., SeenRun]:
    """Read a flow run, by its id or the last that started, once its task run ``last`` has ended."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    def task_pages(client: Any, chosen: dict[str, Any]) -> Iterator[list[Any]]:
        """All of a run's task runs, as many at a time as the server gives."""
        offset = 0
        while page := client.read_task_runs(**chosen, limit=200, offset=offset):
            yield page
            offset += len(page)

    def read(run_id: Any = None, last: str | None = "report") -> SeenRun:
        with get_client(sync_client=True) as client:
            if run_id is None:
                run_id = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0].id
            chosen = {"flow_run_filter": FlowRunFilter(id={"any_": [run_id]})}
            deadline = time.monotonic() + 30
            while True:  # the states of task runs reach the server as events, a little late
                tasks = {task.name: task for page in task_pages(client, chosen) for task in page}
                ended = all(task.state is not None and task.state.is_final() for task in tasks.values())
                if ended and (last is None or last in tasks):
                    break
                assert time.monotonic() < deadline, f"{last} has not ended: {list(tasks)}"
                time.sleep(0.05)
            run = client.read_flow_run(run_id)
            artifacts = {artifact.type: artifact for artifact in client.read_artifacts(**chosen)}
        return SeenRun(run.state, run.name, tasks, artifacts)

    return read


@pytest.fixture(scope="session")
def run_flow(read_run: Callable[..., SeenRun]) -> Callable[..., SeenRun]:
    """Run a flow and read back what the API has of it."""

    def run(flow: Any, last: str | None = "report", **parameters: Any) -> SeenRun:
        state = flow(**parameters, return_state=True)
        return read_run(state.state_details.flow_run_id, last)._replace(state=state)

    return run
