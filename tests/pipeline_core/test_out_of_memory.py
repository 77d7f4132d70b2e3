"""Memory that runs out for real: torch's own allocation failures under a limit that the system enforces."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from real_models import MODELS, needs_models
from tiny_models import WORDS, save_tokenizer

# Runs in a process of its own, whose address space ends some hundred MiB above what it uses.
LIMITED = """
import json, resource, sys
import psutil
from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.inference import make_engine
from pipeline_core.records import Record

model, spare_mib, batch_size, texts, rows_alone, runs = json.loads(sys.stdin.read())
spec = PipelineSpec(task="text-classification", model=model, device="cpu", attn_implementation="eager")
pipeline = load_pipeline(spec)
unlimited = infer(spec, texts[:rows_alone], batch=BatchPolicy(batch_size=1))  # starts all threads
alone = [prediction.output["score"] for prediction in unlimited]
limit = psutil.Process().memory_info().vms + spare_mib * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
outcomes = []
for _ in range(runs):
    engine = make_engine(pipeline, spec, BatchPolicy(batch_size=batch_size))
    predictions = list(engine.run(Record(str(row), text) for row, text in enumerate(texts)))
    outcomes.append({
        "ids": [p.record_id for p in predictions],
        "scores": [p.output and p.output["score"] for p in predictions],
        "errors": {p.record_id: p.error for p in predictions if p.error is not None},
        "events": [event.model_dump() for event in engine.figures.memory_events],
        "budget": engine.max_batch_tokens,
    })
json.dump([alone, outcomes], sys.stdout)
"""


class Limited(NamedTuple):
    """What a process with little memory did.

    Attributes:
        alone: The scores of the first rows, one row a batch, before there was a limit.
        outcomes: What each run under the limit ended in, one after the other.
    """

    alone: list[float]
    outcomes: list[dict]


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


def run_limited(
    model: str, spare_mib: int, batch_size: int, texts: list[str], cache: Path, alone: int = 2, runs: int = 1
) -> Limited:
    environment = {**os.environ, "PIPELINE_FLOWS_CACHE": str(cache), "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        input=json.dumps([model, spare_mib, batch_size, texts, alone, runs]),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Limited(*json.loads(done.stdout))


def words(count: int) -> str:
    return " ".join(WORDS[index % len(WORDS)] for index in range(count))


def ids(count: int) -> list[str]:
    return [str(row) for row in range(count)]


def test_a_run_that_exhausts_the_memory_ends_with_every_row_in_smaller_batches(roomy_model, tmp_path):
    # Of all rows together, one tensor of attention scores, 8 heads of 521 by 521 floats a row, takes 580 MiB.
    texts = [words(450 + row) for row in range(70)]
    limited = run_limited(roomy_model, 300, len(texts), texts, tmp_path, alone=len(texts), runs=2)
    first, again = limited.outcomes

    assert first["events"], "the limit was too high to be met"
    assert any("allocat" in e["message"] or "primitive" in e["message"] for e in first["events"])
    assert first["ids"] == ids(70)
    assert first["errors"] == {}
    assert first["scores"] == pytest.approx(limited.alone, abs=1e-4)

    assert first["budget"] < first["events"][0]["padded_tokens"]
    assert len(again["events"]) < len(first["events"]), "what fits was not remembered"
    assert again["errors"] == {}
    assert again["scores"] == pytest.approx(limited.alone, abs=1e-4)


def test_a_row_that_fits_nowhere_is_quarantined_and_the_others_are_answered(roomy_model, tmp_path):
    texts = [words(50) for _ in range(20)]
    texts[7] = words(4000)  # a tensor of its attention scores takes 489 MiB
    ((outcome,),) = run_limited(roomy_model, 300, 8, texts, tmp_path)[1:]
    assert outcome["ids"] == ids(20)
    assert list(outcome["errors"]) == ["7"]
    stage, error_class, message = outcome["errors"]["7"]
    assert (stage, error_class) == ("forward", "InputTooLargeError")
    assert "alone do not fit" in message


@pytest.mark.real
@needs_models
def test_a_full_size_model_survives_a_limit_of_700_mib(tmp_path):
    model = str(MODELS / "distilbert-random")
    # Padded to the longest, one tensor of all rows' attention scores, 12 heads of 506 by 506, takes 1,500 MiB.
    texts = [words(490 if row < 16 else 20) for row in range(128)]
    ((outcome,),) = run_limited(model, 700, len(texts), texts, tmp_path)[1:]
    assert outcome["events"], "the limit was too high to be met"
    assert outcome["ids"] == ids(128)
    assert outcome["errors"] == {}
