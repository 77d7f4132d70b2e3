"""How far a run is, while it runs."""

import logging
from types import SimpleNamespace
from uuid import uuid4

import pytest

import tasks.progress
from flows.batch_inference import batch_inference
from pipeline_core import BatchPolicy, PipelineSpec
from pipeline_core.engine import Progress
from pipeline_core.errors import LeaseLostError
from tasks.progress import RunProgress, duration, listening


@pytest.fixture
def arguments(tmp_path, build_model):
    (tmp_path / "rows.csv").write_text("text\n" + "Not bad at all!\nTwo hours I want back.\n" * 20)
    spec = PipelineSpec(task="text-classification", model=build_model("bert"), device="cpu")
    return {"dataset": str(tmp_path / "rows.csv"), "output": str(tmp_path / "out"), "spec": spec, "rows_per_shard": 10}


@pytest.fixture
def every_batch(monkeypatch):
    """Publish after every batch."""
    monkeypatch.setattr(tasks.progress, "_LEAST_INTERVAL_S", 0.0)
    monkeypatch.setattr(tasks.progress, "_ARTIFACT_INTERVAL_S", 0.0)
    monkeypatch.setattr(tasks.progress, "_MOST_OF_THE_TIME", 1e9)


def test_rows_are_counted_once_however_often_a_shard_reports_or_is_tried_again():
    progress = RunProgress(40, "a run")
    progress.committed(0, rows=9, quarantined=1)
    progress.inferring(1, Progress(4, 1, 512))
    progress.inferring(1, Progress(7, 2, 256))
    assert (progress.done, progress.quarantined, progress.max_batch_tokens) == (17, 3, 256)
    progress.abandoned(1)
    assert (progress.done, progress.quarantined) == (10, 1)
    progress.inferring(1, Progress(5, 2, 128))
    progress.inferring(2, Progress(3, 0, 128))
    assert (progress.done, progress.quarantined) == (18, 3)
    progress.committed(1, rows=8, quarantined=2)
    progress.committed(2, rows=10, quarantined=0)
    progress.committed(3, rows=10, quarantined=0)
    assert (progress.done, progress.quarantined) == (40, 3)
    assert progress.line().startswith("40 of 40 rows, ")
    assert "left" not in progress.line()


def test_a_rate_and_the_time_left_are_told_once_they_mean_something(monkeypatch):
    now = 100.0
    monkeypatch.setattr(tasks.progress.time, "monotonic", lambda: now)
    progress = RunProgress(10_000, "a run")
    progress.committed(0, rows=400, quarantined=0)
    assert progress.line() == "400 of 10,000 rows, 0 quarantined"
    now += 60  # the model is loaded
    progress.inferring(1, Progress(1, 0, 512))
    assert progress.line() == "401 of 10,000 rows, 512 tokens a batch, 0 quarantined"
    now += 2
    progress.inferring(1, Progress(200, 0, 512))
    assert progress.line() == "600 of 10,000 rows, 100.0 rows/s, 2 min left, 512 tokens a batch, 0 quarantined"


def test_listeners_hear_more_often_than_the_server_and_both_hear_the_end(monkeypatch):
    now, heard, sent = 0.0, [], []
    monkeypatch.setattr(tasks.progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(tasks.progress, "get_run_logger", lambda: logging.getLogger("a run"))
    monkeypatch.setattr(tasks.progress, "create_progress_artifact", lambda **_: uuid4())
    monkeypatch.setattr(tasks.progress, "update_progress_artifact", lambda *_, progress, **__: sent.append(progress))
    monkeypatch.setattr(tasks.progress, "flow_run", SimpleNamespace(id=uuid4()))
    progress = RunProgress(1_000, "a run")
    with listening(lambda published: heard.append(published.done)):
        progress.open()
        heard.clear()
        for rows in range(1, 1001):  # a tenth of a second each
            now = rows / 10
            progress.inferring(0, Progress(rows, 0, 512))
        progress.committed(0, rows=1000, quarantined=0)
        progress.close()
    assert heard == [*range(20, 1001, 20), 1000]
    assert sent == [row / 10 for row in range(20, 1000, 60)] + [100.0]


def test_a_shard_that_is_inferred_when_its_run_ends_is_stopped():
    progress = RunProgress(10, "a run")
    progress.inferring(0, Progress(1, 0, None))
    progress.close()
    with pytest.raises(LeaseLostError, match="the run of 'a run' was stopped"):
        progress.inferring(0, Progress(2, 0, None))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (41.4, "41 s"),
        (89, "89 s"),
        (90, "2 min"),
        (740, "12 min"),
        (5400, "1 h 30 min"),
        (11100, "3 h 05 min"),
    ],
)
def test_a_duration_has_the_units_that_a_person_would_use(seconds, text):
    assert duration(seconds) == text


def test_the_artifact_lives_during_the_run(run_flow, read_run, arguments, every_batch):
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter

    shown = []

    def read_it(progress: RunProgress) -> None:
        with get_client(sync_client=True) as client:
            (artifact,) = client.read_artifacts(artifact_filter=ArtifactFilter(id={"any_": [progress._artifact]}))
        shown.append(artifact.data)

    with listening(read_it):
        seen = run_flow(batch_inference, **arguments, batch=BatchPolicy(batch_size=1))
    assert shown == sorted(shown)
    assert len({share for share in shown if 0 < share < 100}) == 39
    assert seen.artifacts["progress"].data == 100.0


def test_a_progress_artifact_that_is_gone_costs_the_run_nothing(run_flow, arguments, every_batch):
    from prefect import get_client

    deleted = []

    def delete_it(progress: RunProgress) -> None:
        if not deleted:
            with get_client(sync_client=True) as client:
                client.delete_artifact(progress._artifact)
            deleted.append(progress._artifact)

    with listening(delete_it):
        seen = run_flow(batch_inference, **arguments)
    assert deleted
    assert "progress" not in seen.artifacts
    assert seen.state.result().rows == 40
    assert {task.run_count for task in seen.tasks.values()} == {1}


def test_listeners_hear_of_the_run_until_they_leave(run_flow, arguments, every_batch):
    heard = []
    with listening(lambda progress: heard.append(progress.done)):
        run_flow(batch_inference, **arguments)
    assert heard[-1] == 40
    assert heard == sorted(heard)
    count = len(heard)
    run_flow(batch_inference, **arguments)
    assert len(heard) == count
