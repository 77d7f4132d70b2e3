"""Texts that are too long for the model are cut, refused or read in windows, whatever the task."""

from collections.abc import Callable

import pytest
import torch
from reference import TOLERANCE, alone, same, text_of
from tiny_models import SENTENCES

from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.inference import make_engine
from pipeline_core.records import Record

BREAKS = "zyzzyva"


@pytest.fixture
def spec(build_model: Callable[[str], str]) -> PipelineSpec:
    return PipelineSpec(task="text-classification", model=build_model("distilbert"), device="cpu")


def test_text_that_is_too_long_is_cut_refused_or_read_in_windows(spec):
    import numpy as np

    long, short = text_of(150), text_of(5)
    pipeline = load_pipeline(spec)
    cut, whole = infer(spec, [long, short])
    assert (cut.truncated, whole.truncated) == (True, False)
    assert cut.tokens == 64

    refused, whole = infer(spec.model_copy(update={"on_long": "error"}), [long, short])
    assert refused.error.error_class == "InputTooLongError"
    assert "above the model's 64" in refused.error.message
    assert whole.error is None

    window = spec.model_copy(
        update={"on_long": "window", "window_stride": 10, "parameters": {"function_to_apply": "none", "top_k": None}}
    )
    read, whole = infer(window, [long, short])
    tokens = pipeline.tokenizer(long, truncation=True, stride=10, return_overflowing_tokens=True, padding=False)[
        "input_ids"
    ]
    assert len(tokens) > 2
    assert read.tokens == sum(map(len, tokens))
    assert not read.truncated

    with torch.inference_mode():
        logits = [pipeline.model(torch.tensor([ids])).logits[0].numpy() for ids in tokens]
    wanted = np.average(logits, axis=0, weights=list(map(len, tokens)))
    found = {entry["label"]: entry["score"] for entry in read.output}
    assert [found["NEG"], found["POS"]] == pytest.approx(list(wanted), abs=TOLERANCE)
    assert same(whole.output, alone(pipeline, short, top_k=None, function_to_apply="none"))


@pytest.mark.parametrize(
    ("task", "kind", "parameters"),
    [
        ("token-classification", "tokens", {}),
        ("zero-shot-classification", "entailment", {"candidate_labels": ["warm", "odd"]}),
        ("feature-extraction", "features", {}),
        ("fill-mask", "fill-mask", {}),
    ],
)
def test_other_text_tasks_cut_count_and_refuse_long_text_too(build_model, task, kind, parameters):
    spec = PipelineSpec(task=task, model=build_model(kind), device="cpu", parameters=parameters)
    texts = [f"[MASK] {text_of(150)}", f"[MASK] {text_of(4)}"]
    cut, whole = infer(spec, texts)
    assert (cut.error, whole.error) == (None, None)
    assert (cut.truncated, whole.truncated) == (True, False)
    refused, whole = infer(spec.model_copy(update={"on_long": "error"}), texts)
    assert refused.error.error_class == "InputTooLongError"
    assert whole.error is None


def test_text_past_the_models_positions_is_refused_before_it_reaches_the_model(build_model):
    spec = PipelineSpec(
        task="text-classification", model=build_model("distilbert"), device="cpu", parameters={"truncation": False}
    )
    refused, whole = infer(spec, [text_of(150), text_of(4)])
    assert (refused.error.stage, refused.error.error_class) == ("preprocess", "InputTooLongError")
    assert whole.error is None


def test_a_text_of_sixty_thousand_words_among_short_ones_is_read_in_windows(build_model):
    spec = PipelineSpec(
        task="token-classification", model=build_model("tokens"), device="cpu", parameters={"stride": 4}
    )
    engine = make_engine(load_pipeline(spec), spec, BatchPolicy(max_batch_tokens=2_048))
    texts = [SENTENCES[1], text_of(60_000), SENTENCES[2]]
    short, long, other = engine.run(Record(str(row), text) for row, text in enumerate(texts))
    assert long.error is None
    assert long.tokens > 60_000
    assert engine.figures.batches >= long.tokens // 2_048
    assert [same(p.output, alone(load_pipeline(spec), texts[int(p.record_id)])) for p in (short, other)] == [True, True]
