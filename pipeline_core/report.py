"""What a run did, as Markdown that a person reads and as rows for a table; what the data says is escaped."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline_core.evaluation import Evaluation
from pipeline_core.figures import BudgetChange, Figures
from pipeline_core.manifest import RunSummary
from pipeline_core.shards import RunPlan

_MOST_EVENTS = 10
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$-])")


def markdown_report(plan: RunPlan, summary: RunSummary, evaluation: Evaluation | None = None) -> str:
    """The report of a finished run: its rates, what was cut or quarantined, its labels, and how to run it again."""
    figures = summary.figures
    sections = [
        f"# {escape(plan.spec.task)} over {escape(plan.dataset.path)}",
        headline(summary),
        _table(("figure", "value"), figure_rows(summary)),
    ]
    if evaluation is not None:
        sections += ["## Against the dataset's labels", evaluation_markdown(evaluation)]
    if figures.labels:
        total = sum(figures.labels.values())
        counts = sorted(figures.labels.items(), key=lambda item: -item[1])
        rows = [(label, f"{count:,}", f"{count / total:.1%}") for label, count in counts]
        sections += ["## Labels", _table(("label", "rows", "share"), rows)]
    if figures.budgets:
        sections += ["## Token budget", _table(("after rows", "tokens a batch", "why"), _budget_rows(figures.budgets))]
    if figures.memory_events:
        sections += ["## Out of memory, survived", _memory_events(figures)]
    sections += ["## What made it", _table(("what", "which"), _provenance(plan, summary))]
    sections += ["## Run it again", f"```\n{rerun_command(plan, summary.output)}\n```"]
    return "\n\n".join(sections) + "\n"


def headline(summary: RunSummary) -> str:
    """One line: rows, quarantine, rate, memory events."""
    figures = summary.figures
    line = f"{summary.rows:,} rows answered, {summary.quarantined:,} quarantined"
    if figures.seconds:
        line += f", {figures.rows_per_second:,.1f} rows/s"
    if figures.memory_events:
        line += f", {len(figures.memory_events)} batches out of memory and done in parts"
    return line + f"; committed in {summary.output}"


def figure_rows(summary: RunSummary) -> list[tuple[str, str]]:
    """The figures of a run by name, as text."""
    figures = summary.figures
    return [
        ("rows answered", f"{summary.rows:,}"),
        ("rows quarantined", f"{summary.quarantined:,}"),
        ("rows with text cut off", f"{figures.truncated:,}"),
        ("inference time", f"{figures.seconds:,.1f} s"),
        ("rows a second", f"{figures.rows_per_second:,.1f}"),
        ("tokens a second", f"{figures.tokens / figures.seconds:,.0f}" if figures.seconds else "0"),
        ("share of time in the model", f"{figures.forward_seconds / figures.seconds:.1%}" if figures.seconds else "0"),
        ("share of padding", f"{figures.padding_share:.2%}"),
        ("batches", f"{figures.batches:,}"),
        ("batches out of memory", f"{len(figures.memory_events):,}"),
        ("shards", f"{summary.shards:,}"),
    ]


def table_rows(rows: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Pairs as the rows of a two-column table."""
    return [{"figure": name, "value": value} for name, value in rows]


def evaluation_markdown(evaluation: Evaluation) -> str:
    """Accuracy, the confusion matrix and each class' precision, recall and F1."""
    matrix = [
        (f"**{escape(actual)}**", *(f"{evaluation.counts[actual].get(found, 0):,}" for found in evaluation.labels))
        for actual in evaluation.labels
    ]
    classes = [
        (escape(score.label), f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}", f"{score.rows:,}")
        for score in evaluation.classes
    ]
    return "\n\n".join(
        [
            f"Accuracy **{evaluation.accuracy:.2%}** over {evaluation.rows:,} rows with a label.",
            _raw_table(("actual \\\\ predicted", *map(escape, evaluation.labels)), matrix),
            _raw_table(("class", "precision", "recall", "F1", "rows"), classes),
        ]
    )


def rerun_command(plan: RunPlan, output: str) -> str:
    """The shell command that runs the plan again, or goes on with it."""
    spec, dataset = plan.spec, plan.dataset
    words = ["pipeline-flows", "run", spec.task, "--dataset", dataset.path, "--output", output]
    options: list[tuple[str, Any]] = [
        ("--model", spec.model),
        ("--revision", spec.revision),
        ("--tokenizer", spec.tokenizer),
        ("--dtype", spec.dtype if spec.dtype != "auto" else None),
        ("--quantization", spec.quantization if isinstance(spec.quantization, str) else None),
        ("--attn-implementation", spec.attn_implementation),
        ("--on-long", spec.on_long if spec.on_long != "truncate" else None),
        ("--split", dataset.split),
        ("--name", dataset.name),
        ("--dataset-revision", dataset.revision),
        ("--format", dataset.format),
        ("--id-column", dataset.id_column),
        ("--limit", dataset.limit),
        ("--rows-per-shard", plan.rows_per_shard),
    ]
    for option, value in options:
        if value is not None:
            words += [option, str(value)]
    columns = dataset.column if isinstance(dataset.column, dict) else {"": dataset.column} if dataset.column else {}
    for key, column in columns.items():
        words += ["--column", f"{key}={column}" if key else str(column)]
    for column in dataset.keep_columns or []:
        words += ["--keep-column", column]
    for condition in dataset.where:
        words += ["--where", str(condition)]
    for name, value in spec.parameters.items():
        words += ["--parameter", f"{name}={json.dumps(value)}"]
    return shlex.join(words)


def escape(text: str) -> str:
    """``text`` as Markdown that shows it as it is: no markup, no HTML, one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def _provenance(plan: RunPlan, summary: RunSummary) -> list[tuple[str, str]]:
    known = {} if summary.model is None else summary.model.model_dump()
    rows = [(f"model {name}", str(value)) for name, value in known.items() if value]
    rows += [
        ("spec fingerprint", summary.spec_fingerprint),
        ("dataset fingerprint", summary.dataset_fingerprint),
        ("started", summary.started_at),
        ("finished", summary.finished_at),
        ("pipeline-flows", plan.code_version),
    ]
    return rows + [(name, version) for name, version in summary.versions.items() if name != "pipeline-flows"]


def _budget_rows(budgets: Sequence[BudgetChange]) -> list[tuple[str, str, str]]:
    """The changes in order; where every shard starts from the same remembered budget, it is said once."""
    rows: list[tuple[str, str, str]] = []
    last: int | None = None
    for change in budgets:
        if change.max_batch_tokens != last or change.reason not in ("remembered", "start"):
            rows.append((f"{change.rows_done:,}", f"{change.max_batch_tokens:,}", change.reason))
        last = change.max_batch_tokens
    return rows


def _memory_events(figures: Figures) -> str:
    events = figures.memory_events[:_MOST_EVENTS]
    rows = [(f"{e.rows_done:,}", f"{e.chunks:,}", f"{e.padded_tokens:,}", e.message.split("\n")[0]) for e in events]
    table = _table(("after rows", "chunks", "padded tokens", "message"), rows)
    more = len(figures.memory_events) - len(events)
    return table + (f"\n\n… and {more:,} more" if more > 0 else "")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _raw_table(header, [tuple(map(escape, row)) for row in rows])


def _raw_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
