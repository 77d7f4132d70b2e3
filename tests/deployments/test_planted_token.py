"""A token that is planted in a Secret block is used by runs, and is nowhere to be found afterwards."""

import json
import sqlite3
import sys

import pytest

from .conftest import Installation, write_reviews

pytestmark = pytest.mark.real

TOKEN = "hf_PlantedTokenThatNobodyMayRead"
LISTS = ["flow_runs", "task_runs", "logs", "artifacts", "deployments", "block_documents", "events", "work_pools"]


def everything_the_server_tells(installation: Installation) -> str:
    told = [installation.api("POST", f"/{name}/filter", {}) for name in LISTS]
    runs = installation.api("POST", "/flow_runs/filter", {})
    return json.dumps([*told, *(installation.api("GET", f"/flow_run_states/?flow_run_id={run['id']}") for run in runs)])


def test_a_planted_token_is_in_no_log_result_artifact_answer_or_file(installation):
    installation.environment["PIPELINE_FLOWS_TEST_TOKEN"] = TOKEN
    made = "import os; from prefect.blocks.system import Secret; "
    made += "Secret(value=os.environ['PIPELINE_FLOWS_TEST_TOKEN']).save('hub-token', overwrite=True)"
    assert installation.start("block", sys.executable, "-c", made).wait(120) == 0
    del installation.environment["PIPELINE_FLOWS_TEST_TOKEN"]
    installation.start_workers(PIPELINE_FLOWS_SECRETS="HF_TOKEN=hub-token")
    reviews = write_reviews(installation.data / "in" / "reviews.csv", 200)
    given = {"dataset": {"path": str(reviews), "column": "text"}, "output": {"path": str(installation.data / "secret")}}
    good = installation.run("batch-inference/ad-hoc", given)
    gated = {"task": "text-classification", "model": "someone/gated", "revision": "main"}
    bad = installation.run("batch-inference/ad-hoc", {**given, "spec": gated})
    assert installation.wait_for_state(good, "Completed", "Failed", "Crashed")[0] == "Completed"
    assert installation.wait_for_state(bad, "Completed", "Failed", "Crashed")[0] == "Failed"
    with pytest.raises(AssertionError, match=r": 4\d\d "):
        installation.run("batch-inference/ad-hoc", {**given, "spec": {**gated, "token": TOKEN}})

    assert TOKEN not in everything_the_server_tells(installation)
    files = [path for path in installation.data.parent.rglob("*") if path.is_file()]
    assert any(path.name == "prefect.db" for path in files)
    assert any(path.name == "workers.log" and "rows in" in path.read_text() for path in files)
    found = [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert found == []
    with sqlite3.connect(installation.data.parent / "prefect" / "prefect.db") as database:
        assert database.execute("select count(*) from block_document where name = 'hub-token'").fetchone() == (1,)
