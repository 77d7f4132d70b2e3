"""The command over tasks of several inputs: columns by name, labels as options or in rows, and what is missing."""

import csv
import json

import pytest

from pipeline_core import PipelineSpec, infer
from pipeline_core.sink import OutputFolder

ASKED = [
    ("Who laughed?", "The plot creaks, and yet I laughed."),
    ("Who would I like to meet?", "Nobody I know, and nobody I would like to meet."),
    ("What is great?", "Great score. Great cast. No story whatsoever."),
]


@pytest.fixture
def qa(tmp_path):
    """A CSV file of questions and the texts that answer them, in columns of unusual names."""
    path = tmp_path / "qa.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("q", "passage"), *ASKED])
    return path


def test_questions_and_contexts_come_from_the_columns_that_are_named(
    pipeline_flows, prefect_server, build_model, qa, tmp_path
):
    words = ["--model", build_model("answers"), "--dataset", qa, "--output", tmp_path / "out"]
    columns = ["--column", "question=q", "--column", "context=passage"]
    code, _, err = pipeline_flows("run", "question-answering", *words, *columns)
    assert code == 0, err
    folder = OutputFolder(str(tmp_path / "out"))
    spec = PipelineSpec(task="question-answering", model=build_model("answers"))
    alone = [next(iter(infer(spec, [{"question": question, "context": text}]))) for question, text in ASKED]
    assert folder.table()["predicted_answer"].to_pylist() == [prediction.output["answer"] for prediction in alone]
    assert folder.require_plan().dataset.column == {"question": "q", "context": "passage"}
    # The same columns in other words are the same run.
    code, text, _ = pipeline_flows(
        "run", "question-answering", *words, "--question-column", "q", "--context-column", "passage"
    )
    assert (code, text.splitlines()[0][:24]) == (0, "3 rows answered, 0 quara")


def test_a_missing_input_is_one_line_with_the_inputs_and_the_columns(pipeline_flows, build_model, qa):
    words = ["--model", build_model("answers"), "--dataset", qa]
    code, out, err = pipeline_flows("preview", "question-answering", *words, "--question-column", "q", "--limit", 1)
    assert code == 0  # the only other column of text
    assert "Who laughed?" in out
    qa.write_text(qa.read_text().replace("q,passage", "ask,body"))
    code, out, err = pipeline_flows("preview", "question-answering", *words)
    assert (code, out) == (2, "")
    assert "no column for the input 'question'" in err
    assert "question (usually question or query), context (usually context or passage or document)" in err
    assert "--column question=COLUMN" in err
    assert err.endswith("the dataset's columns are ask, body\n")
    code, _, err = pipeline_flows("preview", "question-answering", *words, "--column", "query=ask")
    assert code == 2
    assert "column must map the task's inputs question, context to columns, but names 'query' instead" in err


def test_labels_are_options_or_come_with_each_row(pipeline_flows, build_model, tmp_path):
    labels = (["warm", "cold"], "a,b")
    rows = [{"text": "Great cast.", "candidate_labels": some} for some in labels]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["zero-shot-classification", "--model", build_model("entailment"), "--dataset", tmp_path / "rows.jsonl"]
    code, text, _ = pipeline_flows("preview", *words)
    assert code == 0
    assert {"warm", "cold", "a", "b"} <= set(text.split())
    code, text, _ = pipeline_flows("preview", *words, "--column", "text", "--candidate-label", "good film")
    assert code == 0
    assert "0 failed" in text


def test_a_prompt_column_and_parameters_of_generation_are_options(pipeline_flows, build_model, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"ask": "Two hours", "other": "text"}) + "\n")
    words = ["text-generation", "--model", build_model("gpt2"), "--dataset", tmp_path / "rows.jsonl"]
    words += ["--prompt-column", "ask"]
    code, text, err = pipeline_flows("preview", *words, "--max-new-tokens", 2, "--do-sample", "false")
    assert (code, err) == (0, "")
    assert "Two hours" in text
    assert "1 rows in" in text
    code, _, err = pipeline_flows("preview", *words, "--max-new-tokens", 0)
    assert code == 2
    assert "parameter max_new_tokens must be a whole number from 1 up, but is 0 instead" in err
    code, _, err = pipeline_flows("preview", *words, "--candidate-label", "a")
    assert code == 2
    assert "task 'text-generation' takes no parameter 'candidate_labels'" in err
