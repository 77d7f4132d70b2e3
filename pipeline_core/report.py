"""What a run did, as Markdown that a person reads and as rows for a table; what the data says is escaped."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline_core.conditions import Condition
from pipeline_core.evaluation import Evaluation
from pipeline_core.figures import BudgetChange, Figures
from pipeline_core.manifest import RunSummary
from pipeline_core.shards import RunPlan

_MOST_EVENTS = 10
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#!|~&$])")


def markdown_report(plan: RunPlan, summary: RunSummary, evaluation: Evaluation | None = None) -> str:
    """The report of a finished run: its rates, what was cut or quarantined, its labels, and how to run it again."""
    figures = summary.figures
    sections = [
        f"# {escape(plan.spec.task)} over {escape(plan.dataset.path)}",
        escape(headline(summary)),
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
    sections += ["## Run it again", _fenced(rerun_command(plan, summary.output))]
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
        *([("rows with an empty answer", f"{figures.empty:,}")] if figures.empty else []),
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
    without = f"; {evaluation.unlabelled:,} have none" if evaluation.unlabelled else ""
    return "\n\n".join(
        [
            f"Accuracy **{evaluation.accuracy:.2%}** over {evaluation.rows:,} rows with a label{without}.",
            _raw_table(("actual \\\\ predicted", *map(escape, evaluation.labels)), matrix),
            _raw_table(("class", "precision", "recall", "F1", "rows"), classes),
        ]
    )


def rerun_command(plan: RunPlan, output: str) -> str:
    """The shell command that runs the plan again, or goes on with it."""
    spec, dataset = plan.spec, plan.dataset
    columns = dataset.column if isinstance(dataset.column, dict) else {"": dataset.column} if dataset.column else {}
    short = isinstance(spec.quantization, str)
    model_kwargs = spec.model_kwargs if short else {**spec.model_kwargs, "quantization_config": spec.quantization}
    options: list[tuple[str, Any]] = [
        ("--dataset", dataset.path),
        ("--output", output),
        ("--model", spec.model),
        ("--revision", spec.revision),
        ("--tokenizer", spec.tokenizer),
        ("--dtype", spec.dtype if spec.dtype != "auto" else None),
        ("--quantization", spec.quantization if short else None),
        ("--attn-implementation", spec.attn_implementation),
        ("--on-long", spec.on_long if spec.on_long != "truncate" else None),
        ("--window-stride", spec.window_stride if spec.on_long == "window" else None),
        ("--seed", spec.seed or None),
        ("--split", dataset.split),
        ("--name", dataset.name),
        ("--dataset-revision", dataset.revision),
        ("--format", dataset.format),
        *(("--column", f"{key}={column}" if key else column) for key, column in columns.items()),
        ("--id-column", dataset.id_column),
        *(("--keep-column", column) for column in ([""] if dataset.keep_columns == [] else dataset.keep_columns or [])),
        *(("--where", _written(condition)) for condition in dataset.where),
        ("--limit", dataset.limit),
        *(("--parameter", f"{name}={json.dumps(value)}") for name, value in spec.parameters.items()),
        *(
            ("--model-kwarg", f"{name}={json.dumps(value)}")
            for name, value in model_kwargs.items()
            if value is not None
        ),
        ("--rows-per-shard", plan.rows_per_shard),
        ("--arrays", plan.arrays if plan.arrays != "float32" else None),
    ]
    words = ["pipeline-flows", "run", spec.task]
    for option, value in options:
        if value is not None:
            # A value that begins with a hyphen would be read as an option of its own.
            words += [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]
    flags = {"--streaming": dataset.streaming, "--trust-remote-code": spec.trust_remote_code}
    return shlex.join(words + [flag for flag, is_set in flags.items() if is_set])


def escape(text: str) -> str:
    """``text`` inside a line of Markdown that shows it as it is: no markup, no HTML, no control characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in " ".join(str(text).split()))
    return _MARKUP.sub(r"\\\1", line)


def _written(condition: Condition) -> str:
    column, text = condition.column, str(condition)
    if re.fullmatch(r"[\w.-]+", column):
        return text
    quote = next((mark for mark in "\"'`" if mark not in column), "")
    return f"{quote}{column}{quote}{text.removeprefix(column)}"


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


def _fenced(code: str) -> str:
    """``code`` as a block that ends where it does, whatever backticks it holds."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", code))])
    return f"{fence}\n{code}\n{fence}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _raw_table(header, [tuple(map(escape, row)) for row in rows])


def _raw_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
