"""A record's inputs in the shape that the task's pipeline takes, from cells of JSONL, parquet and CSV files."""

import json

import pandas
import pytest

from pipeline_core import PipelineSpec, infer
from pipeline_core.catalog import find_task
from pipeline_core.errors import InvalidInputError
from pipeline_core.input_shapes import shape_inputs

CHAT = [{"role": "user", "content": "Hello"}]
ROWS = [{"city": "Oslo", "people": "700000"}, {"city": "Bergen", "people": "290000"}]
COLUMNS = {"city": ["Oslo", "Bergen"], "people": ["700000", "290000"]}


def shaped(task, inputs, **given):
    return shape_inputs(find_task(task), inputs, given)


@pytest.mark.parametrize("inputs", ["a text", None, 3, ["a", "b"], {"raw": [0.0], "sampling_rate": 16000}, object()])
@pytest.mark.parametrize("task", ["fill-mask", "audio-classification", "text-classification"])
def test_what_is_no_dict_of_inputs_is_handed_on_as_it_is(task, inputs):
    assert shaped(task, inputs) == (inputs, {})


def test_a_lone_input_is_handed_on_by_itself_and_several_as_a_dict():
    assert shaped("fill-mask", {"text": "a [MASK]"}).inputs == "a [MASK]"
    assert shaped("image-classification", {"image": b"png"}).inputs == b"png"
    assert shaped("text-classification", {"text": "a", "text_pair": None}).inputs == "a"
    pair = {"text": "a", "text_pair": "b"}
    assert shaped("text-classification", pair).inputs == pair
    document = {"image": b"png", "question": "Who?"}
    assert shaped("document-question-answering", {**document, "word_boxes": None}).inputs == document
    boxes = [["Ann", [1, 2, 3, 4]]]
    with_boxes = shaped("document-question-answering", {**document, "word_boxes": json.dumps(boxes)})
    assert with_boxes.inputs == {**document, "word_boxes": boxes}


def test_a_pair_of_images_is_a_list():
    assert shaped("keypoint-matching", {"image_1": b"two", "image_0": b"one"}).inputs == [b"one", b"two"]


@pytest.mark.parametrize("task", ["text-generation", "image-text-to-text", "any-to-any"])
@pytest.mark.parametrize("cell", [CHAT, json.dumps(CHAT)])
def test_a_chat_is_read_from_its_column_as_a_list_or_as_json(task, cell):
    assert shaped(task, {"messages": cell}).inputs == CHAT


@pytest.mark.parametrize("table", [ROWS, COLUMNS, json.dumps(ROWS), json.dumps(COLUMNS), pandas.DataFrame(COLUMNS)])
def test_a_table_is_read_from_rows_columns_and_json(table):
    inputs = shaped("table-question-answering", {"table": table, "query": "Where?"}).inputs
    assert inputs["query"] == "Where?"
    pandas.testing.assert_frame_equal(inputs["table"], pandas.DataFrame(COLUMNS))


def test_the_cells_of_a_table_become_text():
    table = shaped("table-question-answering", {"table": {"n": [1, None, 2.5]}, "query": "?"}).inputs["table"]
    assert table["n"].tolist() == ["1.0", "", "2.5"]


@pytest.mark.parametrize("cell", [["sad", "glad"], ("sad", "glad"), '["sad", "glad"]', "sad, glad", "sad,glad"])
def test_labels_are_read_from_a_list_from_json_and_from_text_with_commas(cell):
    assert shaped("zero-shot-classification", {"sequences": "x", "candidate_labels": cell}) == (
        "x",
        {"candidate_labels": ["sad", "glad"]},
    )
    assert shaped("zero-shot-image-classification", b"png", candidate_labels=cell).parameters == {
        "candidate_labels": ["sad", "glad"]
    }


def test_a_records_labels_go_before_those_of_the_pipeline():
    inputs = {"image": b"png", "candidate_labels": ["cat"]}
    assert shaped("zero-shot-object-detection", inputs, candidate_labels=["dog"]).inputs == inputs
    assert shaped("zero-shot-object-detection", b"png", candidate_labels=["dog"]).inputs["candidate_labels"] == ["dog"]


@pytest.mark.parametrize(
    ("task", "inputs", "said"),
    [
        ("zero-shot-classification", "a text", "candidate_labels is missing"),
        ("zero-shot-classification", {"sequences": "x", "candidate_labels": []}, "must be a list of labels"),
        ("zero-shot-classification", {"sequences": "x", "candidate_labels": [1]}, "must be a list of labels"),
        ("zero-shot-classification", {"sequences": None, "candidate_labels": "a"}, "the input sequences is None"),
        ("document-question-answering", {"question": "Who?"}, "the input image is missing"),
        ("table-question-answering", {"table": None, "query": "?"}, "the input table is None"),
        ("table-question-answering", {"table": "a,b", "query": "?"}, "table must be JSON, but can't be read"),
        ("table-question-answering", {"table": "3", "query": "?"}, "table must be JSON of a table, but is '3'"),
        ("table-question-answering", {"table": {"a": [1], "b": [1, 2]}, "query": "?"}, "a list of rows or a dict"),
        ("text-generation", {"messages": "hello"}, "messages must be JSON"),
        ("text-generation", {"messages": None}, "the input prompt is missing"),
    ],
)
def test_what_is_missing_or_no_such_thing_is_an_error_of_the_record(task, inputs, said):
    with pytest.raises(InvalidInputError, match=said):
        shaped(task, inputs)


def test_labels_may_differ_from_row_to_row_in_one_dataset(build_model, tmp_path):
    texts = ["A quiet triumph.", "Two hours I want back.", "Not bad at all!"]
    labels = [["warm", "cold"], ["long", "short", "loud"], ["warm", "cold"]]
    spec = PipelineSpec(task="zero-shot-classification", model=build_model("entailment"), device="cpu")
    frame = pandas.DataFrame({"text": texts, "candidate_labels": [json.dumps(some) for some in labels]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    found = [prediction.output for prediction in infer(spec, frame)]
    for text, some, output in zip(texts, labels, found, strict=True):
        alone = spec.model_copy(update={"parameters": {"candidate_labels": some}})
        (prediction,) = infer(alone, [text])
        assert output["labels"] == prediction.output["labels"]
        assert output["scores"] == pytest.approx(prediction.output["scores"], abs=1e-4)
        assert set(output["labels"]) == set(some)


def test_a_record_without_labels_is_quarantined_and_the_others_answered(build_model):
    spec = PipelineSpec(task="zero-shot-classification", model=build_model("entailment"), device="cpu")
    rows = [{"sequences": "Great cast.", "candidate_labels": "warm,cold"}, {"sequences": "Great cast."}]
    answered, refused = infer(spec, rows)
    assert answered.error is None
    assert refused.error.error_class == "InvalidInputError"
