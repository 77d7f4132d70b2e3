"""Limits that hold across pools and processes: recorded times of runs and shards, and who computed what."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from pipeline_core.sink import OutputFolder

from .conftest import Installation, write_reviews

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def two_pools(installation_on_postgresql: Installation) -> Installation:
    """The pool inference with one run at a time, and a second pool with a deployment of the same flow."""
    installation = installation_on_postgresql
    installation.api("PATCH", "/work_pools/inference", {"concurrency_limit": 1})
    installation.api("POST", "/work_pools/", {"name": "second", "type": "process"})
    deployed = installation.api("GET", "/deployments/name/batch-inference/ad-hoc")
    same = ("flow_id", "entrypoint", "path", "parameter_openapi_schema", "pull_steps", "job_variables")
    copy = {"name": "second", "work_pool_name": "second", **{name: deployed[name] for name in same}}
    installation.api("POST", "/deployments/", copy)
    for _ in range(2):
        installation.start_workers(PIPELINE_FLOWS_CPU_SLOTS="1")
    installation.start_workers("--pool", "second", PIPELINE_FLOWS_CPU_SLOTS="1")
    return installation


def start(installation: Installation, pool: str, name: str) -> str:
    reviews = write_reviews(installation.data / "in" / "reviews.csv", 3000)
    given: dict[str, Any] = {
        "dataset": {"path": str(reviews), "column": "text", "id_column": "key"},
        "output": {"path": str(installation.data / name)},
        "spec": {"task": "text-classification", "model": "demo:sentiment"},
        "rows_per_shard": 1000,
    }
    return installation.run(f"batch-inference/{'second' if pool == 'second' else 'ad-hoc'}", given)


def span_of(installation: Installation, run: str) -> tuple[datetime, datetime]:
    found = installation.api("GET", f"/flow_runs/{run}")
    return datetime.fromisoformat(found["start_time"]), datetime.fromisoformat(found["end_time"])


def test_runs_of_a_pool_and_shards_of_a_device_take_turns_and_other_pools_go_on(two_pools):
    runs = {name: start(two_pools, pool, name) for name, pool in (("a", "first"), ("b", "first"), ("c", "second"))}
    for run in runs.values():
        assert two_pools.wait_for_state(run, "Completed", "Failed", "Crashed", within_s=400)[0] == "Completed"
    first, second = sorted(span_of(two_pools, runs[name]) for name in "ab")
    assert first[1] <= second[0]

    shards = []
    for name in runs:
        folder = OutputFolder(str(two_pools.data / name))
        for manifest in folder.manifests(folder.require_plan()):
            ended = datetime.fromisoformat(manifest.committed_at)
            shards.append((ended - timedelta(seconds=manifest.figures.seconds), ended))
        assert folder.table().column("id").to_pylist() == [f"r{row:06d}" for row in range(3000)]
    assert len(shards) == 9
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(sorted(shards)))


def test_two_runs_that_want_the_same_shards_compute_each_once(two_pools):
    runs = [start(two_pools, pool, "same") for pool in ("first", "second")]
    for run in runs:
        assert two_pools.wait_for_state(run, "Completed", "Failed", "Crashed", within_s=400)[0] == "Completed"

    def shards_in(state: str) -> list[str]:
        chosen = {"flow_runs": {"id": {"any_": runs}}, "task_runs": {"state": {"name": {"any_": [state]}}}}
        found = two_pools.api("POST", "/task_runs/filter", chosen)
        return sorted(task["name"] for task in found if task["name"].startswith("part-"))

    shards = [f"part-{index:05d}-of-00003" for index in range(3)]
    two_pools.wait_for(lambda: len(shards_in("Completed")) + len(shards_in("Cached")) == 6, "the states of all shards")
    assert shards_in("Completed") == shards_in("Cached") == shards
