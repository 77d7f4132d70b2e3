"""Windows of a context, and answers out of them."""

import random

import pytest
import torch
import transformers
from reference import same
from tiny_models import SENTENCES, WORDS

import pipeline_core  # noqa: F401 - registers the task
from pipeline_core.pipelines import SquadExample
from pipeline_core.pipelines.context_windows import context_windows

QUESTION = "Who is this film for?"
CONTEXT = " ".join(SENTENCES)
PLAIN = " ".join(random.Random(3).choices(WORDS, k=25))


@pytest.fixture(scope="module")
def answerer(build_model):
    return transformers.pipeline("question-answering", model=build_model("answerer"), device="cpu")


@pytest.fixture(scope="module")
def python_tokenizer(answerer, tmp_path_factory):
    """A tokenizer of the same pieces that is written in Python."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    pieces = sorted(answerer.tokenizer.get_vocab().items(), key=lambda item: item[1])
    file = tmp_path_factory.mktemp("python-tokenizer") / "vocab.txt"
    file.write_text("\n".join(piece for piece, _ in pieces) + "\n", encoding="utf-8")
    named = {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}
    return BertTokenizerLegacy(str(file), model_max_length=64, **named)


@pytest.fixture(params=["fast", "python"])
def tokenizer(request, answerer, python_tokenizer):
    return answerer.tokenizer if request.param == "fast" else python_tokenizer


def places(window):
    """Where each token of the context is, by its number."""
    return {number: window.place(number, number, False) for number, masked in enumerate(window.p_mask) if not masked}


@pytest.mark.parametrize(("size", "stride"), [(24, 4), (32, 8), (64, 16)])
def test_windows_leave_out_nothing_of_a_context_and_fit(tokenizer, size, stride):
    example = SquadExample(None, QUESTION, CONTEXT)
    windows = list(context_windows(tokenizer, example, "do_not_pad", stride, 16, size))
    assert len(windows) > 1
    seen = set()
    for window in windows:
        assert len(window.inputs["input_ids"]) == len(window.p_mask) <= size
        for place in places(window).values():
            assert CONTEXT[place.start : place.end] == place.text
            seen.update(range(place.start, place.end))
    assert {CONTEXT[index] for index in set(range(len(CONTEXT))) - seen} == {" "}


def test_a_tokenizer_in_python_finds_the_answers_of_a_fast_one(answerer, python_tokenizer):
    slow = transformers.pipeline("question-answering", model=answerer.model, tokenizer=python_tokenizer, device="cpu")
    for parameters in ({"top_k": 3}, {"handle_impossible_answer": True, "top_k": 5}, {"max_answer_len": 2}):
        assert same(slow(QUESTION, PLAIN, **parameters), answerer(QUESTION, PLAIN, **parameters))


def test_a_question_that_leaves_no_room_is_an_error(answerer, python_tokenizer):
    example = SquadExample(None, CONTEXT, CONTEXT)
    with pytest.raises(ValueError, match="leaves no room"):
        list(context_windows(python_tokenizer, example, "do_not_pad", 4, 64, 20))


def test_an_answer_of_a_tokenizer_that_pads_on_the_left_is_in_the_context(answerer, build_model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(build_model("answerer"), padding_side="left")
    pipeline = transformers.pipeline("question-answering", model=answerer.model, tokenizer=tokenizer, device="cpu")
    pairs = [{"question": "zz " * words + QUESTION, "context": PLAIN} for words in (0, 3)]
    alone = [pipeline(pair, top_k=4) for pair in pairs]
    for answers in alone:
        assert all(PLAIN[answer["start"] : answer["end"]] == answer["answer"] for answer in answers)
    assert same(pipeline(pairs, top_k=4, batch_size=2), alone)


def test_a_model_in_half_precision_answers_with_scores_near_those_of_single_precision(answerer, build_model):
    folder = build_model("answerer")
    half = transformers.pipeline("question-answering", model=folder, device="cpu", dtype=torch.bfloat16)
    one, other = (pipeline(QUESTION, PLAIN)["score"] for pipeline in (half, answerer))
    assert one == pytest.approx(other, rel=0.2)


def test_unknown_arguments_are_named_in_the_log(answerer, caplog):
    assert same(answerer(QUESTION, PLAIN, wrong=1), answerer(QUESTION, PLAIN))
    assert "takes no notice of wrong" in caplog.text
