import json
import uuid
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from tiny_outputs import CASES, FEATURES, LABELS, MASK
from transformers.pipelines import PIPELINE_REGISTRY

from pipeline_core.catalog import find_task, task_names
from pipeline_core.columns import first_label, output_schema, task_columns
from pipeline_core.errors import RecordError, SpecError
from pipeline_core.media_files import ShardMedia
from pipeline_core.records import Prediction
from pipeline_core.shards import Shard
from pipeline_core.storage import Storage

DROPPED = (
    "image-to-image",
    "image-to-text",
    "question-answering",
    "summarization",
    "text2text-generation",
    "translation",
    "visual-question-answering",
)


def written(columns, output):
    """The row as a table, its files written."""
    shard = Shard(index=0, count=1, start=0, stop=1, fingerprint="")
    media = ShardMedia(Storage(f"memory://{uuid.uuid4().hex}/out"), shard, None)
    row, _ = media.save(0, columns.row(Prediction("r", output, truncated=True, tokens=7)))
    assert row.keys() == set(columns.schema.names)
    return pa.Table.from_pylist([row], schema=columns.schema)


def ids(case):
    return f"{case.task}-{json.dumps(case.parameters)}"


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_an_output_is_a_row_of_typed_columns(case):
    (row,) = written(task_columns(case.task, case.parameters), case.output).to_pylist()
    assert row == {**case.row, "truncated": True, "tokens": 7}


def test_every_task_of_the_catalog_has_typed_columns_that_are_tried():
    tried = {find_task(case.task).name for case in CASES}
    assert tried >= {find_task(name).name for name in task_names() if "_to_" not in name} | set(DROPPED)
    for name in tried:
        assert "prediction" not in task_columns(name, {}).schema.names


def test_the_documents_table_names_every_tasks_columns():
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    for name in {find_task(case.task).name for case in CASES}:
        (line,) = [line for line in lines if f"`{name}`" in line.split("|")[1]]
        line = next(line for line in lines if "`text-generation`" in line) if name == "any-to-any" else line
        for column in set(task_columns(name, {}).schema.names) - {"truncated", "tokens"}:
            assert f"`{column}`" in line or (column, name) == ("predictions", "text-classification"), (name, column)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_rows_are_the_same_through_parquet_pandas_and_datasets(case, tmp_path):
    columns = task_columns(case.task, case.parameters)
    table = written(columns, case.output)
    pq.write_table(table, tmp_path / "part.parquet")
    assert pq.read_table(tmp_path / "part.parquet").equals(table)
    frame = pd.read_parquet(tmp_path / "part.parquet")
    assert pa.Table.from_pandas(frame, schema=columns.schema, preserve_index=False).equals(table)
    loaded = datasets.Dataset(pa.Table.from_batches(table.to_batches())).to_list()
    assert loaded == table.to_pylist()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_flat_and_reshape_to_what_the_pipeline_gives(dtype):
    table = written(task_columns("feature-extraction", {}, dtype), FEATURES.numpy())
    assert table.schema.field("features").type.value_type.bit_width == {"float32": 32, "float16": 16}[dtype]
    frame = table.to_pandas()
    assert frame["features"][0].dtype == dtype
    np.testing.assert_array_equal(frame["features"][0].reshape(frame["features_shape"][0]), FEATURES)


@pytest.mark.parametrize("output", [torch.tensor([1e6, float("inf")]), [[-7e4]]])
def test_a_feature_beyond_float16_is_an_error_and_not_infinite(output):
    with pytest.raises(RecordError, match="beyond float16's 65504"):
        task_columns("feature-extraction", {}, "float16").row(Prediction("r", output))
    written(task_columns("feature-extraction", {}), output)


@pytest.mark.parametrize("output", [[[1.0], [1.0, 2.0]], ["a"], None, {"a": 1}])
def test_features_that_are_no_array_are_no_row(output):
    with pytest.raises(RecordError, match="no array"):
        task_columns("feature-extraction", {}).row(Prediction("r", output))


@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("text-classification", None),
        ("text-classification", "POS"),
        ("text-classification", {"label": "POS"}),
        ("text-classification", {"label": 1, "score": 0.5}),
        ("text-classification", {"label": "POS", "score": "high"}),
        ("text-classification", {"label": "POS", "score": 0.5, "because": "it is"}),
        ("zero-shot-classification", {"labels": ["a", "b"], "scores": [1.0]}),
        ("object-detection", [{"label": "POS", "score": 0.5, "box": None}]),
        ("token-classification", {"entity": "X"}),
        ("text-generation", []),
        ("text-generation", [{"generated_text": "a"}, {"generated_text": "b"}]),
        ("text-generation", [{"generated_text": [{"content": "a"}]}]),
        ("image-to-image", [MASK, MASK]),
        ("mask-generation", {"masks": [], "scores": [0.5]}),
        ("text-to-audio", {"audio": np.zeros((1, 2, 3)), "sampling_rate": 16_000}),
    ],
)
def test_an_output_that_is_not_the_tasks_is_no_row(task, output):
    with pytest.raises(RecordError, match=r"must|not as many|labels|sequences|score"):
        task_columns(task, {}).row(Prediction("r", output))


def test_what_remote_code_returns_is_typed_where_it_fits_and_json_text_where_not():
    columns = task_columns("text-classification", {}, remote_code=True)
    assert columns.schema.names == ["predicted_label", "predicted_score", "prediction", "truncated", "tokens"]
    (fits,) = written(columns, LABELS[0]).to_pylist()
    assert (fits["predicted_label"], fits["prediction"]) == ("cat", None)
    (fits_not,) = written(columns, {"label": "cat", "because": "it is"}).to_pylist()
    assert (fits_not["predicted_label"], fits_not["predicted_score"]) == (None, None)
    assert json.loads(fits_not["prediction"]) == {"label": "cat", "because": "it is"}


@pytest.fixture(params=["a task of its own", "fill-mask"])
def custom_task(request, monkeypatch):
    class Custom(transformers.Pipeline):
        def preprocess(self, inputs):
            return inputs

        _forward = postprocess = preprocess

        def _sanitize_parameters(self):
            return {}, {}, {}

    entry = {"impl": Custom, "pt": (), "default": {}, "type": "text"}
    monkeypatch.setitem(PIPELINE_REGISTRY.supported_tasks, request.param, entry)
    return request.param


def test_the_output_of_a_pipeline_that_is_not_known_is_json_text_of_the_same_values(custom_task):
    output = {
        "text": "grün",
        "chunks": ({"timestamp": (0.0, None)},),
        "tensor": torch.ones(2, dtype=torch.bfloat16),
        "array": np.array([[1, 2]], dtype=np.int64),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "empty": np.zeros((0, 3)),
        "numbers": [float("nan"), float("inf"), -float("inf")],
        "../../image": [MASK],
    }
    columns = task_columns(custom_task, {})
    assert columns.schema.names == ["prediction", "truncated", "tokens"]
    (row,) = written(columns, output).to_pylist()
    assert json.loads(row["prediction"]) == {
        "text": "grün",
        "chunks": [{"timestamp": [0.0, None]}],
        "tensor": [1.0, 1.0],
        "array": [[1, 2]],
        "scalar": 0.5,
        "flag": True,
        "empty": [],
        "numbers": ["NaN", "Infinity", "-Infinity"],
        "../../image": ["_media/part-00000/000000-file-0.png"],
    }
    assert "grün" in row["prediction"]


@pytest.mark.parametrize(("output", "named"), [({"audio": b"RIFF"}, "bytes"), ([object()], "object"), ({1, 2}, "set")])
def test_an_output_that_json_cannot_write_is_an_error_naming_it(custom_task, output, named):
    with pytest.raises(RecordError, match=named):
        task_columns(custom_task, {}).row(Prediction("r", output))


def test_the_output_is_the_id_then_the_kept_columns_then_ours():
    kept = pa.schema([("stars", pa.int8()), ("title", pa.string())], metadata={"huggingface": "{}"})
    schema = output_schema(kept, task_columns("text-classification", {}))
    assert schema.names == ["id", "stars", "title", "predicted_label", "predicted_score", "truncated", "tokens"]
    assert schema.field("stars").type == pa.int8()
    assert schema.metadata is None


@pytest.mark.parametrize("name", ["id", "tokens", "predicted_label"])
def test_a_kept_column_with_a_name_of_ours_is_refused(name):
    with pytest.raises(
        SpecError,
        match=rf"'{name}' can't be kept.*name the columns to keep without it \(keep_columns, --keep-column\)",
    ):
        output_schema(pa.schema([(name, pa.string())]), task_columns("text-classification", {}))


@pytest.mark.parametrize(
    ("output", "label"),
    [
        (LABELS, "cat"),
        (LABELS[::-1], "cat"),
        (LABELS[0], "cat"),
        ({"sequence": "s", "labels": ["a", "b"], "scores": [0.9, 0.1]}, "a"),
        ([], None),
        ({"labels": []}, None),
        ([[0.1]], None),
        ("text", None),
        (None, None),
        ({"label": 3, "score": 1.0}, None),
        ([{"label": "cat", "score": 0.5, "box": {}}], None),
    ],
)
def test_the_first_label_is_that_of_the_best_answer(output, label):
    assert first_label(output) == label
