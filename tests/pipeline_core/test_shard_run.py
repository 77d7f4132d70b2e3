"""A shard is of the rows that were planned, or it is not committed."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_core.errors import DatasetChangedError, FailureBudgetExceededError, is_retryable
from pipeline_core.policies import FailurePolicy
from pipeline_core.shard_run import run_shard
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset
from pipeline_core.spec import PipelineSpec

ROWS = [{"id": f"r{number}", "text": f"row {number}"} for number in range(20)]
BEFORE = [{"id": "new", "text": "a row before all"}]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def spec(build_model) -> PipelineSpec:
    return PipelineSpec(task="text-classification", model=build_model("distilbert"), device="cpu")


@pytest.fixture(params=["rows.jsonl", "rows.parquet"])
def path(request, tmp_path):
    write(tmp_path / request.param, ROWS)
    return tmp_path / request.param


@pytest.fixture
def planned(path, spec, tmp_path):
    """A plan of two shards, and the folder that adopted it."""
    plan, folder = plan_shards(open_dataset(str(path)), spec, 10), OutputFolder(str(tmp_path / "out"))
    folder.adopt(plan)
    return plan, folder


def test_a_dataset_that_stays_gives_every_row_once(planned, spec):
    plan, folder = planned
    for shard in plan.shards:
        run_shard(shard, plan, spec, folder)
    assert folder.table()["id"].to_pylist() == [row["id"] for row in ROWS]


def test_a_row_put_before_the_others_between_two_shards_is_refused_and_no_row_is_doubled(planned, path, spec):
    plan, folder = planned
    run_shard(plan.shards[0], plan, spec, folder)
    write(path, BEFORE + ROWS)
    seen: list[object] = []
    with pytest.raises(
        DatasetChangedError, match=r"has changed since.*part-00001-of-00002.*run again.*replace"
    ) as refused:
        run_shard(plan.shards[1], plan, spec, folder, on_progress=seen.append)
    assert seen == []
    assert not is_retryable(refused.value)
    assert folder.table()["id"].to_pylist() == [row["id"] for row in ROWS[:10]]


@pytest.mark.parametrize("change", [lambda path: write(path, BEFORE + ROWS), lambda path: path.unlink()])
def test_a_dataset_that_changes_while_a_shard_is_read_leaves_the_shard_undone(planned, path, spec, change):
    plan, folder = planned
    with pytest.raises(DatasetChangedError):
        run_shard(plan.shards[0], plan, spec, folder, on_progress=lambda _: path.exists() and change(path))
    assert folder.manifests(plan) == []


@pytest.mark.parametrize(("before", "fails"), [(0, False), (1, False), (2, True)])
def test_bad_rows_of_other_shards_count_towards_the_budget(tmp_path, spec, before, fails):
    write(tmp_path / "bad.jsonl", [{"id": "a", "text": "fine"}, {"id": "b", "text": None}])
    plan, folder = plan_shards(open_dataset(str(tmp_path / "bad.jsonl")), spec), OutputFolder(str(tmp_path / "out"))
    folder.adopt(plan)
    settings = {"failures": FailurePolicy(max_bad_rows=2), "bad_rows_before": before}
    if fails:
        with pytest.raises(FailureBudgetExceededError) as exceeded:
            run_shard(plan.shards[0], plan, spec, folder, **settings)
        assert exceeded.value.bad_rows == 3
    else:
        assert run_shard(plan.shards[0], plan, spec, folder, **settings).quarantined == 1
