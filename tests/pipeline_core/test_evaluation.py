"""Predicted labels against actual ones, by hand counts and by what must hold for any counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.errors import ColumnNotFoundError, OutputNotFoundError, SpecError
from pipeline_core.evaluation import ClassScore, evaluate, evaluate_output, known_labels, open_labelled
from pipeline_core.sink import OutputFolder

LABELS = ["NEG", "POS"]


@pytest.fixture
def spec(build_model):
    return PipelineSpec(task="text-classification", model=build_model("distilbert"), device="cpu")


def test_a_hand_count():
    pairs = [("POS", "POS")] * 5 + [("POS", "NEG")] * 1 + [("NEG", "NEG")] * 2 + [("NEG", "POS")] * 2
    evaluation = evaluate(pairs, LABELS)
    assert evaluation.rows == 10
    assert evaluation.accuracy == 0.7
    assert evaluation.counts == {"NEG": {"NEG": 2, "POS": 2}, "POS": {"NEG": 1, "POS": 5}}
    assert evaluation.classes == [
        ClassScore("NEG", precision=2 / 3, recall=2 / 4, f1=4 / 7, rows=4),
        ClassScore("POS", precision=5 / 7, recall=5 / 6, f1=10 / 13, rows=6),
    ]


def test_a_class_that_nothing_is_of_scores_zero_and_nothing_fails():
    evaluation = evaluate([("POS", "POS")], LABELS)
    assert evaluation.classes[0] == ClassScore("NEG", 0.0, 0.0, 0.0, 0)
    assert evaluate([], LABELS).accuracy == 0.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))))
def test_what_holds_for_any_counts(pairs):
    evaluation = evaluate(pairs, list("abc"))
    assert evaluation.rows == len(pairs) == sum(score.rows for score in evaluation.classes)
    hits = sum(actual == found for actual, found in pairs)
    assert evaluation.accuracy * max(1, len(pairs)) == pytest.approx(hits)
    for score in evaluation.classes:
        assert 0 <= min(score.precision, score.recall) <= score.f1 <= max(score.precision, score.recall) <= 1
        mean = score.precision + score.recall
        assert score.f1 == pytest.approx(2 * score.precision * score.recall / mean if mean else 0)


@pytest.mark.parametrize("actual", ["POS", "pos", " Pos ", 1, 1.0, True, "1", " 1 "])
def test_a_label_may_be_a_name_in_any_case_or_a_number(actual):
    assert evaluate([(actual, "NEG")], LABELS).counts["POS"] == {"NEG": 1}


@pytest.mark.parametrize("actual", [None, -1, "-1", -1.0, float("nan"), "", " "])
def test_a_row_without_a_label_is_counted_and_left_out(actual):
    evaluation = evaluate([(actual, "NEG"), ("POS", "POS")], LABELS)
    assert (evaluation.unlabelled, evaluation.rows, evaluation.accuracy) == (1, 1, 1.0)


def test_labels_that_differ_by_case_alone_are_told_apart():
    evaluation = evaluate([("a", "a"), ("A", "A"), ("A", "a")], ["a", "A"])
    assert evaluation.counts == {"a": {"a": 1}, "A": {"A": 1, "a": 1}}


def test_a_label_that_is_a_digit_is_a_name_before_it_is_a_number():
    assert evaluate([("1", "1"), (1, "0")], ["1", "0"]).counts == {"1": {"1": 1}, "0": {"0": 1}}


@pytest.mark.parametrize("actual", ["positive", 2, -2, 0.5, float("inf"), "2", "1.0", b"POS", ["POS"], {"label": 1}])
def test_any_other_label_is_refused_with_the_ones_that_are_meant(actual):
    with pytest.raises(SpecError, match="is none of the model's: NEG, POS, or their numbers 0 to 1"):
        evaluate([("POS", "POS"), (actual, "POS")], LABELS)


def write(path, lines):
    path.write_text("\n".join(["text,stars,label", *lines]) + "\n")
    return DatasetRef(path=str(path))


def test_a_dataset_is_opened_with_its_labels_kept(tmp_path, spec):
    dataset = write(tmp_path / "rows.csv", ["warm,3,POS", "cold,1,neg"])
    assert open_labelled(dataset, spec, "label").kept_schema.names == ["stars", "label"]
    stars = dataset.model_copy(update={"keep_columns": ["stars"]})
    assert open_labelled(stars, spec, "label").kept_schema.names == ["stars", "label"]
    ids = dataset.model_copy(update={"id_column": "label"})
    opened = open_labelled(ids, spec, "label")
    assert opened.kept_schema.names == ["stars", "label"]
    assert [record.kept["label"] for record in opened.records()] == ["POS", "neg"]


def test_a_dataset_without_the_labels_is_refused_with_the_columns_it_has(tmp_path, spec):
    dataset = write(tmp_path / "rows.csv", ["warm,3,POS"])
    for kept in (None, [], ["stars"]):
        with pytest.raises(ColumnNotFoundError, match="no column 'truth'; its columns are text, stars, label"):
            open_labelled(dataset.model_copy(update={"keep_columns": kept}), spec, "truth")


def test_labels_that_can_not_be_compared_are_found_out_on_opening(tmp_path, spec):
    with pytest.raises(SpecError, match="label 'good' is none of the model's"):
        open_labelled(write(tmp_path / "rows.csv", ["warm,3,POS", "cold,1,good"]), spec, "label")
    with pytest.raises(SpecError, match="the task is 'fill-mask' instead"):
        open_labelled(DatasetRef(path=str(tmp_path / "rows.csv")), PipelineSpec(task="fill-mask"), "label")


def test_labels_are_compared_for_every_task_that_classifies(build_model):
    assert known_labels(PipelineSpec(task="image-classification", model=build_model("vit"))) == ["cat", "dog", "bird"]
    for labels in ("art, sport", ["art", "sport"]):
        spec = PipelineSpec(
            task="zero-shot-classification", model=build_model("entailment"), parameters={"candidate_labels": labels}
        )
        assert known_labels(spec) == ["art", "sport"]


def test_labels_that_each_row_brings_are_not_compared(build_model):
    with pytest.raises(SpecError, match="parameter candidate_labels, which is not set"):
        known_labels(PipelineSpec(task="zero-shot-classification", model=build_model("entailment")))


def test_what_is_no_runs_output_has_nothing_to_compare(tmp_path):
    with pytest.raises(OutputNotFoundError, match="is not the output of a run"):
        evaluate_output(OutputFolder(str(tmp_path)), "label")
