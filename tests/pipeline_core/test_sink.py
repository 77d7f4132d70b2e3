import json
import sys
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import small_runs
from pydantic import ValidationError
from small_runs import (
    SPEC,
    answer,
    assert_every_row_once,
    damage,
    files,
    model_at,
    open_rows,
    readers,
    run,
    run_script,
    write_shard,
)

import pipeline_core.writer
from pipeline_core.errors import LeaseLostError, OutputError, OutputInUseError, OutputMismatchError
from pipeline_core.figures import Figures
from pipeline_core.lease import LEASE_FILE
from pipeline_core.records import Prediction, Record, RowError
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder, OutputRef
from pipeline_core.sources import open_dataset
from pipeline_core.spec import PipelineSpec
from pipeline_core.storage import Storage


@pytest.fixture
def dataset(tmp_path):
    return open_rows(tmp_path / "data.parquet")


@pytest.fixture
def plan(dataset):
    return plan_shards(dataset, SPEC, 3, model=model_at("abc"))


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return OutputFolder(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}/out")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_an_output_is_a_string_a_path_or_a_mapping():
    assert OutputRef.model_validate("out") == OutputRef.model_validate(Path("out")) == OutputRef(path="out")
    assert OutputRef.model_validate({"path": Path("out"), "replace": True}).replace
    with pytest.raises(ValidationError):
        OutputRef.model_validate({"path": "out", "overwrite": True})


def test_a_run_puts_every_row_in_once_with_its_columns(folder, dataset, plan):
    assert run(folder, dataset, plan) == [0, 1, 2, 3]
    assert_every_row_once(folder, 10)
    table = folder.table()
    assert table.schema == plan.schema
    assert table["n"].to_pylist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert table["note"].to_pylist() == [None] * 4 + ["seen"] * 4
    assert set(table["tokens"].to_pylist()) == {3}
    assert folder.quarantine().to_pylist()[0] == {
        "id": "r4",
        "input_reference": "text 4",
        "stage": "forward",
        "error_class": "ValueError",
        "message": "no r4",
    }
    assert folder.bad_rows(plan) == 2


def test_the_summary_is_there_once_the_run_is_committed(folder, dataset, plan):
    with folder.claim() as lease:
        folder.adopt(plan, lease.owner)
        for shard in plan.shards[:-1]:
            write_shard(folder, dataset, plan, shard, lease.owner)
        assert folder.read_summary() is None
        with pytest.raises(OutputError, match=r"1 of 4 shards.*part-00003-of-00004"):
            folder.commit_run(plan, lease.owner)
        write_shard(folder, dataset, plan, plan.shards[-1], lease.owner)
        summary = folder.commit_run(plan, lease.owner)
    assert folder.read_summary() == summary
    assert (summary.rows, summary.quarantined, summary.shards, summary.figures.rows) == (8, 2, 4, 10)
    assert summary.model == model_at("abc")
    assert {"torch", "transformers"} < set(summary.versions)


def test_a_second_run_of_the_same_plan_does_nothing(folder, dataset, plan):
    run(folder, dataset, plan)
    summary = folder.read_summary()
    assert run(OutputFolder(folder.ref), dataset, plan) == []
    assert folder.read_summary() == summary


def test_doing_a_shard_again_takes_the_summary_away_and_a_stale_quarantine(folder, dataset, plan):
    run(folder, dataset, plan)
    manifest = write_shard(folder, dataset, plan, plan.shards[1], bad=0)
    assert manifest.quarantined == 0
    assert folder.read_summary() is None
    assert folder.committed(plan.shards[1], plan) == manifest
    assert folder.quarantine()["id"].to_pylist() == ["r9"]
    assert "_quarantine/part-00001.parquet" not in Storage(folder.ref.path).names()


@pytest.mark.parametrize("how", ["delete", "truncate", "empty", "flip"])
@pytest.mark.parametrize(
    "file", ["part-00001-of-00004.parquet", "_manifests/00001.json", "_quarantine/part-00001.parquet"]
)
def test_a_damaged_shard_is_not_done_and_only_it_is_done_again(out, dataset, plan, file, how):
    folder = OutputFolder(out)
    run(folder, dataset, plan)
    damage(out / file, how)
    assert folder.committed(plan.shards[1], plan) is None
    with pytest.raises(OutputError, match="part-00001-of-00004"):
        folder.commit_run(plan)
    assert run(folder, dataset, plan) == [1]
    assert_every_row_once(folder, 10)


def test_every_edit_of_a_manifest_is_noticed(out, dataset, plan):
    folder = OutputFolder(out)
    run(folder, dataset, plan)
    path = out / "_manifests/00001.json"
    content = json.loads(path.read_text())
    for name in content:
        edited = content | {name: 2 if isinstance(content[name], int) else None if name == "figures" else "x"}
        path.write_text(json.dumps(edited))
        if edited != content:
            assert folder.committed(plan.shards[1], plan) is None, name


def test_a_manifest_or_part_of_another_plan_does_not_count(tmp_path, out, dataset, plan):
    folder, other = OutputFolder(out), OutputFolder(tmp_path / "other")
    other_dataset = open_rows(tmp_path / "other.parquet", text="other")
    run(folder, dataset, plan)
    run(other, other_dataset, plan_shards(other_dataset, SPEC, 3))
    for file in ("part-00001-of-00004.parquet", "_manifests/00001.json", "_quarantine/part-00001.parquet"):
        (out / file).write_bytes((tmp_path / "other" / file).read_bytes())
    assert folder.committed(plan.shards[1], plan) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda dataset, tmp_path: plan_shards(dataset, SPEC, 4), "rows_per_shard was 3, now 4"),
        (
            lambda dataset, tmp_path: plan_shards(
                dataset,
                PipelineSpec(task=SPEC.task, model=SPEC.model, on_long="error"),
                3,
                model_at("abc"),
            ),
            "spec.on_long was 'truncate', now 'error'",
        ),
        (
            lambda dataset, tmp_path: plan_shards(
                open_rows(tmp_path / "data.parquet", text="new"),
                SPEC,
                3,
                model_at("abc"),
            ),
            "the dataset's content has changed",
        ),
        (
            lambda dataset, tmp_path: plan_shards(dataset, SPEC, 3, model_at("def")),
            "the model was .*abc.*, now .*def",
        ),
    ],
)
def test_another_plan_is_refused_by_what_differs_and_taken_with_replace(tmp_path, out, dataset, plan, change, named):
    run(OutputFolder(out), dataset, plan)
    before = files(out)
    other = change(dataset, tmp_path)
    with pytest.raises(OutputMismatchError, match=named):
        OutputFolder(out).adopt(other)
    assert files(out) == before
    dataset = open_dataset(other.dataset, SPEC.task)
    replaced = OutputFolder(OutputRef(path=str(out), replace=True))
    assert run(replaced, dataset, other) == [shard.index for shard in other.shards]
    assert_every_row_once(replaced, 10)
    assert replaced.read_plan().fingerprint == other.fingerprint
    assert len(list(out.glob("part-*"))) == len(other.shards)


def test_replace_never_deletes_files_that_are_not_the_runs(out, dataset, plan):
    run(OutputFolder(out), dataset, plan)
    foreign = ["notes.txt", "_quarantine/notes.txt", "_manifests/x.json", "_mine.parquet"]
    for name in foreign:
        (out / name).write_text("mine")
    OutputFolder(OutputRef(path=str(out), replace=True)).adopt(plan_shards(dataset, SPEC, 4))
    assert files(out) == sorted([*foreign, "_plan.json", ".huggingface.yaml"])


@pytest.mark.parametrize("name", ["notes.txt", "part-00000-of-00002.parquet", "_manifests/00000.json", "data/x.csv"])
def test_a_folder_with_files_and_no_plan_is_refused(out, plan, name):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(OutputMismatchError, match=name):
        OutputFolder(out).adopt(plan)
    assert files(out) == [name]


@pytest.mark.parametrize("name", ["part-00000-of-00002.parquet", "old/data.parquet"])
def test_replace_refuses_foreign_rows_that_would_be_read_with_the_output(out, plan, name):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(OutputMismatchError, match="would be read"):
        OutputFolder(OutputRef(path=str(out), replace=True)).adopt(plan)
    assert files(out) == [name]


def test_a_torn_plan_is_none_while_no_shard_is_there_and_an_error_afterwards(out, dataset, plan):
    folder = OutputFolder(out)
    folder.adopt(plan)
    damage(out / "_plan.json", "truncate")
    assert run(folder, dataset, plan) == [0, 1, 2, 3]
    damage(out / "_plan.json", "truncate")
    with pytest.raises(OutputMismatchError, match=r"_plan.json .* can't be read.*set replace"):
        folder.adopt(plan)
    assert run(OutputFolder(OutputRef(path=str(out), replace=True)), dataset, plan) == [0, 1, 2, 3]


def test_a_file_in_place_of_the_folder_is_refused(out, plan):
    out.write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        OutputFolder(out).adopt(plan)


def test_a_writer_that_is_left_without_commit_leaves_nothing(folder, dataset, plan):
    folder.adopt(plan)
    before = Storage(folder.ref.path).names()
    with folder.shard_writer(plan.shards[1], plan) as writer:
        for record in dataset.records(3, 6):
            writer.write(record, answer(record))
        assert len(Storage(folder.ref.path).names()) == len(before) + 2
    assert Storage(folder.ref.path).names() == before
    assert folder.committed(plan.shards[1], plan) is None


def test_a_row_too_few_too_many_or_mispaired_stops_the_commit(folder, dataset, plan):
    folder.adopt(plan)
    records = list(dataset.records(0, 3))
    for written, figures in [(records[:2], Figures()), ([*records, records[0]], Figures()), (records, Figures(rows=4))]:
        with folder.shard_writer(plan.shards[0], plan) as writer:
            for record in written:
                writer.write(record, answer(record))
            with pytest.raises(OutputError, match="rows"):
                writer.commit(figures)
    mispaired = pytest.raises(OutputError, match="'r0' came with the prediction of 'r1'")
    with folder.shard_writer(plan.shards[0], plan) as writer, mispaired:
        writer.write(records[0], answer(records[1]))
    assert folder.manifests(plan) == []


def test_a_shard_may_have_fewer_rows_where_conditions_drop_some(folder, tmp_path):
    dataset = open_rows(tmp_path / "data.parquet", where=["n in [1, 3, 5, 7, 9]"])
    plan = plan_shards(dataset, SPEC, 4)
    run(folder, dataset, plan)
    assert folder.table()["n"].to_pylist() == [1, 3, 5, 7]
    assert folder.quarantine()["id"].to_pylist() == ["r9"]


def test_a_row_that_fits_no_column_is_quarantined_and_the_rest_go_on(folder, dataset, plan):
    folder.adopt(plan)
    first, second, third = dataset.records(0, 3)
    with folder.shard_writer(plan.shards[0], plan) as writer:
        writer.write(first, Prediction(first.id, {"label": "POS"}))
        writer.write(Record(second.id, second.inputs, {"n": "many", "note": None}), answer(second))
        writer.write(third, answer(third))
        manifest = writer.commit(Figures(rows=3))
    assert (manifest.rows, manifest.quarantined, manifest.figures.quarantined) == (1, 2, 2)
    assert sorted(folder.quarantine()["id"].to_pylist()) == [first.id, second.id]
    assert folder.quarantine()["stage"].to_pylist() == ["write", "write"]
    assert folder.table()["id"].to_pylist() == [third.id]


@pytest.mark.parametrize(
    ("inputs", "reference"),
    [
        ("x" * 500, "x" * 200),
        (None, ""),
        (b"\0" * 10**6, "bytes: <1000000 bytes>"),
        ({"audio": b"\0" * 9}, "dict: {'audio': <9 bytes>}"),
        (np.zeros((3, 2)), "ndarray: <array (3, 2) float64>"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_quarantine_refers_to_the_input_in_short(folder, dataset, plan, inputs, reference):
    folder.adopt(plan)
    with folder.shard_writer(plan.shards[-1], plan) as writer:
        writer.write(Record("r9", inputs), Prediction("r9", None, RowError("read", "ValueError", "m" * 9999)))
        writer.commit(Figures(rows=1))
    row = folder.quarantine().to_pylist()[0]
    assert row["input_reference"] == reference
    assert len(row["message"]) == 2000


def test_rows_are_written_in_groups_so_that_memory_stays_bounded(out, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_core.writer, "_ROWS_PER_GROUP", 7)
    dataset = open_rows(tmp_path / "data.parquet", rows=50)
    plan = plan_shards(dataset, SPEC, 50)
    run(OutputFolder(out), dataset, plan)
    with pq.ParquetFile(out / plan.parts[0]) as part:
        assert [part.metadata.row_group(n).num_rows for n in range(part.num_row_groups)] == [7] * 5 + [5]
    assert_every_row_once(OutputFolder(out), 50)


def test_an_owner_whose_lease_was_taken_over_commits_nothing(folder, dataset, plan):
    old = folder.claim()
    folder.adopt(plan, old.owner)
    with folder.shard_writer(plan.shards[0], plan, old.owner) as zombie:
        for record in dataset.records(0, 3):
            zombie.write(record, answer(record))
        Storage(folder.ref.path).remove(LEASE_FILE)
        with folder.claim() as new:
            manifest = write_shard(folder, dataset, plan, plan.shards[0], new.owner)
            before = Storage(folder.ref.path).names()
            with pytest.raises(LeaseLostError, match="taken over"):
                zombie.commit(Figures(rows=3))
            with pytest.raises(LeaseLostError):
                folder.adopt(plan, old.owner)
            with pytest.raises(LeaseLostError):
                write_shard(folder, dataset, plan, plan.shards[1], old.owner)
            assert Storage(folder.ref.path).names() == before
            assert folder.committed(plan.shards[0], plan) == manifest
            for shard in plan.shards:
                write_shard(folder, dataset, plan, shard, new.owner)
            with pytest.raises(LeaseLostError):
                folder.commit_run(plan, old.owner)
    old.release()


def test_nobody_writes_without_an_owner_while_a_run_holds_the_folder(folder, dataset, plan):
    with folder.claim() as lease:
        folder.adopt(plan, lease.owner)
        for late in (folder.adopt, lambda plan: write_shard(folder, dataset, plan, plan.shards[0])):
            with pytest.raises(OutputInUseError):
                late(plan)
        with pytest.raises(OutputInUseError):
            OutputFolder(folder.ref).claim()


def test_a_shard_of_a_plan_that_the_folder_does_not_hold_is_refused(folder, dataset, plan):
    folder.adopt(plan)
    with pytest.raises(OutputMismatchError, match="adopt"):
        write_shard(folder, dataset, plan_shards(dataset, SPEC, 4), plan.shards[0])


def test_two_attempts_at_one_shard_under_one_lease_leave_one_whole_shard(folder, dataset, plan):
    with folder.claim() as lease:
        folder.adopt(plan, lease.owner)
        with folder.shard_writer(plan.shards[1], plan, lease.owner) as slow:
            for record in dataset.records(3, 6):
                slow.write(record, answer(record, bad=0))
            write_shard(folder, dataset, plan, plan.shards[1], lease.owner)
            folder.adopt(plan, lease.owner)
            manifest = slow.commit(Figures(rows=3))
        assert folder.committed(plan.shards[1], plan) == manifest
        assert folder.quarantine().num_rows == 0


def test_adopting_a_plan_clears_what_stopped_attempts_left(out, dataset, plan):
    run(OutputFolder(out), dataset, plan)
    before = files(out)
    (out / "_tmp-0123abcd-0123-part-00000-of-00004.parquet.tmp").write_text("half")
    assert run(OutputFolder(out), dataset, plan) == []
    assert files(out) == before


@pytest.mark.parametrize("name", ["out", "train-test/validation"])
def test_datasets_and_pandas_read_the_part_files_and_nothing_else(tmp_path, name):
    dataset = open_rows(tmp_path / "data.parquet", rows=13)
    plan = plan_shards(dataset, SPEC, 1)
    out = tmp_path / name
    run(OutputFolder(out), dataset, plan)
    assert {"_run.json", "_plan.json", "_quarantine/part-00004.parquet", "_manifests/00004.json"} < set(files(out))
    wanted = [f"r{n}" for n in range(13) if n % 5 != 4]
    assert readers(out) == dict.fromkeys(("datasets", "pandas", "duckdb"), wanted)


def test_all_parts_have_one_schema_even_without_rows_or_values(out, dataset):
    plan = plan_shards(dataset, SPEC, 1)
    run(OutputFolder(out), dataset, plan)
    schemas = [pq.read_schema(out / part) for part in plan.parts]
    assert len(schemas) == 10
    assert all(schema.equals(plan.schema, check_metadata=True) for schema in schemas)


def test_an_empty_dataset_is_an_empty_table_with_all_columns(folder, tmp_path):
    dataset = open_rows(tmp_path / "data.parquet", rows=0)
    plan = plan_shards(dataset, SPEC)
    run(folder, dataset, plan)
    assert folder.table().equals(plan.schema.empty_table())
    assert folder.read_summary().rows == 0
    if Path(folder.ref.path).is_absolute():
        assert list(pd.read_parquet(folder.ref.path).columns) == plan.schema.names


STOPPED = """
import os, runpy, sys

test = runpy.run_path(sys.argv[1])
data, out, calls = test["Path"](sys.argv[2]), sys.argv[3], ("replace", "link", "remove", "fsync", "open")
rows = int(sys.argv[4])
dataset = test["open_rows"](data, rows=rows)
plan = test["plan_shards"](dataset, test[sys.argv[5]], rows)


def stop_at(number):
    passed = 0
    for name in calls:

        def stopping(*arguments, real=getattr(os, name), **keywords):
            nonlocal passed
            passed += 1
            if passed == number:
                os._exit(9)
            return real(*arguments, **keywords)

        setattr(os, name, stopping)


number, ended = 0, False
while not ended:
    number += 1
    folder = test["OutputFolder"](f"{out}-{number}")
    pid = os.fork()
    if pid == 0:
        stop_at(number)
        test["run"](folder, dataset, plan)
        os._exit(0)
    ended = os.waitpid(pid, 0)[1] == 0
    test["run"](folder, dataset, plan)
    test["assert_every_row_once"](folder, rows)
    assert test["files"](folder.ref.path) == test["files"](f"{out}-1")
    assert folder.read_summary().rows == rows - rows // 5
print(number)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize(("spec", "rows"), [("SPEC", 5), ("MASKS", 2)])
def test_a_run_that_dies_at_any_of_its_steps_is_completed_by_the_next(tmp_path, spec, rows):
    stopped = run_script(STOPPED, small_runs.__file__, tmp_path / "data.parquet", tmp_path / "out", rows, spec)
    assert int(stopped) > 30


KILLED = """
import os, random, runpy, signal, sys, time

test = runpy.run_path(sys.argv[1])
data, out, kills, rows = test["Path"](sys.argv[2]), sys.argv[3], int(sys.argv[4]), 60
dataset = test["open_rows"](data, rows=rows)
plan = test["plan_shards"](dataset, test[sys.argv[6]], 3)
random.seed(int(sys.argv[5]))
began = time.monotonic()
test["run"](test["OutputFolder"](out + "-whole"), dataset, plan)
whole_s = time.monotonic() - began
for _ in range(kills):
    pid = os.fork()
    if pid == 0:
        test["run"](test["OutputFolder"](out), dataset, plan)
        os._exit(0)
    time.sleep(random.uniform(0.1, 0.6) * whole_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    folder = test["OutputFolder"](out)
    print(sum(folder.committed(shard, plan) is not None for shard in plan.shards), folder.read_summary() is not None)
done = test["run"](test["OutputFolder"](out), dataset, plan)
test["assert_every_row_once"](test["OutputFolder"](out), rows)
assert test["files"](out) == test["files"](out + "-whole")
print("last", len(done))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize(("spec", "kills"), [("SPEC", 6), ("MASKS", 3)])
def test_a_run_killed_at_any_moment_goes_on_and_has_every_row_once(tmp_path, spec, kills):
    killed = run_script(KILLED, small_runs.__file__, tmp_path / "data.parquet", tmp_path / "out", kills, 1, spec)
    *after_kills, last = killed.splitlines()
    progress = [int(line.split()[0]) for line in after_kills]
    assert len(progress) == kills
    assert progress == sorted(progress), "a committed shard was lost"
    assert last.startswith("last")
