"""The engine: each record once, in order, with the answer it has alone, whatever its neighbours."""

import random
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import interrupted_run
from reference import alone, run, same, text_of
from tiny_models import SENTENCES
from transformers import AutoTokenizer

from pipeline_core import BatchPolicy, FailurePolicy, PipelineSpec, infer, load_pipeline
from pipeline_core.errors import FailureBudgetExceededError, WorkStoppedError
from pipeline_core.inference import make_engine, make_stages
from pipeline_core.pipeline_stages import PipelineStages
from pipeline_core.records import Record
from pipeline_core.text_stages import TextStages

BREAKS = "zyzzyva"


@pytest.fixture
def spec(build_model: Callable[[str], str]) -> PipelineSpec:
    return PipelineSpec(task="text-classification", model=build_model("distilbert"), device="cpu")


@pytest.fixture(scope="session")
def brittle_spec(build_model: Callable[[str], str], tmp_path_factory) -> PipelineSpec:
    """A real model that fails on a real word: its tokenizer knows it, its embedding has no row for it."""
    folder = shutil.copytree(build_model("distilbert"), tmp_path_factory.mktemp("brittle") / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([BREAKS])
    tokenizer.save_pretrained(folder)
    return PipelineSpec(task="text-classification", model=str(folder), device="cpu")


def answer_alone(pipeline, inputs) -> tuple[str, object]:
    """("answer", the output), or the class of the error that this record alone raises."""
    try:
        return "answer", alone(pipeline, inputs, truncation=True)
    except IndexError:
        return "IndexError", None


texts = st.one_of(
    st.text(max_size=40),
    st.builds(text_of, st.integers(0, 90), st.integers(0, 5)),
    st.builds(lambda words, seed: f"{text_of(words, seed)} {BREAKS}", st.integers(0, 90), st.integers(0, 2)),
)
policies = st.builds(
    BatchPolicy,
    batch_size=st.none() | st.integers(1, 9),
    max_batch_tokens=st.just("auto") | st.integers(1, 400),
    lookahead_rows=st.integers(1, 40),
    lookahead_bytes=st.integers(1, 10_000),
    preprocess_threads=st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(inputs=st.lists(st.none() | texts | st.integers(), max_size=25), policy=policies)
def test_each_record_gets_the_answer_it_has_alone_in_input_order(brittle_spec, inputs, policy):
    pipeline = load_pipeline(brittle_spec)
    predictions = list(infer(brittle_spec, inputs, batch=policy))
    assert [prediction.record_id for prediction in predictions] == [str(row) for row in range(len(inputs))]
    for given_, prediction in zip(inputs, predictions, strict=True):
        if not isinstance(given_, str):
            assert prediction.output is None
            assert (prediction.error.stage, prediction.error.error_class) == ("preprocess", "InvalidInputError")
            continue
        outcome, wanted = answer_alone(pipeline, given_)
        assert prediction.truncated == (len(pipeline.tokenizer(given_)["input_ids"]) > 64)
        if outcome == "answer":
            assert prediction.error is None
            assert same(prediction.output, wanted)
        else:
            assert prediction.output is None
            assert (prediction.error.stage, prediction.error.error_class) == ("forward", outcome)


@pytest.mark.parametrize("parameters", [{}, {"top_k": None}, {"top_k": 2}, {"function_to_apply": "sigmoid"}])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_text_stages_agree_with_the_pipelines_own_stages(build_model, kind, parameters):
    spec = PipelineSpec(
        task="text-classification",
        model=build_model(kind),
        device="cpu",
        parameters={"truncation": True, "max_length": 20, **parameters},
    )
    pipeline = load_pipeline(spec)
    inputs = [*SENTENCES, "", {"text": SENTENCES[0], "text_pair": SENTENCES[1]}, {"text": "alone"}, "😀 né \ud7ff"]
    fast = make_stages(pipeline, spec)
    assert isinstance(fast, TextStages)
    answers = [run(stages, inputs) for stages in (fast, PipelineStages(pipeline, spec))]
    assert all(prediction.error is None for prediction in answers[0])
    assert same([p.output for p in answers[0]], [p.output for p in answers[1]])
    assert same([p.output for p in answers[0]], [alone(pipeline, given_) for given_ in inputs])


@pytest.mark.parametrize(
    ("task", "kind", "parameters", "inputs"),
    [
        ("token-classification", "tokens", {"aggregation_strategy": "simple"}, SENTENCES),
        ("token-classification", "tokens", {"stride": 4}, [text_of(words) for words in (3, 70, 150, 8)]),
        ("fill-mask", "fill-mask", {"top_k": 3}, ["A [MASK] triumph.", "Two [MASK] I want back, and then [MASK]."]),
        ("feature-extraction", "features", {}, SENTENCES),
        ("zero-shot-classification", "entailment", {"candidate_labels": ["warm", "cold", "odd"]}, SENTENCES),
        ("text-generation", "gpt2", {"max_new_tokens": 5, "do_sample": False}, ["A quiet", "Two hours I want", "Who"]),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 8, None])
def test_other_text_tasks_answer_as_they_do_alone(build_model, task, kind, parameters, inputs, batch_size):
    spec = PipelineSpec(task=task, model=build_model(kind), device="cpu", parameters=parameters)
    pipeline = load_pipeline(spec)
    predictions = list(infer(spec, inputs, batch=BatchPolicy(batch_size=batch_size, lookahead_rows=5)))
    assert all(prediction.error is None for prediction in predictions), predictions
    assert same([prediction.output for prediction in predictions], [alone(pipeline, given_) for given_ in inputs])


def test_images_of_unequal_sizes_answer_as_they_do_alone(build_model):
    from PIL import Image

    spec = PipelineSpec(task="image-classification", model=build_model("vit"), device="cpu")
    pipeline = load_pipeline(spec)
    images = [Image.new("RGB", (20 + 9 * n, 50 - 3 * n), (n * 20, 90, 255 - n * 20)) for n in range(7)]
    predictions = list(infer(spec, images, batch=BatchPolicy(batch_size=3)))
    assert same([prediction.output for prediction in predictions], [alone(pipeline, image) for image in images])


def test_a_string_is_never_opened_as_a_file(build_model, tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "secret.png")
    spec = PipelineSpec(task="image-classification", model=build_model("vit"), device="cpu")
    refused, opened = infer(spec, [str(tmp_path / "secret.png"), tmp_path / "secret.png"])
    assert refused.error is not None
    assert "a string is data" in refused.error.message
    assert opened.error is None


@pytest.mark.parametrize("max_batch_tokens", [1, 30, 64, 200, 1000])
def test_no_batch_is_larger_than_its_budget_unless_one_record_is(spec, max_batch_tokens):
    sizes = []
    stages = make_stages(load_pipeline(spec), spec)
    forward = stages.forward
    stages.forward = lambda chunks: sizes.append([chunk.length for chunk in chunks]) or forward(chunks)
    run(stages, [text_of(words) for words in range(80)], BatchPolicy(max_batch_tokens=max_batch_tokens))
    assert sum(map(len, sizes)) == 80
    assert all(len(size) * max(size) <= max_batch_tokens or len(size) == 1 for size in sizes)


def test_a_batch_size_that_a_user_sets_is_kept(spec):
    sizes = []
    stages = make_stages(load_pipeline(spec), spec)
    forward = stages.forward
    stages.forward = lambda chunks: sizes.append(len(chunks)) or forward(chunks)
    run(stages, [text_of(words) for words in range(40)], BatchPolicy(batch_size=7, lookahead_rows=35))
    assert sizes == [7, 7, 7, 7, 7, 5]


def test_sorting_in_the_look_ahead_leaves_little_padding(spec):
    rows = [text_of(random.Random(row).randrange(1, 60), row) for row in range(1500)]
    engine = make_engine(load_pipeline(spec), spec, BatchPolicy(max_batch_tokens=256, lookahead_rows=512))
    assert len(list(engine.run(Record(str(row), text) for row, text in enumerate(rows)))) == 1500
    assert engine.figures.padding_share < 0.03
    assert engine.figures.rows == 1500


def test_rows_are_read_only_as_far_ahead_as_the_policy_says(spec):
    read = []

    def endless() -> Iterator[str]:
        for row in range(10**9):
            read.append(row)
            yield SENTENCES[row % len(SENTENCES)]

    policy = BatchPolicy(lookahead_rows=32, batch_size=4)
    predictions = infer(spec, endless(), batch=policy)
    assert read == []
    for row in range(100):
        assert next(predictions).record_id == str(row)
        assert len(read) <= row + 1 + 2 * 32 + 64
    predictions.close()


def test_stopping_early_leaves_no_thread_behind(spec):
    before = threading.active_count()
    predictions = infer(spec, (SENTENCES[row % 6] for row in range(10_000)), batch=BatchPolicy(lookahead_rows=16))
    next(predictions)
    predictions.close()
    assert threading.active_count() == before


def test_on_a_cpu_only_the_model_computes_with_all_threads(spec):
    stages, seen = make_stages(load_pipeline(spec), spec), {}

    def noting(stage):
        work = getattr(stages, stage)
        setattr(stages, stage, lambda given: seen.setdefault(stage, torch.get_num_threads()) and work(given))

    for stage in ("preprocess", "forward", "postprocess"):
        noting(stage)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert len(run(stages, ["warm", "odd"])) == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {"preprocess": 1, "forward": 3, "postprocess": 1}


def test_rows_that_nobody_wants_any_more_are_not_inferred(spec):
    stages, batches = make_stages(load_pipeline(spec), spec), []
    forward = stages.forward

    def work(interrupt):
        def counted(chunks):
            batches.append(len(chunks))
            if len(batches) == 2:
                interrupt()
            return forward(chunks)

        stages.forward = counted
        return run(stages, ["warm"] * 20, BatchPolicy(batch_size=2))

    with pytest.raises(WorkStoppedError):
        interrupted_run(work)
    assert len(batches) == 2


def test_a_batch_that_fails_is_bisected_to_its_bad_rows(spec):
    stages = make_stages(load_pipeline(spec), spec)
    forward, bad = stages.forward, {3, 11, 12, 40}

    def failing(chunks):
        if any(chunk.record in bad for chunk in chunks):
            raise ValueError("index out of range in self")
        return forward(chunks)

    stages.forward = failing
    inputs = [text_of(words % 30 + 1) for words in range(50)]
    predictions = run(stages, inputs)
    assert {int(p.record_id) for p in predictions if p.error} == bad
    assert {p.error for p in predictions if p.error} == {("forward", "ValueError", "index out of range in self")}
    pipeline = load_pipeline(spec)
    good = [row for row in range(50) if row not in bad]
    assert same([predictions[row].output for row in good], [alone(pipeline, inputs[row]) for row in good])


def test_a_row_that_the_model_fails_on_is_the_only_row_lost(brittle_spec):
    predictions = list(infer(brittle_spec, [*SENTENCES, f"what a {BREAKS}", *SENTENCES]))
    assert [p.record_id for p in predictions if p.error] == [str(len(SENTENCES))]


@pytest.mark.parametrize(
    ("policy", "bad_at", "exceeded"),
    [
        (FailurePolicy(), [1, 2, 3], False),
        (FailurePolicy(max_bad_rows=3), [1, 2, 3], False),
        (FailurePolicy(max_bad_rows=2), [1, 2, 3], True),
        (FailurePolicy(max_bad_fraction=0.3), [1, 2, 3], False),
        (FailurePolicy(max_bad_fraction=0.25), [1, 2, 3], True),
        (FailurePolicy(max_bad_rows=0), [], False),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_failure_budget_stops_the_run_when_it_is_exceeded_and_not_before(spec, policy, bad_at, exceeded, known):
    inputs = [None if row in bad_at else SENTENCES[0] for row in range(10)]
    predictions = infer(spec, inputs if known else iter(inputs), failures=policy)
    if not exceeded:
        assert len(list(predictions)) == 10
        return
    with pytest.raises(FailureBudgetExceededError, match="records failed, more than FailurePolicy") as caught:
        list(predictions)
    assert caught.value.bad_rows == 3
    assert "record '1': InvalidInputError in preprocess" in str(caught.value)


def test_concurrent_runs_share_a_model_and_do_not_mix(spec):
    wanted = {words: alone(load_pipeline(spec), text_of(words)) for words in range(1, 30)}
    found: dict[int, list] = {}

    def work(number: int) -> None:
        inputs = [text_of(words) for words in range(1, 30)]
        found[number] = [prediction.output for prediction in infer(spec, inputs, batch=BatchPolicy(batch_size=number))]

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(answers, list(wanted.values())) for answers in found.values())
    assert len(found) == 3


def test_two_runs_can_be_read_in_turn(spec):
    pairs = zip(infer(spec, SENTENCES), infer(spec, reversed(SENTENCES)), strict=True)
    forward, backward = zip(*((a.output, b.output) for a, b in pairs), strict=True)
    assert same(list(forward), list(reversed(backward)))


def test_rows_before_an_error_of_the_source_are_answered(spec):
    def failing() -> Iterator[str]:
        yield from SENTENCES
        raise ConnectionError("the source has gone")

    found = []
    with pytest.raises(ConnectionError, match="the source has gone"):
        found.extend(prediction.record_id for prediction in infer(spec, failing()))
    found = []
    try:
        for prediction in infer(spec, failing()):
            found.append(prediction.record_id)
    except ConnectionError:
        pass
    assert found == [str(row) for row in range(len(SENTENCES))]


def test_with_a_look_ahead_of_one_each_answer_comes_before_the_next_row_is_read(spec):
    answered = 0

    def live() -> Iterator[str]:
        for row, text in enumerate(SENTENCES):
            assert answered == row
            yield text

    for _ in infer(spec, live(), batch=BatchPolicy(lookahead_rows=1)):
        answered += 1
    assert answered == len(SENTENCES)


def test_raw_inputs_count_towards_the_bytes_that_are_held(spec):
    read = []

    def large() -> Iterator[str]:
        for row in range(400):
            read.append(row)
            yield "x" * 100_000

    predictions = infer(spec, large(), batch=BatchPolicy(lookahead_bytes=2_000_000))
    next(predictions)
    assert len(read) < 150
    predictions.close()


def test_a_row_that_makes_the_tokenizer_panic_is_quarantined(build_model):
    spec = PipelineSpec(
        task="question-answering",
        model=build_model("answerer"),
        device="cpu",
        parameters={"doc_stride": 12, "max_seq_len": 24},
    )
    long = " ".join(SENTENCES)
    rows = [{"question": "Who?", "context": long}, {"question": SENTENCES[2], "context": long}]
    answered, panicked = infer(spec, rows)
    assert answered.error is None
    assert panicked.error.stage == "preprocess"
