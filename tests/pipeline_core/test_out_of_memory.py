"""Memory that runs out for real: torch's own allocation failures under a limit that the system enforces."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import WORDS, save_tokenizer

# Runs in a process of its own, whose address space ends some hundred MiB above what it uses.
LIMITED = """
import json, resource, sys
import psutil
from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.inference import make_engine
from pipeline_core.records import Record

model, spare_mib, policy, texts = json.loads(sys.stdin.read())
spec = PipelineSpec(task="text-classification", model=model, device="cpu", attn_implementation="eager")
pipeline = load_pipeline(spec)
unlimited = list(infer(spec, texts[:2], batch=BatchPolicy(batch_size=2)))  # starts all threads
limit = psutil.Process().memory_info().vms + spare_mib * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
engine = make_engine(pipeline, spec, BatchPolicy(**policy))
predictions = list(engine.run(Record(str(row), text) for row, text in enumerate(texts)))
json.dump({
    "answers": [[p.record_id, p.output and p.output["score"], p.error] for p in predictions],
    "events": [event.model_dump() for event in engine.figures.memory_events],
    "batches": engine.figures.batches,
    "budget": engine.max_batch_tokens,
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def roomy_model(tmp_path_factory) -> str:
    """A model whose batches take hundreds of MiB and whose weights take ten; it reads 4,096 tokens."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("roomy")
    torch.manual_seed(5)
    config = transformers.DistilBertConfig(
        vocab_size=save_tokenizer(folder, token_types=False, max_length=4096),
        dim=128,
        hidden_dim=2048,
        n_layers=1,
        n_heads=8,
        max_position_embeddings=4096,
        initializer_range=0.2,
    )
    transformers.DistilBertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def run_limited(model: str, spare_mib: int, policy: dict, texts: list[str], cache: Path) -> dict:
    environment = {**os.environ, "PIPELINE_FLOWS_CACHE": str(cache), "OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        input=json.dumps([model, spare_mib, policy, texts]),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def words(count: int) -> str:
    return " ".join(WORDS[index % len(WORDS)] for index in range(count))


def scores(outcome: dict) -> list[float]:
    return [score for _, score, _ in outcome["answers"]]


def test_a_run_that_exhausts_the_memory_ends_with_every_row_in_smaller_batches(roomy_model, tmp_path):
    texts = [words(450 + row) for row in range(40)]
    policy = {"batch_size": 40}
    spacious = run_limited(roomy_model, 16_000, {"batch_size": 1}, texts, tmp_path / "spacious")
    limited = run_limited(roomy_model, 400, policy, texts, tmp_path / "cache")

    assert spacious["events"] == []
    assert limited["events"], "the limit was too high to be met"
    assert any("allocat" in e["message"] or "primitive" in e["message"] for e in limited["events"])
    assert [record_id for record_id, _, _ in limited["answers"]] == [str(row) for row in range(40)]
    assert all(error is None for _, _, error in limited["answers"])
    assert scores(limited) == pytest.approx(scores(spacious), abs=1e-4)

    assert limited["budget"] < limited["events"][0]["padded_tokens"]
    again = run_limited(roomy_model, 400, policy, texts, tmp_path / "cache")
    assert len(again["events"]) < len(limited["events"]), "what fits was not remembered"
    assert scores(again) == pytest.approx(scores(spacious), abs=1e-4)


def test_a_row_that_fits_nowhere_is_quarantined_and_the_others_are_answered(roomy_model, tmp_path):
    texts = [words(50) for _ in range(20)]
    texts[7] = words(3500)
    outcome = run_limited(roomy_model, 400, {"batch_size": 8}, texts, tmp_path / "cache")
    failed = {record_id: error for record_id, _, error in outcome["answers"] if error}
    assert list(failed) == ["7"]
    stage, error_class, message = failed["7"]
    assert (stage, error_class) == ("forward", "InputTooLargeError")
    assert "alone do not fit" in message


@pytest.mark.real
def test_a_full_size_model_survives_a_limit_of_700_mib(tmp_path):
    folder = os.environ.get("PIPELINE_FLOWS_MODELS")
    if not folder:
        pytest.skip("PIPELINE_FLOWS_MODELS is not set")
    model = str(Path(folder) / "distilbert-random")
    texts = [words(100 + row) for row in range(48)]
    limited = run_limited(model, 700, {"batch_size": 48}, texts, tmp_path / "cache")
    assert limited["events"]
    assert len(limited["answers"]) == 48
    assert all(error is None for _, _, error in limited["answers"])
