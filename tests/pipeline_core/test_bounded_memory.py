"""What a run holds does not grow with the number of rows."""

import json
import os
import subprocess
import sys

import pytest
from real_models import DATA, needs_data
from tiny_models import SENTENCES

# Prints the resident set's peak between the first rows and the last, in MiB above what was there before.
STREAM = """
import json, sys, threading, time
import psutil
from pipeline_core import BatchPolicy, PipelineSpec, infer

model, rows, sentences, dataset, column = json.loads(sys.stdin.read())
spec = PipelineSpec(task="text-classification", model=model, device="cpu")
if dataset:
    from pipeline_core import DatasetRef
    inputs = DatasetRef(path=dataset, column=column, limit=rows)
else:
    inputs = (sentences[row % len(sentences)] + f" {row}" for row in range(rows))
process, peak, seen = psutil.Process(), 0, 0
for prediction in infer(spec, inputs, batch=BatchPolicy(max_batch_tokens=4096)):
    assert prediction.error is None, prediction
    seen += 1
    if seen == 1000:
        start = process.memory_info().rss
    if seen % 500 == 0 and seen > 1000:
        peak = max(peak, process.memory_info().rss - start)
assert seen == rows, seen
print(json.dumps(peak / 2**20))
"""
ALLOWED_MIB = 40


def growth_mib(model: str, rows: int, dataset: str | None = None, column: str | None = None) -> float:
    done = subprocess.run(
        [sys.executable, "-c", STREAM],
        input=json.dumps([model, rows, SENTENCES, dataset, column]),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_many_times_the_rows_of_a_generator_take_no_more_memory(build_model):
    few, many = growth_mib(build_model("distilbert"), 2_000), growth_mib(build_model("distilbert"), 12_000)
    assert many < few + ALLOWED_MIB


@pytest.mark.real
def test_a_hundred_thousand_rows_of_a_generator_take_no_more_memory(build_model):
    few, many = growth_mib(build_model("distilbert"), 10_000), growth_mib(build_model("distilbert"), 100_000)
    print(f"growth over 10,000 rows {few:.0f} MiB, over 100,000 rows {many:.0f} MiB")
    assert many < few + ALLOWED_MIB


@pytest.mark.real
@needs_data
def test_fifty_thousand_reviews_from_parquet_take_no_more_memory(build_model):
    path = str(DATA / "imdb" / "unsupervised.parquet")
    few = growth_mib(build_model("distilbert"), 5_000, path, "text")
    many = growth_mib(build_model("distilbert"), 50_000, path, "text")
    print(f"growth over 5,000 reviews {few:.0f} MiB, over 50,000 reviews {many:.0f} MiB")
    assert many < few + ALLOWED_MIB
