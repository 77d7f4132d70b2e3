"""The line that a run's last state says: what is committed, why it stopped, what to do."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime

import pytest
import torch

from flows.batch_inference import batch_inference
from flows.outcome import TOO_MANY_BAD_ROWS, completed_line, stating_outcome
from pipeline_core import DatasetRef, FailurePolicy
from pipeline_core.device_threads import check_wanted, run_on
from pipeline_core.errors import FailureBudgetExceededError, WorkStoppedError
from pipeline_core.figures import BudgetChange, Figures
from pipeline_core.manifest import RunSummary


def change(rows_done, tokens, reason):
    return BudgetChange(rows_done=rows_done, max_batch_tokens=tokens, reason=reason)


@pytest.mark.parametrize(
    ("budgets", "says"),
    [
        ([change(0, 4096, "remembered")], ""),
        ([change(0, 1024, "start"), change(64, 4096, "settled")], ""),
        (
            [change(0, 4096, "start"), change(10, 2048, "out of memory"), change(11, 1024, "out of memory")],
            ", budget fell 4,096 -> 1,024 tokens",
        ),
    ],
)
def test_a_completed_run_says_its_rows_its_quarantine_and_how_its_budget_fell(budgets, says):
    now = datetime.now(UTC).isoformat()
    summary = RunSummary(
        output="s3://bucket/table",
        plan_fingerprint="p",
        rows=999_963,
        quarantined=37,
        shards=50,
        figures=Figures(budgets=budgets),
        model=None,
        dataset_fingerprint="d",
        spec_fingerprint="s",
        started_at=now,
        finished_at=now,
    )
    line = f"1,000,000 of 1,000,000 rows committed, 37 quarantined{says}; in s3://bucket/table"
    assert completed_line(summary) == line


def test_a_run_ends_in_a_state_that_says_what_it_did(run_flow, reviews, spec, tmp_path):
    output = tmp_path / "out"
    done = run_flow(batch_inference, dataset=DatasetRef(path=str(reviews)), output=str(output), spec=spec)
    assert (done.state.name, done.state.message) == (
        "Completed",
        f"30 of 30 rows committed, 0 quarantined; in {output}",
    )
    assert done.state.result().rows == 30


def test_a_run_with_too_many_bad_rows_says_what_stays_and_why_it_stopped(run_flow, reviews, spec, tmp_path):
    lines = reviews.read_text().splitlines()
    reviews.write_text("\n".join([*lines[:21], *(f"{line.split(',')[0]},,a" for line in lines[21:]), ""]))
    run = run_flow(
        batch_inference,
        last=None,
        dataset=DatasetRef(path=str(reviews), column="text"),
        output=str(tmp_path / "out"),
        spec=spec,
        failures=FailurePolicy(max_bad_rows=2),
        rows_per_shard=10,
    )
    assert run.state.is_failed()
    assert run.state.name == TOO_MANY_BAD_ROWS
    start = (
        "20 of 30 rows committed, 0 quarantined; rerun to resume; FailureBudgetExceededError: 3 of 30 records failed"
    )
    assert run.state.message.startswith(start)
    assert "\n" not in run.state.message
    assert isinstance(run.error, FailureBudgetExceededError)


def test_a_run_that_can_not_begin_says_why_and_no_more(run_flow, spec, tmp_path):
    missing = tmp_path / "missing.csv"
    run = run_flow(
        batch_inference, last=None, dataset=DatasetRef(path=str(missing)), output=str(tmp_path / "out"), spec=spec
    )
    assert run.state.message.startswith("DatasetNotFoundError: ")
    assert str(missing) in run.state.message


@pytest.mark.parametrize("interrupts", [KeyboardInterrupt, SystemExit(143)])
def test_what_interrupts_a_run_ends_what_it_computes(interrupts):
    begun, device = threading.Event(), torch.device("cuda:8")

    def work() -> None:
        begun.set()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            check_wanted()

    def body(output: str) -> RunSummary:
        tasks.append(threads.submit(copy_context().run, run_on, device, work))
        assert begun.wait(5)
        raise interrupts

    tasks: list[Future[None]] = []
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(BaseException) as left:  # noqa: PT011
            stating_outcome(body)("out")
        assert left.type is (interrupts if isinstance(interrupts, type) else type(interrupts))
        assert isinstance(tasks[0].exception(timeout=5), WorkStoppedError)
