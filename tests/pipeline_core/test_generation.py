"""Generation in batches: greedy unless asked, the same text whatever the batch, from a seed of the record's own."""

import pytest
from real_models import MODELS, needs_models
from reference import run, text_of
from tiny_models import SENTENCES

from pipeline_core import BatchPolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.inference import make_stages
from pipeline_core.records import Record

PROMPTS = [*SENTENCES[:4], text_of(1), text_of(20), SENTENCES[1]]
GREEDY = {"max_new_tokens": 6, "do_sample": False}
SIZES = [BatchPolicy(batch_size=size) for size in (1, 2, 8)] + [BatchPolicy()]


@pytest.fixture
def spec_of(build_model):
    def make(**parameters) -> PipelineSpec:
        return PipelineSpec(
            task="text-generation",
            model=build_model("gpt2"),
            device="cpu",
            parameters={"max_new_tokens": 6, **parameters},
        )

    return make


def outputs(spec, inputs, policy):
    predictions = list(infer(spec, inputs, batch=policy))
    assert all(prediction.error is None for prediction in predictions), predictions
    return [prediction.output for prediction in predictions]


def test_a_batch_job_is_greedy_unless_sampling_is_asked_for(spec_of):
    pipeline = load_pipeline(spec_of())
    greedy = [pipeline(prompt, **GREEDY) for prompt in PROMPTS]
    assert outputs(spec_of(), PROMPTS, BatchPolicy()) == greedy
    sampled = outputs(spec_of(temperature=5.0, do_sample=True), PROMPTS, BatchPolicy())
    assert sampled != greedy


@pytest.mark.parametrize(
    "parameters", [{"do_sample": True, "temperature": 5.0}, {"do_sample": True, "top_k": 50, "num_return_sequences": 2}]
)
def test_a_sampled_text_depends_on_its_record_and_the_seed_alone(spec_of, parameters):
    spec = spec_of(**parameters)
    first = outputs(spec, PROMPTS, SIZES[0])
    assert all(outputs(spec, PROMPTS, policy) == first for policy in SIZES[1:])
    assert first[1] != first[6], "two records with one prompt have seeds of their own"
    other = spec.model_copy(update={"seed": 1})
    assert outputs(other, PROMPTS, BatchPolicy()) != first
    assert other.fingerprint != spec.fingerprint

    # A record keeps its text when it moves to another place of another dataset.
    stages = make_stages(load_pipeline(spec), spec)
    (moved,) = stages.preprocess([(41, Record("1", PROMPTS[1]))])
    assert stages.postprocess([stages.forward(moved)]) == [first[1]]


def test_arguments_of_generate_may_stand_in_a_dict_of_their_own(spec_of):
    flat, nested = spec_of(repetition_penalty=9.0), spec_of(generate_kwargs={"repetition_penalty": 9.0})
    assert outputs(nested, PROMPTS, BatchPolicy()) == outputs(flat, PROMPTS, BatchPolicy())
    assert outputs(flat, PROMPTS, BatchPolicy()) != outputs(spec_of(), PROMPTS, BatchPolicy())


@pytest.mark.parametrize("ends", [list(range(3, 60)), list(range(100, 180))])
def test_each_text_of_a_batch_ends_for_itself(spec_of, ends):
    spec = spec_of(max_new_tokens=30, eos_token_id=ends, return_tensors=True)
    wanted = outputs(spec, PROMPTS, SIZES[0])
    assert len({len(output[0]["generated_token_ids"]) for output in wanted}) > 1
    assert all(outputs(spec, PROMPTS, policy) == wanted for policy in SIZES[1:])


@pytest.mark.parametrize(
    "parameters",
    [
        {"repetition_penalty": 9.0},
        {"no_repeat_ngram_size": 1},
        {"min_length": 9, "max_new_tokens": 12, "eos_token_id": list(range(3, 200))},
        {"max_new_tokens": None, "max_length": 30},
    ],
)
def test_settings_that_read_the_prompt_never_read_padding(spec_of, parameters):
    spec = spec_of(**parameters)
    prompts = [SENTENCES[1], text_of(3), SENTENCES[1], text_of(2)]
    pipeline = load_pipeline(spec)
    wanted = [pipeline(prompt, do_sample=False) for prompt in prompts]
    for policy in SIZES:
        assert outputs(spec, prompts, policy) == wanted


def test_the_budget_counts_the_prompt_and_what_may_follow(spec_of):
    spec = spec_of()
    stages = make_stages(load_pipeline(spec), spec)
    sizes, forward = [], stages.forward
    stages.forward = lambda chunks: sizes.append([chunk.length for chunk in chunks]) or forward(chunks)
    run(stages, PROMPTS * 3, BatchPolicy(max_batch_tokens=60))
    assert sum(map(len, sizes)) == len(PROMPTS) * 3
    assert max(map(len, sizes)) > 1
    assert all(len(lengths) * (max(lengths) + 6) <= 60 or len(lengths) == 1 for lengths in sizes)


@pytest.mark.parametrize("side", ["left", "right"])
def test_unequal_prompts_are_padded_before_their_first_token(spec_of, monkeypatch, side):
    spec = spec_of()
    pipeline = load_pipeline(spec)
    monkeypatch.setattr(pipeline.tokenizer, "padding_side", side)
    stages = make_stages(pipeline, spec)
    sizes, forward = [], stages.forward
    stages.forward = lambda chunks: sizes.append({chunk.length for chunk in chunks}) or forward(chunks)
    found = [prediction.output for prediction in run(stages, PROMPTS, BatchPolicy(batch_size=7))]
    assert found == [pipeline(prompt, **GREEDY) for prompt in PROMPTS]
    assert stages.batching == "pad"
    assert any(len(lengths) > 1 for lengths in sizes)


@pytest.mark.real
@needs_models
def test_a_real_chat_model_gives_each_record_its_own_text_in_any_batch():
    spec = PipelineSpec(
        task="text-generation",
        model=str(MODELS / "smollm2-135m-instruct"),
        device="cpu",
        dtype="float32",
        parameters={"max_new_tokens": 16, "return_full_text": False},
    )
    inputs = [
        [{"role": "user", "content": "What is the capital of France?"}],
        "The three primary colours are",
        [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Is the sea salty?"}],
        "Once upon a time, in a village by the sea, there lived an old fisherman who",
        "Water boils at",
    ]
    wanted = outputs(spec, inputs, BatchPolicy(batch_size=1))
    assert "Paris" in wanted[0][0]["generated_text"]
    assert outputs(spec, inputs, BatchPolicy(batch_size=5)) == wanted
    assert make_stages(load_pipeline(spec), spec).batching == "pad"

    stopped = spec.model_copy(update={"parameters": {**spec.parameters, "stop_strings": ["is"], "max_new_tokens": 24}})
    wanted = outputs(stopped, inputs, BatchPolicy(batch_size=1))
    assert wanted[0][0]["generated_text"].endswith("is")
    assert outputs(stopped, inputs, BatchPolicy(batch_size=5)) == wanted
