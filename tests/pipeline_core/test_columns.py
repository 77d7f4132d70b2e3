import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline_core.columns import first_label, output_schema, prediction_row, prediction_schema
from pipeline_core.errors import RecordError, SpecError
from pipeline_core.records import Prediction

BOTH = [{"label": "POS", "score": 0.75}, {"label": "NEG", "score": 0.25}]


def table(task, parameters, output):
    row = prediction_row(task, parameters, Prediction("r", output, truncated=True, tokens=7))
    schema = prediction_schema(task, parameters)
    assert list(row) == [name for name in row if name in schema.names]
    assert row.keys() == set(schema.names)
    return pa.Table.from_pylist([row], schema=schema).to_pylist()[0]


@pytest.mark.parametrize("task", ["text-classification", "sentiment-analysis"])
@pytest.mark.parametrize(("parameters", "output"), [({}, BOTH[0]), ({"top_k": 1}, BOTH[:1])])
def test_a_classification_is_its_best_label_and_score(task, parameters, output):
    assert table(task, parameters, output) == {
        "predicted_label": "POS",
        "predicted_score": 0.75,
        "truncated": True,
        "tokens": 7,
    }


@pytest.mark.parametrize("top_k", [None, 2])
def test_a_classification_of_several_labels_has_them_all(top_k):
    row = table("text-classification", {"top_k": top_k}, BOTH)
    assert row["predictions"] == BOTH
    assert (row["predicted_label"], row["predicted_score"]) == ("POS", 0.75)


@pytest.mark.parametrize("output", [None, "POS", {"label": "POS"}, {"label": 1, "score": 0.5}])
def test_a_classification_without_label_or_score_is_no_row(output):
    with pytest.raises(RecordError, match="label and a score"):
        prediction_row("text-classification", {}, Prediction("r", output))


def test_any_other_output_is_json_text_of_the_same_values():
    output = {
        "text": "grün",
        "chunks": ({"timestamp": (0.0, None)},),
        "tensor": torch.ones(2, dtype=torch.bfloat16),
        "array": np.array([[1, 2]], dtype=np.int64),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "empty": np.zeros((0, 3)),
    }
    row = table("automatic-speech-recognition", {}, output)
    assert json.loads(row["prediction"]) == {
        "text": "grün",
        "chunks": [{"timestamp": [0.0, None]}],
        "tensor": [1.0, 1.0],
        "array": [[1, 2]],
        "scalar": 0.5,
        "flag": True,
        "empty": [],
    }
    assert "grün" in row["prediction"]


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ({"audio": b"RIFF"}, "bytes"),
        ([object()], "object"),
        ({"score": float("nan")}, "nan"),
        (torch.tensor(float("inf")), "inf"),
        ({"a": {1, 2}}, "set"),
    ],
)
def test_an_output_that_json_cannot_write_is_an_error_naming_it(output, named):
    with pytest.raises(RecordError, match=named):
        prediction_row("feature-extraction", {}, Prediction("r", output))


def test_an_image_is_an_error_naming_its_type():
    image = pytest.importorskip("PIL.Image").new("RGB", (1, 1))
    with pytest.raises(RecordError, match=r"PIL\.Image"):
        prediction_row("depth-estimation", {}, Prediction("r", {"depth": image}))


def test_the_output_is_the_id_then_the_kept_columns_then_ours():
    kept = pa.schema([("stars", pa.int8()), ("title", pa.string())], metadata={"huggingface": "{}"})
    schema = output_schema(kept, "text-classification", {})
    assert schema.names == ["id", "stars", "title", "predicted_label", "predicted_score", "truncated", "tokens"]
    assert schema.field("stars").type == pa.int8()
    assert schema.metadata is None


@pytest.mark.parametrize("name", ["id", "tokens", "predicted_label"])
def test_a_kept_column_with_a_name_of_ours_is_refused(name):
    with pytest.raises(
        SpecError,
        match=rf"'{name}' can't be kept.*name the columns to keep without it \(keep_columns, --keep-column\)",
    ):
        output_schema(pa.schema([(name, pa.string())]), "text-classification", {})


@pytest.mark.parametrize(
    ("output", "label"),
    [
        (BOTH, "POS"),
        (BOTH[0], "POS"),
        ({"labels": ["a", "b"], "scores": [0.9, 0.1]}, "a"),
        ([], None),
        ({"labels": []}, None),
        ([[0.1]], None),
        ("text", None),
        (None, None),
        ({"label": 3}, None),
    ],
)
def test_the_first_label_is_that_of_the_best_answer(output, label):
    assert first_label(output) == label
