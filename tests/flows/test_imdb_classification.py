"""The flow imdb-classification: predicted labels against the ones that a dataset has."""

from collections import Counter
from inspect import signature

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.imdb_classification import IMDB, imdb_classification
from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.errors import ColumnNotFoundError, SpecError
from pipeline_core.sink import OutputFolder

LABELS = ["a", "b", "c"]
MEANT = {"a": "a", "B": "b", "2": "c", None: None}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def arguments(reviews, out, spec):
    return {"output": str(out), "dataset": DatasetRef(path=str(reviews), id_column="key"), "spec": spec}


def test_accuracy_confusion_matrix_and_f1_are_what_a_hand_count_gives(run_flow, arguments, out):
    seen = run_flow(imdb_classification, **arguments)
    assert seen.states["evaluate"] == "Completed"
    markdown = seen.artifacts["markdown"].data

    rows = OutputFolder(str(out)).table().to_pylist()
    pairs = Counter((MEANT[row["label"] or None], row["predicted_label"]) for row in rows)
    labelled = {pair: count for pair, count in pairs.items() if pair[0] is not None}
    total = sum(labelled.values())
    assert 0 < total < 30
    right = sum(count for (actual, found), count in labelled.items() if actual == found)
    assert f"Accuracy **{right / total:.2%}** over {total} rows with a label; {30 - total} have none." in markdown
    for actual in LABELS:
        counts = [labelled.get((actual, found), 0) for found in LABELS]
        assert f"| **{actual}** | {counts[0]} | {counts[1]} | {counts[2]} |" in markdown
        hits = labelled.get((actual, actual), 0)
        precision = hits / sum(labelled.get((other, actual), 0) for other in LABELS)
        recall = hits / sum(counts)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0
        assert f"| {actual} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {sum(counts)} |" in markdown


def test_a_label_column_that_is_not_there_is_refused_before_anything_runs(run_flow, arguments, out):
    seen = run_flow(imdb_classification, last="plan", **arguments, label_column="sentiment")
    assert isinstance(seen.error, ColumnNotFoundError)
    assert seen.error.column == "sentiment"
    assert str(seen.error).endswith("its columns are key, text, label")
    assert seen.states == {"plan": "Failed"}
    assert not list(out.glob("part-*"))


def test_labels_that_are_not_the_models_are_refused_before_anything_runs(run_flow, arguments, reviews):
    reviews.write_text("key,text,label\nr0,quiet,fresh\n")
    seen = run_flow(imdb_classification, last="plan", **arguments)
    assert isinstance(seen.error, SpecError)
    assert str(seen.error) == "the dataset's label 'fresh' is none of the model's: a, b, c, or their numbers 0 to 2"
    assert seen.states == {"plan": "Failed"}


def test_labels_are_compared_though_the_columns_to_keep_leave_them_out(run_flow, arguments, out):
    arguments["dataset"] = arguments["dataset"].model_copy(update={"keep_columns": []})
    seen = run_flow(imdb_classification, **arguments)
    assert seen.states["evaluate"] == "Completed"
    assert OutputFolder(str(out)).require_plan().kept.names == ["label"]


def test_numbers_are_labels_too_and_minus_one_is_none(run_flow, arguments, tmp_path):
    table = pa.table({"text": ["quiet", "warm", "jokes"], "label": [0, 2, -1]})
    pq.write_table(table, tmp_path / "rows.parquet")
    seen = run_flow(imdb_classification, **{**arguments, "dataset": str(tmp_path / "rows.parquet")})
    assert "over 2 rows with a label; 1 have none." in seen.artifacts["markdown"].data


def test_without_a_label_column_nothing_is_compared(run_flow, arguments):
    seen = run_flow(imdb_classification, **arguments, label_column=None)
    assert "evaluate" not in seen.tasks
    assert "Accuracy" not in seen.artifacts["markdown"].data


def test_an_empty_dataset_has_nothing_to_compare(run_flow, arguments, tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    seen = run_flow(imdb_classification, **{**arguments, "dataset": str(tmp_path / "rows.jsonl")})
    assert "Accuracy **0.00%** over 0 rows with a label." in seen.artifacts["markdown"].data


def test_only_a_pipeline_that_gives_labels_is_compared(run_flow, arguments, build_model):
    arguments["spec"] = PipelineSpec(task="token-classification", model=build_model("tokens"), device="cpu")
    seen = run_flow(imdb_classification, last="plan", **arguments)
    assert isinstance(seen.error, SpecError)
    assert "the task is 'token-classification' instead" in str(seen.error)


def test_the_reviews_of_imdb_are_the_default():
    assert (
        signature(imdb_classification.fn).parameters["dataset"].default
        == IMDB
        == DatasetRef(path="stanfordnlp/imdb", split="test", column="text")
    )
