"""What a run did, as Markdown: right in its numbers, and showing what the data says without obeying it."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline_core import PipelineSpec
from pipeline_core.evaluation import evaluate
from pipeline_core.figures import BudgetChange, Figures, MemoryEvent
from pipeline_core.manifest import RunSummary
from pipeline_core.report import escape, evaluation_markdown, figure_rows, headline, markdown_report, rerun_command
from pipeline_core.shards import RunPlan, plan_shards
from pipeline_core.sources import DatasetRef, open_dataset

COMMONMARK = MarkdownIt("commonmark").enable("table")
SPEC = PipelineSpec(task="text-classification", model="demo:sentiment")


@pytest.fixture
def plan(tmp_path) -> RunPlan:
    (tmp_path / "rows.csv").write_text("key,text,stars\nr0,warm,3\nr1,cold,1\n")
    return plan_shards(open_dataset(DatasetRef(path=str(tmp_path / "rows.csv"))), SPEC)


def summary_of(plan: RunPlan, output: str = "out", **figures) -> RunSummary:
    summary = RunSummary.of(output, plan, [], None)
    return summary.model_copy(update={"rows": 1234, "quarantined": 2, "shards": 3, "figures": Figures(**figures)})


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    html = COMMONMARK.render(markdown)
    assert set(re.findall(r"<(\w+)", html)) <= {"p", "table", "thead", "tbody", "tr", "td", "th"}, html
    text = re.sub(r"<[^>]+>", "", html)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def test_the_figures_are_those_of_the_run(plan):
    summary = summary_of(
        plan, rows=1236, seconds=10.0, forward_seconds=7.5, tokens=9000, padded_tokens=10_000, batches=40, truncated=5
    )
    assert dict(figure_rows(summary)) == {
        "rows answered": "1,234",
        "rows quarantined": "2",
        "rows with text cut off": "5",
        "inference time": "10.0 s",
        "rows a second": "123.6",
        "tokens a second": "900",
        "share of time in the model": "75.0%",
        "share of padding": "10.00%",
        "batches": "40",
        "batches out of memory": "0",
        "shards": "3",
    }
    assert headline(summary) == "1,234 rows answered, 2 quarantined, 123.6 rows/s; committed in out"


def test_empty_answers_are_told_where_there_are_some(plan):
    assert "rows with an empty answer" not in dict(figure_rows(summary_of(plan)))
    assert dict(figure_rows(summary_of(plan, empty=3)))["rows with an empty answer"] == "3"


def test_a_run_that_took_no_time_has_no_rates_and_divides_by_nothing(plan):
    summary = summary_of(plan)
    assert headline(summary) == "1,234 rows answered, 2 quarantined; committed in out"
    assert dict(figure_rows(summary))["share of time in the model"] == "0"


def test_labels_budgets_and_memory_events_have_tables_of_their_own(plan):
    events = [MemoryEvent(rows_done=n, chunks=8, padded_tokens=512, message="CUDA | full\nmore") for n in range(12)]
    budgets = [
        BudgetChange(rows_done=0, max_batch_tokens=2048, reason="start"),
        BudgetChange(rows_done=500, max_batch_tokens=1024, reason="settled"),
        BudgetChange(rows_done=600, max_batch_tokens=1024, reason="remembered"),
        BudgetChange(rows_done=900, max_batch_tokens=256, reason="out of memory"),
    ]
    report = markdown_report(
        plan, summary_of(plan, labels={"NEG": 1, "POS": 3}, budgets=budgets, memory_events=events, seconds=1.0)
    )
    assert "| POS | 3 | 75.0% |\n| NEG | 1 | 25.0% |" in report
    assert re.findall(r"^\| \d+ \| [\d,]+ \| (?:start|settled|remembered|out of memory) \|$", report, re.MULTILINE) == [
        "| 0 | 2,048 | start |",
        "| 500 | 1,024 | settled |",
        "| 900 | 256 | out of memory |",
    ]
    assert report.count(r"| CUDA \| full |") == 10
    assert "… and 2 more" in report
    assert "12 batches out of memory and done in parts" in report


def test_what_made_the_run_is_named(plan):
    report = markdown_report(plan, summary_of(plan))
    assert f"| spec fingerprint | {plan.spec_fingerprint} |" in report
    assert f"| dataset fingerprint | {plan.dataset_fingerprint} |" in report
    assert re.search(r"\| transformers \| 5\.", report)


def test_an_evaluation_shows_its_matrix_with_the_labels_as_they_are():
    evaluation = evaluate([("<b>", "<b>"), ("<b>", "a|b"), ("a|b", "a|b"), (None, "a|b")], ["<b>", "a|b"])
    markdown = evaluation_markdown(evaluation)
    assert "Accuracy **66.67%** over 3 rows with a label; 1 have none." in markdown
    html = COMMONMARK.render(markdown)
    assert "<td><strong>&lt;b&gt;</strong></td>\n<td>1</td>\n<td>1</td>" in html
    assert "<td>a|b</td>\n<td>0.500</td>\n<td>1.000</td>\n<td>0.667</td>\n<td>1</td>" in html


@given(st.text(max_size=60) | st.text("<>[]()*_`~|\\!#&$-+=:\"'/ \n\tab1.", max_size=60))
def test_escaped_text_shows_as_it_is(text):
    line = escape(text)
    assert "\n" not in line
    wanted = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    assert shown(f"cell: {line}.").strip() == f"cell: {wanted}.".strip()
    assert (
        shown(f"| a | b |\n| --- | --- |\n| {line} | c |").split("\n")[8:]
        == shown("| a | b |\n| --- | --- |\n| x | c |").replace("x", wanted.strip()).split("\n")[8:]
    )


@pytest.mark.parametrize("output", ["a\n```\n# gone", "````", "x y", "-o", "it's"])
def test_the_command_stays_in_its_block_whatever_the_paths(plan, output):
    report = markdown_report(plan, summary_of(plan, output))
    blocks = [token for token in COMMONMARK.parse(report) if token.type == "fence"]
    assert [shlex.split(block.content) for block in blocks] == [shlex.split(rerun_command(plan, output))]
    assert COMMONMARK.render(report).count("<h1>") == 1
