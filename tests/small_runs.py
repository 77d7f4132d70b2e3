"""Runs small enough to be stopped at every step: rows r0, r1, ... of which every fifth has no answer."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline_core.figures import Figures
from pipeline_core.pinning import ModelRecord
from pipeline_core.records import Prediction, RowError
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import DatasetRef, open_dataset
from pipeline_core.spec import PipelineSpec
from pipeline_core.storage import Storage

__all__ = ["OutputFolder", "plan_shards"]

SPEC = PipelineSpec(task="text-classification", model="demo:sentiment")
MASKS = PipelineSpec(task="image-segmentation", model="demo:sentiment")


def model_at(revision: str) -> ModelRecord:
    return ModelRecord(name="demo:sentiment", revision=revision, dtype="auto")


def open_rows(path, rows=10, text="text", where=()):
    """Rows r0, r1, ... of which every fifth has no answer."""
    schema = pa.schema([("id", pa.string()), ("n", pa.int64()), ("note", pa.string()), ("text", pa.string())])
    columns = {
        "id": [f"r{n}" for n in range(rows)],
        "n": list(range(rows)),
        "note": [None if n < rows / 2 else "seen" for n in range(rows)],
        "text": [f"{text} {n}" for n in range(rows)],
    }
    pq.write_table(pa.table(columns, schema=schema), path)
    ref = DatasetRef(path=str(path), column="text", id_column="id", keep_columns=["n", "note"], where=list(where))
    return open_dataset(ref, SPEC.task)


def answer(record, bad=5, task=SPEC.task):
    number = int(record.id[1:])
    if bad and number % bad == bad - 1:
        return Prediction(record.id, None, error=RowError("forward", "ValueError", f"no {record.id}"))
    if task == MASKS.task:
        mask = Image.new("L", (4, 3), number)
        return Prediction(record.id, [{"score": None, "label": "sky", "mask": mask}], tokens=3)
    return Prediction(record.id, {"label": "POS", "score": 0.5}, tokens=3)


def write_shard(folder, dataset, plan, shard, owner=None, bad=5):
    predictions = [(record, answer(record, bad, plan.spec.task)) for record in dataset.records(shard.start, shard.stop)]
    figures = Figures(rows=len(predictions), quarantined=sum(p.error is not None for _, p in predictions))
    with folder.shard_writer(shard, plan, owner) as writer:
        for record, prediction in predictions:
            writer.write(record, prediction)
        return writer.commit(figures)


def run(folder, dataset, plan, bad=5):
    """All of a run; which shards it did."""
    done = []
    with folder.claim() as lease:
        folder.adopt(plan, lease.owner)
        for shard in plan.shards:
            if folder.committed(shard, plan) is None:
                write_shard(folder, dataset, plan, shard, lease.owner, bad)
                done.append(shard.index)
        folder.commit_run(plan, lease.owner)
    return done


def assert_every_row_once(folder, rows):
    answered, set_aside = folder.table()["id"].to_pylist(), folder.quarantine()["id"].to_pylist()
    assert sorted(answered + set_aside) == sorted(f"r{n}" for n in range(rows))
    assert answered == sorted(answered, key=lambda name: int(name[1:]))
    if folder.require_plan().spec.task == MASKS.task:
        assert_every_mask_is_its_rows(folder)


def assert_every_mask_is_its_rows(folder):
    storage, seen = Storage(folder.ref.path), []
    for row in folder.table().to_pylist():
        (segment,) = row["predictions"]
        seen.append(segment["mask"])
        image = Image.open(io.BytesIO(storage.read(segment["mask"])))
        assert image.getextrema() == (int(row["id"][1:]),) * 2
    assert sorted(seen) == storage.names("_media/")


def files(path):
    return sorted(str(file.relative_to(path)) for file in Path(path).rglob("*") if file.is_file())


def damage(path, how):
    content = path.read_bytes()
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        at = len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def readers(out):
    import datasets
    import duckdb

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(out), cache_dir=str(out) + "-cache", split="train")
    pattern = f"{out}/*.parquet"
    return {
        "datasets": list(loaded["id"]),
        "pandas": list(pd.read_parquet(out)["id"]),
        "duckdb": [name for (name,) in duckdb.sql("SELECT id FROM read_parquet($1)", params=[pattern]).fetchall()],
    }


def run_script(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
