"""The command: what each part of it prints, which code it exits with, and how it says what is wrong."""

import json
import re
import sys
from importlib.metadata import version

import pytest

from flows.cli import app
from pipeline_core.sink import OutputFolder

COMMANDS = ["run", "classify", "preview", "tasks", "doctor", "report"]
COMMANDS += ["transcribe", "replay", "status", "resume", "workers", "alerts"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(prefect_server, pipeline_flows, reviews, out, spec):
    """The command ``run`` over the reviews, with more options or other values of these."""
    usual = {"--model": spec.model, "--dataset": reviews, "--output": out, "--id-column": "key"}

    def run(*more):
        words = [word for option in usual.items() if option[0] not in more for word in option]
        return pipeline_flows("run", "text-classification", *words, *more)

    return run


def last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize("words", [[], ["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_fits_a_terminal_and_says_no_more_than_it_must(pipeline_flows, words):
    code, text, err = pipeline_flows(*words)
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "[default: []]" not in text
    assert "[default: False]" not in text
    assert "--no-" not in text
    assert "--debug" in text


def test_help_lists_every_command_and_the_options_in_groups(pipeline_flows):
    text = pipeline_flows("--help").out
    assert [line.split()[1] for line in text.splitlines() if re.match("│ [a-z]", line)] == sorted(COMMANDS)
    text = pipeline_flows("run", "--help").out
    groups = re.findall("╭─ (.*?) ─", text)
    assert groups == ["Arguments", "Parameters", "Rows", "Pipeline", "Batches", "Run"]
    assert re.findall(r"^│ \*.*?(TASK|--dataset|--output)", text, re.MULTILINE) == ["TASK", "--dataset", "--output"]


def test_the_version_is_the_packages(pipeline_flows):
    assert pipeline_flows("--version") == (0, f"{version('pipeline-flows')}\n", "")


def test_run_says_where_its_output_is_and_a_rerun_does_nothing(run, out, read_run):
    code, text, _ = run("--rows-per-shard", 10)
    assert code == 0
    headline, where = text.splitlines()
    assert re.fullmatch(rf"30 rows answered, 0 quarantined, [\d,.]+ rows/s; committed in {out}", headline)
    assert where == f"report: pipeline-flows report {out}"
    assert OutputFolder(str(out)).table().num_rows == 30

    assert run("--rows-per-shard", 10)[:2] == (0, text)
    states = read_run().states
    assert [states[f"part-0000{shard}-of-00003"] for shard in range(3)] == ["Cached"] * 3


def test_every_option_reaches_the_plan(run, out):
    more = ["--where", "key >= 'r05'", "--limit", 8, "--keep-column", "", "--on-long", "error", "--dtype", "float32"]
    more += ["--parameter", "top_k=3", "--parameter", "function_to_apply=sigmoid", "--device", "-1"]
    more += ["--model-kwarg", "output_attentions=false", "--max-batch-tokens", 40, "--max-bad-rows", 2]
    assert run(*more).code == 0
    plan = OutputFolder(str(out)).require_plan()
    assert plan.spec.parameters == {"top_k": 3, "function_to_apply": "sigmoid"}
    assert plan.spec.model_kwargs == {"output_attentions": False}
    assert (plan.spec.on_long, plan.spec.dtype, plan.spec.device) == ("error", "float32", "cpu")
    assert (plan.dataset.limit, plan.dataset.keep_columns, plan.dataset.id_column) == (8, [], "key")
    rows = OutputFolder(str(out)).table().to_pylist()
    assert [row["id"] for row in rows] == [f"r{number:02d}" for number in range(5, 13)]
    assert list(rows[0]) == ["id", "predicted_label", "predicted_score", "predictions", "truncated", "tokens"]


def test_classify_prints_the_accuracy_and_report_prints_all(
    prefect_server, pipeline_flows, reviews, out, spec, read_run
):
    code, text, _ = pipeline_flows(
        "classify", reviews, "--model", spec.model, "--output", out, "--label-column", "label", "--id-column", "key"
    )
    assert code == 0
    (accuracy,) = re.findall(r"^accuracy ([\d.]+%) over \d+ rows with a label$", text, re.MULTILINE)
    markdown = read_run().artifacts["markdown"].data
    assert f"Accuracy **{accuracy}**" in markdown
    code, text, err = pipeline_flows("report", out, "--label-column", "label")
    assert (code, err) == (0, "")
    assert text.strip() == markdown.strip()


def test_report_says_how_far_an_unfinished_run_is_and_how_to_go_on(run, pipeline_flows, out):
    run("--rows-per-shard", 10)
    (out / "_run.json").unlink()
    (out / "_manifests" / "00002.json").unlink()
    code, text, _ = pipeline_flows("report", out)
    assert code == 0
    progress, command = text.splitlines()
    assert progress == "unfinished: 2 of 3 shards, 20 rows answered, 0 quarantined"
    assert command.startswith("go on with: pipeline-flows run text-classification --dataset ")


def test_preview_shows_predictions_and_what_is_wrong_with_rows(pipeline_flows, tmp_path, spec):
    rows = [{"text": "Not bad at all!"}, {"text": None}, {"text": "patient and warm " * 40}, {"text": "x"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, text, _ = pipeline_flows(
        "preview", "text-classification", "--model", spec.model, "--dataset", tmp_path / "rows.jsonl", "--first", 3
    )
    assert code == 0
    assert "Not bad at all!" in text
    assert "InvalidInputError" in text
    assert "64 (cut)" in text
    assert re.search(r"3 rows in [\d.]+ s: [\d,.]+ rows/s, 1 with text cut off, 1 failed; all 4 rows take", text)


def test_tasks_are_listed_by_name_and_described_one_by_one(pipeline_flows):
    code, text, _ = pipeline_flows("tasks")
    assert code == 0
    assert {"text-classification", "automatic-speech-recognition", "zero-shot-classification", "ner"} <= set(
        text.split()
    )
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    code, text, _ = pipeline_flows("tasks", "ner")
    assert code == 0
    assert text.startswith("token-classification, also called ner: ")
    assert re.search(r"^ text +text +--text-column +text, ", text, re.MULTILINE)
    assert re.search("^parameters: .*aggregation_strategy=none", text, re.MULTILINE)
    assert re.search(r"^pipeline-flows run token-classification --model \S+ --dataset rows.jsonl", text, re.MULTILINE)


def test_a_task_says_which_of_the_packages_that_it_needs_are_missing(pipeline_flows, monkeypatch):
    assert "needs soxr: installed" in pipeline_flows("tasks", "audio-classification").out
    monkeypatch.setitem(sys.modules, "soxr", None)
    text = pipeline_flows("tasks", "audio-classification").out
    assert "needs soxr: missing: pip install 'pipeline-flows[audio]'" in text
    assert "needs soundfile: installed" in text


def test_doctor_names_the_device_and_the_versions(pipeline_flows):
    code, text, _ = pipeline_flows("doctor")
    assert code == 0
    assert "device cpu" in text
    assert version("transformers") in text


NUMBERS = [
    ("--batch-size", 0, ">= 1"),
    ("--batch-size", -3, ">= 1"),
    ("--max-batch-tokens", 0, ">= 1"),
    ("--lookahead-rows", 0, ">= 1"),
    ("--limit", -1, ">= 1"),
    ("--limit", 0, ">= 1"),
    ("--rows-per-shard", 0, ">= 1"),
    ("--shards-at-once", 0, ">= 1"),
    ("--max-bad-rows", -1, ">= 0"),
    ("--max-bad-fraction", 1.5, "<= 1"),
    ("--max-bad-fraction", -0.1, ">= 0"),
    ("--max-bad-fraction", "nan", "<= 1"),
    ("--window-stride", -1, ">= 0"),
]


@pytest.mark.parametrize(("option", "number", "accepted"), NUMBERS)
def test_a_number_out_of_range_is_named_with_what_is_accepted(pipeline_flows, option, number, accepted):
    code, out, err = pipeline_flows("run", "fill-mask", "--dataset", "d", "--output", "o", option, number)
    assert (code, out) == (2, "")
    assert err == f'error: Invalid value "{number}" for {option}. Must be {accepted}.\n'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "sentiment", "--dataset", "d", "--output", "o"], "task must be one of any-to-any, .*'sentiment'"),
        (["tasks", "sentiment"], "task must be one of any-to-any, .*'sentiment'"),
        (
            ["run", "fill-mask", "--dataset", "d", "--output", "o", "--parameter", "k=2"],
            "takes no parameter 'k'; .*top_k",
        ),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--parameter", "k"], "--parameter must be NAME=VALUE"),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--device", "gpu"], 'device must be "auto"'),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--device", "--1"], "."),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--dtype", "int3"], '"float32".*"fastest"'),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--where", "stars"], "where: .*COLUMN OP VALUE"),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--limit", "few"], '--limit: unable to convert "few"'),
        (["run", "fill-mask", "--dataset", "d", "--output", "o", "--bach-size", "3"], "--bach-size.*--batch-size"),
        (["run", "fill-mask", "--dataset", "d"], "--output"),
        (["run", "--dataset", "d", "--output", "o"], "TASK"),
        (["go"], 'Unknown command "go". Available commands: run'),
        (["run", "fill-mask", "--dataset", "", "--output", "o"], "path"),
        (["preview", "fill-mask", "--dataset", "d", "--first", "0"], "--first. Must be >= 1"),
        (["preview", "fill-mask", "--dataset", "missing.csv", "--model", "gpt2"], "'missing.csv' is not there"),
    ],
)
def test_what_can_not_be_run_as_written_is_one_line_and_exit_code_2(pipeline_flows, words, said):
    code, out, err = pipeline_flows(*words)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: .*{said}.*\n", err)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--column", "review"], "has no column 'review'; its columns are key, text, label"),
        (["--id-column", "uid"], "has no column 'uid'"),
        (["--split", "train"], "has no split 'train'|no file"),
        (["--where", "text > 3"], "can't be compared"),
        (["--model", "./nowhere"], "model './nowhere' can't be loaded"),
        (["--device", "cuda:7"], "device 'cuda:7' is not on this machine; it has cpu"),
    ],
)
def test_what_only_the_data_or_the_machine_can_tell_is_exit_code_2_too(run, more, said):
    code, out, err = run(*more)
    assert (code, out) == (2, "")
    assert re.search(f"^error: .*(?:{said})", last_line(err))


def test_too_many_bad_rows_are_exit_code_3_and_an_example(run, reviews):
    rows = reviews.with_name("rows.jsonl")
    rows.write_text('{"key": "r0", "text": "warm"}\n{"key": "r1", "text": null}\n')
    code, out, err = run("--dataset", rows, "--max-bad-rows", 0)
    assert (code, out) == (3, "")
    assert last_line(err).startswith("error: 1 of 2 records failed, more than FailurePolicy(max_bad_rows=0) allows; ")
    assert "record 'r1': InvalidInputError in preprocess" in last_line(err)


def test_another_plans_folder_is_exit_code_4_unless_it_may_be_replaced(run):
    assert run().code == 0
    code, out, err = run("--limit", 3)
    assert (code, out) == (4, "")
    assert "holds the output of another plan: dataset.limit was None, now 3" in last_line(err)
    assert run("--limit", 3, "--replace").code == 0


def test_a_folder_in_use_is_exit_code_4(run, out):
    with OutputFolder(str(out)).claim():
        code, _, err = run()
    assert code == 4
    assert "is in use by process" in last_line(err)


def test_a_folder_that_is_no_runs_has_no_report(pipeline_flows, tmp_path):
    code, out, err = pipeline_flows("report", tmp_path)
    assert (code, out) == (2, "")
    assert re.fullmatch("error: .* is not the output of a run: .*\n", err)


def test_a_dataset_that_is_not_there_is_refused_before_prefect_starts(pipeline_flows, tmp_path, monkeypatch):
    monkeypatch.setattr("flows.running.run_flow", lambda *_, **__: pytest.fail("it was started"))
    code, out, err = pipeline_flows("classify", tmp_path / "nope.csv", "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "nope.csv" in err


def test_debug_adds_the_traceback(pipeline_flows):
    code, _, err = pipeline_flows("tasks", "sentiment", "--debug")
    assert code == 2
    assert "Traceback (most recent call last)" in err
    assert last_line(err).startswith("error: task must be one of")


def test_what_a_row_says_can_not_steer_the_terminal(run, reviews):
    rows = reviews.with_name("rows.jsonl")
    rows.write_text(json.dumps({"key": "\x1b[2J\x07\nerror: gone", "text": None}) + "\n")
    code, _, err = run("--dataset", rows, "--max-bad-rows", 0)
    assert code == 3
    assert "\x1b[2J" not in err.rpartition("error: 1 of 1")[2]


def test_no_command_shadows_another():
    assert [name for name in app if not name.startswith("-")] == COMMANDS
