import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_core.errors import SpecError
from pipeline_core.pinning import ModelRecord
from pipeline_core.shards import RunPlan, plan_shards
from pipeline_core.sources import DatasetRef, open_dataset
from pipeline_core.spec import PipelineSpec

SPEC = PipelineSpec(task="text-classification", model="demo:sentiment")


def write(path, rows, text="text"):
    ids = [f"r{n}" for n in range(rows)]
    columns = {"id": ids, "n": list(range(rows)), "text": [f"{text} {n}" for n in range(rows)]}
    schema = pa.schema([("id", pa.string()), ("n", pa.int64()), ("text", pa.string())])
    pq.write_table(pa.table(columns, schema=schema), path)
    return str(path)


def opened(path, keep=("n",)):
    ref = DatasetRef(path=path, column="text", id_column="id", keep_columns=list(keep))
    return open_dataset(ref, "text-classification")


@pytest.fixture
def dataset(tmp_path):
    return opened(write(tmp_path / "data.parquet", 23))


@pytest.mark.parametrize("rows_per_shard", [1, 2, 7, 22, 23, 24])
def test_shards_cover_every_position_once_and_in_order(dataset, rows_per_shard):
    plan = plan_shards(dataset, SPEC, rows_per_shard)
    positions = [position for shard in plan.shards for position in range(shard.start, shard.stop)]
    assert positions == list(range(23))
    assert all(shard.count == len(plan.shards) and shard.stop - shard.start <= rows_per_shard for shard in plan.shards)
    assert [shard.index for shard in plan.shards] == list(range(len(plan.shards)))
    assert len({shard.file for shard in plan.shards}) == len(plan.parts) == len(plan.shards)


@pytest.mark.parametrize(("rows", "size"), [(10, 500), (8_000, 500), (16_000, 1_000), (32_001, 2_001), (10**6, 20_000)])
def test_shards_are_about_sixteen_within_bounds(dataset, rows, size):
    class Sized:
        ref, kept_schema = dataset.ref, dataset.kept_schema

        def __init__(self):
            self.rows = rows

        def fingerprint(self, start, stop):
            return f"{start}-{stop}"

    assert plan_shards(Sized(), SPEC).rows_per_shard == size


@pytest.mark.parametrize("rows_per_shard", [0, -1, 1.5, True, "10"])
def test_a_shard_size_that_is_no_whole_number_from_one_up_is_refused(dataset, rows_per_shard):
    with pytest.raises(SpecError, match="rows_per_shard must be a whole number"):
        plan_shards(dataset, SPEC, rows_per_shard)


def test_an_empty_dataset_has_no_shards_and_one_part(tmp_path):
    plan = plan_shards(opened(write(tmp_path / "data.parquet", 0)), SPEC)
    assert (plan.rows, plan.shards, len(plan.parts)) == (0, (), 1)


def test_a_plan_outlives_json_with_its_columns_and_fingerprint_and_without_the_token(dataset):
    spec = PipelineSpec(task="text-classification", model="demo:sentiment", token="hf_secret")
    plan = plan_shards(
        dataset, spec, 5, model=ModelRecord(name="demo:sentiment", revision="abc", licence="mit", dtype="auto")
    )
    text = plan.model_dump_json()
    again = RunPlan.model_validate_json(text)
    assert "hf_secret" not in text
    assert again.fingerprint == plan.fingerprint
    assert again.schema == plan.schema
    assert again.shards == plan.shards


def test_the_fingerprint_changes_with_all_that_changes_a_part_file(tmp_path, dataset):
    plan = plan_shards(dataset, SPEC, 5)
    others = [
        plan_shards(dataset, SPEC, 6),
        plan_shards(dataset, SPEC, 5, model=ModelRecord(name="demo:sentiment", revision="abc", dtype="auto")),
        plan_shards(dataset, SPEC.model_copy(update={"parameters": {"top_k": 2}}), 5),
        plan_shards(opened(write(tmp_path / "other.parquet", 23, text="other")), SPEC, 5),
        plan_shards(opened(write(tmp_path / "longer.parquet", 24)), SPEC, 5),
        plan_shards(opened(dataset.ref.path, keep=()), SPEC, 5),
    ]
    assert len({plan.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)
    for other in others:
        assert other.differences(plan)


def test_the_fingerprint_does_not_change_with_where_a_run_takes_place(dataset):
    plan = plan_shards(dataset, SPEC, 5, model=ModelRecord(name="demo:sentiment", licence="mit", dtype="auto"))
    elsewhere = plan_shards(dataset, SPEC.model_copy(update={"device": "cpu"}), 5)
    assert plan.fingerprint == elsewhere.fingerprint


def test_a_kept_column_with_a_name_of_ours_is_refused_before_anything_is_written(dataset):
    with pytest.raises(SpecError, match="'id' can't be kept"):
        plan_shards(opened(dataset.ref.path, keep=["id"]), SPEC)
