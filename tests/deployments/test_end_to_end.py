"""The whole of it: real servers, pools, workers and schedules, and what is left when machines and workers die."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import torch
from tiny_whisper import babble, silence, whisper

from pipeline_core import PipelineSpec, infer
from pipeline_core.sink import OutputFolder

from .conftest import Installation, kill_with_children, write_reviews

pytestmark = pytest.mark.real

SPEC = {"task": "text-classification", "model": "demo:sentiment"}


def assert_is_what_the_pipeline_says(output: Path, texts: list[str], every: int = 1) -> None:
    table = OutputFolder(str(output)).table()
    assert table.column("id").to_pylist() == [f"r{row:06d}" for row in range(len(texts))]
    wanted = list(infer(PipelineSpec(**SPEC), texts[::every]))
    assert table.column("predicted_label").to_pylist()[::every] == [answer.output["label"] for answer in wanted]
    scores = table.column("predicted_score").to_pylist()[::every]
    assert scores == pytest.approx([answer.output["score"] for answer in wanted], abs=1e-4)


def texts_of(path: Path) -> list[str]:
    return [line.partition(",")[2] for line in path.read_text().splitlines()[1:]]


def parameters_of(installation: Installation, reviews: Path, name: str, **more: object) -> dict:
    dataset = {"path": str(reviews), "column": "text", "id_column": "key"}
    return {"dataset": dataset, "output": {"path": str(installation.data / name)}, "spec": SPEC, **more}


def artifacts_of(installation: Installation, run: str) -> dict[str, dict]:
    found = installation.api("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run]}}})
    return {artifact["type"]: artifact for artifact in found}


def check_a_scheduled_and_an_ad_hoc_run(installation: Installation) -> None:
    reviews = write_reviews(installation.data / "in" / "reviews.csv", 300)
    workers = installation.start_workers("--count", 2)
    ad_hoc = installation.run(
        "batch-inference/ad-hoc", parameters_of(installation, reviews, "ad-hoc", rows_per_shard=100)
    )
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    nightly = installation.deployment_id("imdb-classification/nightly")
    due = {
        "active": True,
        "schedule": {"interval": 86400, "anchor_date": soon, "timezone": "UTC"},
        "parameters": parameters_of(installation, reviews, "scheduled", label_column=None),
    }
    installation.api("POST", f"/deployments/{nightly}/schedules", [due])

    def scheduled_run() -> str:
        runs = installation.api(
            "POST", "/flow_runs/filter", {"deployments": {"id": {"any_": [nightly]}}, "sort": "EXPECTED_START_TIME_ASC"}
        )
        due = [run for run in runs if run["auto_scheduled"] and run["parameters"]["dataset"]["path"] == str(reviews)]
        return due[0]["id"] if due else ""

    installation.wait_for(scheduled_run, "a run of the schedule")
    assert "SCHEDULED" in {name.upper() for name, _ in installation.states(scheduled_run())}
    for run, name in ((ad_hoc, "ad-hoc"), (scheduled_run(), "scheduled")):
        state, message = installation.wait_for_state(run, "Completed", "Failed", "Crashed", "TooManyBadRows")
        assert (state, message) == (
            "Completed",
            f"300 of 300 rows committed, 0 quarantined; in {installation.data / name}",
        )
        assert_is_what_the_pipeline_says(installation.data / name, texts_of(reviews))
        artifacts = artifacts_of(installation, run)
        assert artifacts.keys() == {"progress", "markdown", "table"}
        assert artifacts["progress"]["data"] == 100.0
        assert "300 rows answered, 0 quarantined" in artifacts["markdown"]["data"]
        figures = {row["figure"]: row["value"] for row in json.loads(artifacts["table"]["data"])}
        assert figures["rows answered"] == "300"

    def is_logged() -> bool:
        logs = installation.api("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [ad_hoc]}}})
        return any("300 rows in 3 shards" in log["message"] for log in logs)

    installation.wait_for(is_logged, "the run's log")
    workers.terminate()
    assert workers.wait(90) == 0


def test_a_scheduled_and_an_ad_hoc_run_end_with_the_rows_states_artifacts_and_logs_they_should(installation):
    check_a_scheduled_and_an_ad_hoc_run(installation)


def test_ad_hoc_runs_go_before_nightly_ones_and_forms_are_enforced(installation):
    queues = installation.api("POST", "/work_pools/inference/queues/filter", {})
    priorities = {queue["name"]: queue["priority"] for queue in queues}
    assert priorities["ad-hoc"] < priorities["nightly"]
    ad_hoc, nightly = (
        installation.api("GET", f"/deployments/name/{name}")
        for name in ("batch-inference/ad-hoc", "imdb-classification/nightly")
    )
    assert (ad_hoc["work_queue_name"], nightly["work_queue_name"]) == ("ad-hoc", "nightly")
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    for wrong in (
        {"spec": {"task": "nonsense"}},
        {"spec": {"task": "text-classification", "dtype": "float8"}},
        {"spec": {"task": "text-classification", "token": "x"}},
        {"dataset": {"path": "demo:reviews", "limit": 0}},
        {"shards_at_once": 0},
    ):
        with pytest.raises(AssertionError, match=r": 4\d\d .*[Vv]alidation failed"):
            installation.run("batch-inference/ad-hoc", wrong)


def test_the_hourly_deployment_transcribes_what_is_new_in_its_folder(installation):
    recordings, model = installation.data / "recordings", installation.data / "whisper"
    for left in (recordings, installation.data / "outputs" / "transcripts"):  # by an attempt before
        shutil.rmtree(left, ignore_errors=True)
    recordings.mkdir()
    torch.manual_seed(11)
    whisper(model)
    talk = np.concatenate([silence(0.5), babble(1.5, 1), silence(1)])
    soundfile.write(recordings / "talk.wav", talk, 16_000)
    (recordings / "broken.mp3").write_bytes(b"ID3" + bytes(100))
    workers = installation.start_workers()
    pipeline = {"task": "automatic-speech-recognition", "model": str(model)}
    parameters = {"settings": {"pipeline": pipeline, "language": "en"}, "speakers": "off"}

    def transcribe() -> str:
        run = installation.run("meeting-transcription/hourly", parameters)
        state, message = installation.wait_for_state(run, "Completed", "Failed", "Crashed")
        assert state == "Completed", message
        return message

    message = transcribe()
    assert message.startswith("1 recordings transcribed (")
    assert "1 failed" in message
    (recordings / "broken.mp3").unlink()
    soundfile.write(recordings / "new.flac", talk[:40_000], 16_000)
    message = transcribe()
    assert message.startswith("1 recordings transcribed (")
    assert "1 were there" in message
    output = installation.data / "outputs" / "transcripts"
    names = {path.parent.name.rpartition("-")[0] for path in output.glob("*/transcript.html")}
    assert names == {"talk", "new"}
    workers.terminate()
    assert workers.wait(90) == 0


def test_the_same_on_postgresql(installation_on_postgresql):
    check_a_scheduled_and_an_ad_hoc_run(installation_on_postgresql)


def test_a_run_goes_on_after_its_workers_are_stopped_then_killed_then_their_machine_is_and_has_every_row_once(
    installation_on_postgresql,
):
    installation = installation_on_postgresql
    installation.command("pipeline-flows", "alerts", "setup", "--silence-s", 60)
    reviews = write_reviews(installation.data / "in" / "many.csv", 30_000)
    output = installation.data / "killed"
    workers = installation.start_workers()
    run = installation.run("batch-inference/ad-hoc", parameters_of(installation, reviews, "killed", rows_per_shard=500))

    def wait_for_shards(more: int) -> None:
        wanted = len(list(output.glob("_manifests/*.json"))) + more

        def are_there() -> bool:
            state, message = installation.states(run)[-1]
            assert state not in ("Completed", "Failed"), message
            return state == "Running" and len(list(output.glob("_manifests/*.json"))) >= wanted

        installation.wait_for(are_there, f"{more} more shards", within_s=240)

    def wait_until_resumed(times: int) -> None:
        def is_resumed() -> bool:
            return [name for name, _ in installation.states(run)].count("AwaitingRetry") == times

        installation.wait_for(is_resumed, f"resumption {times} of {installation.states(run)}", within_s=240)

    wait_for_shards(2)
    workers.terminate()
    assert workers.wait(90) == 0
    wait_until_resumed(1)

    workers = installation.start_workers()
    wait_for_shards(2)
    (worker,) = psutil.Process(workers.pid).children()
    worker.kill()  # the command starts another
    wait_until_resumed(2)
    committed = {path.name: path.read_bytes() for path in output.glob("_manifests/*.json")}

    wait_for_shards(2)
    kill_with_children(workers.pid)  # nobody is left to say so
    assert installation.states(run)[-1][0] == "Running"
    installation.start_workers()
    wait_until_resumed(3)
    state, message = installation.wait_for_state(run, "Completed", "Failed", "Crashed")
    assert (state, message) == ("Completed", f"30,000 of 30,000 rows committed, 0 quarantined; in {output}")
    assert_is_what_the_pipeline_says(output, texts_of(reviews), every=100)
    for name, manifest in committed.items():
        assert (output / "_manifests" / name).read_bytes() == manifest
    crashes = [message for name, message in installation.states(run) if name == "Crashed"]
    assert len(crashes) == 3
    assert crashes[2].startswith("no sign of life for 60 s")
