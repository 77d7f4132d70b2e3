"""The columns that make up an input: those named, those of the usual names, and what is said where there are none."""

import pytest

from pipeline_core.catalog import find_task, task_names
from pipeline_core.errors import ColumnNotFoundError, InputNotFoundError, SpecError
from pipeline_core.input_columns import choose_column
from pipeline_core.task_inputs import TASK_INPUTS


def choose(task, columns, named=None, given=(), texts=()):
    return choose_column("data.csv", named, columns, lambda: list(texts), TASK_INPUTS[task], given)


@pytest.mark.parametrize("task", TASK_INPUTS)
def test_columns_of_the_usual_names_are_taken_unasked(task):
    required = [one for one in TASK_INPUTS[task] if one.required]
    columns = {one.name: one.columns[0] for one in required}
    found = choose(task, [*columns.values(), "id", "note"])
    assert found == (columns if len(required) > 1 else columns[required[0].name])


@pytest.mark.parametrize("task", TASK_INPUTS)
def test_any_columns_are_taken_by_the_names_of_the_inputs(task):
    named = {one.name: f"my {one.name}" for one in TASK_INPUTS[task] if one.required}
    assert choose(task, [*named.values(), "other"], named) == named


@pytest.mark.parametrize("task", [task for task in TASK_INPUTS if task not in ("text-to-audio",)])
def test_a_dataset_without_the_columns_gets_one_error_with_the_inputs_and_the_columns(task):
    with pytest.raises((InputNotFoundError, ColumnNotFoundError)) as refused:
        choose(task, ["a", "b"], texts=["a", "b"])
    message = str(refused.value)
    assert "its columns are a, b" in message or "columns are a, b" in message
    required = [one.name for one in TASK_INPUTS[task] if one.required]
    assert len(required) == 1 or all(name in message for name in required)


def test_every_task_of_the_registry_has_inputs():
    assert {find_task(name).name for name in task_names()} <= TASK_INPUTS.keys()


@pytest.mark.parametrize("task", TASK_INPUTS)
def test_the_first_input_can_stand_alone_and_what_an_input_replaces_is_an_input(task):
    inputs = TASK_INPUTS[task]
    assert inputs[0].required
    names = [one.name for one in inputs]
    assert len(set(names)) == len(names)
    assert all(set(one.replaces) <= set(names) - {one.name} for one in inputs)
    assert not any(one.replaces for one in inputs if one.required)


@pytest.mark.parametrize(
    ("task", "columns", "named", "found"),
    [
        ("question-answering", ["q", "context"], "q", {"question": "q", "context": "context"}),
        ("question-answering", ["question", "body"], "question", {"question": "question", "context": "body"}),
        ("question-answering", ["question", "body"], {"context": "body"}, {"context": "body", "question": "question"}),
        ("text-classification", ["text", "text_pair"], None, {"text": "text", "text_pair": "text_pair"}),
        ("text-classification", ["text", "text_pair"], "text", "text"),
        ("text-classification", ["text", "text_pair"], {"text": "text"}, {"text": "text"}),
        ("text-generation", ["prompt", "messages"], None, "prompt"),
        ("text-generation", ["messages", "n"], None, {"messages": "messages"}),
        ("text-generation", ["prompt", "messages"], "messages", {"messages": "messages"}),
        ("image-text-to-text", ["image", "messages"], None, {"messages": "messages"}),
        ("image-text-to-text", ["image", "prompt"], None, {"images": "image", "text": "prompt"}),
        ("visual-question-answering", ["photo", "query"], None, {"image": "photo", "question": "query"}),
        ("decision", ["state", "questions"], None, {"state": "state", "questions": "questions"}),
    ],
)  # fmt: skip
def test_what_is_named_goes_first_and_the_rest_is_found(task, columns, named, found):
    texts = ["body"] if "body" in columns else []
    assert choose(task, columns, named, texts=texts) == found


def test_an_input_that_is_a_parameter_needs_no_column():
    assert choose("zero-shot-classification", ["text"], given={"candidate_labels"}) == "text"
    with pytest.raises(InputNotFoundError, match="no column for the input 'candidate_labels'"):
        choose("zero-shot-classification", ["text"])


def test_a_lone_text_column_is_taken_for_the_one_text_that_is_missing():
    found = choose("question-answering", ["question", "p", "n"], texts=["question", "p"])
    assert found == {"question": "question", "context": "p"}
    with pytest.raises(InputNotFoundError):
        choose("question-answering", ["p", "r"], texts=["p", "r"])


def test_a_name_that_is_no_input_of_the_task_is_refused_with_those_that_are():
    with pytest.raises(SpecError, match="inputs question, context to columns, but names 'passage'"):
        choose("question-answering", ["a", "b"], {"question": "a", "passage": "b"})
    with pytest.raises(ColumnNotFoundError, match="has no column 'c'"):
        choose("question-answering", ["a", "b"], {"question": "a", "context": "c"})


def test_a_task_that_the_catalog_does_not_know_takes_any_keys():
    assert choose_column("d", {"x": "a"}, ["a"], list) == {"x": "a"}
    assert choose_column("d", None, ["text", "a"], list) == "text"
