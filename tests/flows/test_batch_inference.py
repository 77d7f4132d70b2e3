"""The flow batch-inference: what it writes, what it skips, what it refuses, and what the API shows of it."""

import json
import os
import re
import shlex
import threading
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tiny_models import SENTENCES, distilbert

import pipeline_core.inference
from flows.batch_inference import batch_inference
from pipeline_core import BatchPolicy, DatasetRef, FailurePolicy, PipelineSpec, load_pipeline
from pipeline_core.errors import (
    ColumnNotFoundError,
    FailureBudgetExceededError,
    OutputInUseError,
    OutputMismatchError,
)
from pipeline_core.sink import OutputFolder

SHARDS = ["part-00000-of-00003", "part-00001-of-00003", "part-00002-of-00003"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def arguments(reviews, out, spec):
    dataset = DatasetRef(path=str(reviews), id_column="key")
    return {"dataset": dataset, "output": str(out), "spec": spec, "rows_per_shard": 10}


def write_rows(path: Path, texts: list) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def commit_times(out: Path) -> dict[str, str]:
    return {path.name: json.loads(path.read_text())["committed_at"] for path in out.glob("_manifests/*.json")}


def file_times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}


def test_every_row_has_the_answer_that_transformers_gives_it(run_flow, arguments, out, spec, reviews):
    seen = run_flow(batch_inference, **arguments)
    summary = seen.state.result()
    assert (summary.rows, summary.quarantined, summary.shards) == (30, 0, 3)
    assert seen.name == f"text-classification {reviews}"
    assert seen.states == dict.fromkeys(("plan", *SHARDS, "commit", "report"), "Completed")

    rows = OutputFolder(str(out)).table().to_pylist()
    texts = [line.split(",")[1] for line in reviews.read_text().splitlines()[1:]]
    wanted = list(load_pipeline(spec)((text for text in texts), truncation=True))
    assert [row["id"] for row in rows] == [f"r{number:02d}" for number in range(30)]
    assert [row["predicted_label"] for row in rows] == [answer["label"] for answer in wanted]
    assert [row["predicted_score"] for row in rows] == pytest.approx([a["score"] for a in wanted], abs=1e-4)
    assert {row["predicted_label"] for row in rows} == {"a", "b", "c"}


def test_a_rerun_finds_every_shard_cached_and_computes_nothing(run_flow, arguments, out, monkeypatch):
    run_flow(batch_inference, **arguments)
    before = file_times(out), commit_times(out), (out / "_run.json").read_bytes()

    def refuse(*_):
        raise AssertionError("the model ran")

    monkeypatch.setattr(pipeline_core.inference, "make_stages", refuse)
    seen = run_flow(batch_inference, **arguments)
    assert [seen.states[name] for name in SHARDS] == ["Cached"] * 3
    assert seen.state.is_completed()
    assert (file_times(out), commit_times(out), (out / "_run.json").read_bytes()) == before


def test_other_batches_and_another_device_name_reuse_the_shards(run_flow, arguments):
    run_flow(batch_inference, **arguments)
    spec = arguments["spec"].model_copy(update={"device": -1})
    seen = run_flow(batch_inference, **{**arguments, "spec": spec, "batch": BatchPolicy(batch_size=2)})
    assert [seen.states[name] for name in SHARDS] == ["Cached"] * 3


@pytest.mark.parametrize("harm", ["delete", "tear", "flip", "lose manifest"])
def test_a_damaged_shard_is_redone_and_only_that_one(run_flow, arguments, out, harm):
    run_flow(batch_inference, **arguments)
    rows, times, commits = OutputFolder(str(out)).table(), file_times(out), commit_times(out)
    part = out / f"{SHARDS[1]}.parquet"
    content = part.read_bytes()
    if harm == "delete":
        part.unlink()
    elif harm == "tear":
        part.write_bytes(content[: len(content) // 2])
    elif harm == "flip":
        part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    else:
        (out / "_manifests" / "00001.json").unlink()
    seen = run_flow(batch_inference, **arguments)
    assert [seen.states[name] for name in SHARDS] == ["Cached", "Completed", "Cached"]
    assert OutputFolder(str(out)).table() == rows
    redone = {name for name, time in file_times(out).items() if time != times[name]}
    assert redone == {part.name}
    assert {name for name, time in commit_times(out).items() if time != commits[name]} == {"00001.json"}


def test_another_plans_folder_is_refused_unless_it_may_be_replaced(run_flow, arguments, out):
    run_flow(batch_inference, **arguments)
    before = file_times(out), commit_times(out)
    arguments["spec"] = arguments["spec"].model_copy(update={"parameters": {"top_k": 2}})
    seen = run_flow(batch_inference, last="plan", **arguments)
    assert isinstance(seen.error, OutputMismatchError)
    assert "spec.parameters was {}, now {'top_k': 2}" in str(seen.error)
    assert (file_times(out), commit_times(out)) == before
    assert not (out / "_lease.json").exists()

    seen = run_flow(batch_inference, **{**arguments, "output": {"path": str(out), "replace": True}})
    assert seen.state.is_completed()
    assert {len(row["predictions"]) for row in OutputFolder(str(out)).table().to_pylist()} == {2}


def test_of_two_runs_into_one_folder_at_once_one_is_refused(run_flow, arguments, out, monkeypatch):
    running, may_go_on = threading.Event(), threading.Event()
    make_stages = pipeline_core.inference.make_stages

    def waiting(pipeline, spec):
        running.set()
        assert may_go_on.wait(60)
        return make_stages(pipeline, spec)

    monkeypatch.setattr(pipeline_core.inference, "make_stages", waiting)
    first = []
    thread = threading.Thread(target=lambda: first.append(batch_inference(**arguments)))
    thread.start()
    try:
        assert running.wait(60)
        second = run_flow(batch_inference, last=None, **arguments)
    finally:
        may_go_on.set()
        thread.join()
    assert isinstance(second.error, OutputInUseError)
    assert f"process {os.getpid()} on " in str(second.error)
    assert second.tasks == {}
    assert first[0].rows == 30


def test_a_failure_budget_ends_the_run_keeps_what_is_committed_and_starts_no_more(run_flow, arguments, tmp_path, out):
    texts = [None if row in (1, 6, 7) else SENTENCES[0] for row in range(15)]
    arguments |= {"dataset": write_rows(tmp_path / "rows.jsonl", texts), "rows_per_shard": 5}
    seen = run_flow(batch_inference, last=SHARDS[1], **arguments, failures=FailurePolicy(max_bad_rows=2))
    assert isinstance(seen.error, FailureBudgetExceededError)
    assert (seen.error.bad_rows, seen.error.rows) == (3, 15)
    assert "3 of 15 records failed, more than FailurePolicy(max_bad_rows=2) allows" in str(seen.error)
    assert seen.states == {"plan": "Completed", SHARDS[0]: "Completed", SHARDS[1]: "Failed"}
    assert list(commit_times(out)) == ["00000.json"]
    assert not (out / "_run.json").exists()

    seen = run_flow(batch_inference, **arguments, failures=FailurePolicy(max_bad_rows=3))
    assert [seen.states[name] for name in SHARDS] == ["Cached", "Completed", "Completed"]
    quarantined = OutputFolder(str(out)).quarantine().to_pylist()
    assert [row["id"] for row in quarantined] == ["rows.jsonl:1", "rows.jsonl:6", "rows.jsonl:7"]
    assert {(row["stage"], row["error_class"]) for row in quarantined} == {("preprocess", "InvalidInputError")}
    assert all("None" in row["message"] for row in quarantined)
    assert seen.state.result().rows == 12


def test_a_stricter_budget_judges_cached_shards_too(run_flow, arguments, tmp_path, out):
    texts = [None, *SENTENCES]
    arguments |= {"dataset": write_rows(tmp_path / "rows.jsonl", texts)}
    run_flow(batch_inference, **arguments, failures=FailurePolicy())
    seen = run_flow(batch_inference, last="commit", **arguments, failures=FailurePolicy(max_bad_rows=0))
    assert isinstance(seen.error, FailureBudgetExceededError)
    assert seen.states["part-00000-of-00001"] == "Cached"
    assert seen.tasks["commit"].run_count == 1


@pytest.mark.parametrize(("name", "content"), [("rows.csv", "text\n"), ("rows.jsonl", "")])
def test_an_empty_dataset_is_a_finished_run_of_no_rows(run_flow, arguments, tmp_path, out, name, content):
    (tmp_path / name).write_text(content)
    seen = run_flow(batch_inference, **{**arguments, "dataset": str(tmp_path / name)})
    summary = seen.state.result()
    assert (summary.rows, summary.quarantined, summary.shards) == (0, 0, 0)
    assert OutputFolder(str(out)).table().num_rows == 0
    assert (out / "part-00000-of-00000.parquet").exists()
    assert seen.artifacts["progress"].data == 100.0
    assert "0 rows answered, 0 quarantined" in seen.artifacts["markdown"].description


def test_a_missing_column_is_refused_before_a_shard_starts(run_flow, arguments):
    arguments["dataset"] = arguments["dataset"].model_copy(update={"column": "review"})
    seen = run_flow(batch_inference, last="plan", **arguments)
    assert isinstance(seen.error, ColumnNotFoundError)
    assert str(seen.error).endswith("has no column 'review'; its columns are key, text, label")
    assert seen.states == {"plan": "Failed"}
    assert seen.tasks["plan"].run_count == 1


def test_several_shards_at_once_give_the_same_rows(run_flow, arguments, out, tmp_path):
    run_flow(batch_inference, **arguments)
    arguments |= {"output": str(tmp_path / "other"), "rows_per_shard": 4, "shards_at_once": 3}
    seen = run_flow(batch_inference, **arguments)
    assert list(seen.states.values()).count("Completed") == 8 + 3
    one, other = (OutputFolder(str(path)).table().to_pylist() for path in (out, tmp_path / "other"))
    assert [row["id"] for row in other] == [row["id"] for row in one]
    assert [row["predicted_label"] for row in other] == [row["predicted_label"] for row in one]


def test_the_artifacts_say_what_was_done(run_flow, arguments, out, spec, reviews, fresh_cache):
    long = reviews.read_text().splitlines()[-1].split(",")[1]
    reviews.write_text(reviews.read_text() + f"r30,{long} {long} {long},a\n")
    seen = run_flow(batch_inference, **arguments)
    summary = seen.state.result()
    plan = OutputFolder(str(out)).require_plan()

    progress = seen.artifacts["progress"]
    assert progress.data == 100.0
    assert "31 of 31 rows" in progress.description

    figures = {row["figure"]: row["value"] for row in json.loads(seen.artifacts["table"].data)}
    table = OutputFolder(str(out)).table()
    assert figures["rows answered"] == "31"
    assert figures["rows quarantined"] == "0"
    assert figures["rows with text cut off"] == "1" == str(sum(table["truncated"].to_pylist()))
    assert figures["shards"] == "4"
    assert summary.figures.tokens == sum(table["tokens"].to_pylist())

    report = cells_of(seen.artifacts["markdown"].data)
    labels = table["predicted_label"].to_pylist()
    for label in set(labels):
        assert [label, str(labels.count(label)), f"{labels.count(label) / 31:.1%}"] in report
    assert ["0", "2,048", "start"] in report
    assert ["model name", spec.model] in report
    assert ["model content", plan.model.content] in report
    assert ["spec fingerprint", plan.spec_fingerprint] in report
    assert ["dataset fingerprint", plan.dataset_fingerprint] in report
    assert seen.artifacts["markdown"].description.startswith("31 rows answered, 0 quarantined")


def cells_of(markdown: str) -> list[list[str]]:
    """The text of every table row."""
    rows: list[list[str]] = []
    in_cell = False
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open", "td_close", "th_close"):
            in_cell = token.type.endswith("open")
        elif token.type == "inline" and in_cell:
            rows[-1].append("".join(child.content for child in token.children))
    return rows


def test_the_reports_command_runs_the_same_plan_again(
    run_flow, read_run, arguments, out, reviews, tmp_path, pipeline_flows
):
    rows = tmp_path / "-odd name's.csv"
    rows.write_text(reviews.read_text().replace("key,text,label", "key,te xt,label"))
    dataset = DatasetRef(
        path=str(rows),
        id_column="key",
        column={"text": "te xt"},
        keep_columns=["label"],
        limit=25,
        where=["key > 'r02'"],
    )
    spec = arguments["spec"].model_copy(update={"parameters": {"top_k": 2, "function_to_apply": "softmax"}})
    first = run_flow(batch_inference, **{**arguments, "dataset": dataset, "spec": spec})
    (command,) = re.findall(r"^```\n(.*)\n```$", first.artifacts["markdown"].data, re.MULTILINE)
    program, *words = shlex.split(command)
    assert program == "pipeline-flows"
    plan = (out / "_plan.json").read_bytes()
    assert pipeline_flows(*words).code == 0
    second = read_run()
    assert [second.states[name] for name in SHARDS] == ["Cached"] * 3
    assert (out / "_plan.json").read_bytes() == plan


def test_what_the_data_is_called_shows_as_it_is_and_does_nothing(run_flow, tmp_path):
    label = '<img src=x onerror="alert(1)"> | [a](http://b) `c` **d**'
    distilbert(tmp_path / "model", labels=(label, f"{label}!"))
    rows = write_rows(tmp_path / "<b>|```[x](y).jsonl", SENTENCES)
    out = tmp_path / "```\n# out"
    spec = PipelineSpec(task="text-classification", model=str(tmp_path / "model"), device="cpu")
    seen = run_flow(batch_inference, dataset=rows, output=str(out), spec=spec)
    markdown = seen.artifacts["markdown"].data
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    assert not re.search(r"<(img|a|b|script|strong|em)\b", html)
    assert html.count("<h1>") == 1
    shown = cells_of(markdown)
    labels = OutputFolder(str(out)).table()["predicted_label"].to_pylist()
    for predicted in set(labels):
        assert [predicted, str(labels.count(predicted)), f"{labels.count(predicted) / 6:.1%}"] in shown
    assert "<" not in re.sub(r"\\<", "", seen.artifacts["progress"].description)
