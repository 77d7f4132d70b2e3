"""Stream records through a pipeline: preprocess, batch, forward, postprocess, answer in input order.

The caller's thread reads the records and runs the model; rows are preprocessed ahead of it and
answers postprocessed behind it in threads of their own. What is held is bounded by the look-ahead,
whatever the number of records.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch

from pipeline_core.answers import Answers, started
from pipeline_core.batching import Window, batch_cost, padded_tokens
from pipeline_core.columns import first_label
from pipeline_core.device_threads import check_wanted, helper_threads
from pipeline_core.figures import BudgetChange, Figures, MemoryEvent
from pipeline_core.lookahead import LookAhead
from pipeline_core.memory import forward_splitting
from pipeline_core.policies import BatchPolicy
from pipeline_core.records import Chunk, Prediction, Record
from pipeline_core.stages import Stages, stages_group
from pipeline_core.tuning import Budget, BudgetMemory

_BATCHES_BEHIND = 4


class Progress(NamedTuple):
    """How far a stretch of inference is.

    Attributes:
        rows: Records that the model is done with; their answers may still wait for one before them.
        failed: Those among them that have no answer.
        max_batch_tokens: The budget of the next batch; None where only ``batch_size`` limits it.
    """

    rows: int
    failed: int
    max_batch_tokens: int | None


class Engine:
    """One stretch of inference.

    Args:
        stages: What to do with rows and batches.
        policy: How much to hold and to batch.
        memory: Where the token budget of this model on this device is remembered.
        start_tokens: The budget that the search for the fastest starts from.
        device: Where the model runs.
        on_progress: Told after each batch how far it is.

    Attributes:
        figures: What has been done so far.
    """

    def __init__(
        self,
        stages: Stages,
        policy: BatchPolicy,
        memory: BudgetMemory,
        start_tokens: int,
        device: torch.device,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._stages = stages
        self._policy = policy
        self._device = device
        self._on_progress = on_progress
        self.figures = Figures()
        unlimited = policy.batch_size is not None and policy.max_batch_tokens == "auto"
        wanted = None if unlimited else policy.max_batch_tokens
        self._budget = Budget(wanted, memory, start_tokens, self._budget_changed)

    @property
    def max_batch_tokens(self) -> int | None:
        """The budget of the next batch, in padded tokens; None where only ``batch_size`` limits it."""
        return self._budget.limit

    def run(self, records: Iterable[Record]) -> Iterator[Prediction]:
        """One prediction for each record, in order, as soon as it and all before it are there.

        Raises:
            DeviceFailedError: The accelerator is lost to this process.
            WorkStoppedError: The run that wanted it was interrupted.
            Exception: What ``records`` raised, after the answers to all that it gave before.
        """
        began = time.perf_counter()
        executors = (
            helper_threads(self._device, self._policy.preprocess_threads, "preprocess"),
            helper_threads(self._device, 1, "postprocess"),
        )
        before, behind = map(started, executors)
        ahead = LookAhead(records, self._stages, self._policy, before, lambda: self._budget.limit)
        answers = Answers(self._stages, behind)
        # One row at a time means that whoever gives them may wait for the answer before the next.
        most_behind = 0 if self._policy.lookahead_rows == 1 else _BATCHES_BEHIND
        try:
            while (window := ahead.window()) is not None:
                answers.expect(window.entries)
                chunks = Window(window.chunks, stages_group(self._stages.batching))
                while chunks:
                    check_wanted()
                    rows = self._run_batch(chunks, answers)
                    self._on_progress(Progress(answers.rows, answers.failed, self._budget.limit))
                    yield from self._counted(answers.ready(most_behind), began)
                    ahead.read_on(2 * rows)
                yield from self._counted(answers.ready(most_behind), began)
            yield from self._counted(answers.ready(0), began)
        except Exception:
            yield from self._counted(answers.ready(0), began)
            raise
        finally:
            self.figures.seconds = time.perf_counter() - began
            for executor in executors:
                executor.shutdown(cancel_futures=True)

    def _run_batch(self, chunks: Window, answers: Answers) -> int:
        """Run one batch; returns its number of chunks."""
        batch = chunks.take(self._budget.limit, 1 if self._stages.batching == "alone" else self._policy.batch_size)
        events = len(self.figures.memory_events)
        start = time.perf_counter()
        outputs = forward_splitting(self._stages.forward, batch, self._out_of_memory)
        seconds = time.perf_counter() - start
        tokens, padded = sum(chunk.length for chunk in batch), padded_tokens(batch)
        self.figures.forward_seconds += seconds
        self.figures.batches += 1
        self.figures.tokens += tokens
        self.figures.padded_tokens += padded
        if len(self.figures.memory_events) == events:
            self._budget.measured(tokens, batch_cost(batch), seconds)
        answers.take_in(batch, outputs)
        return len(batch)

    def _counted(self, predictions: Iterable[Prediction], began: float) -> Iterator[Prediction]:
        figures = self.figures
        for prediction in predictions:
            figures.rows += 1
            figures.truncated += prediction.truncated
            figures.seconds = time.perf_counter() - began
            if prediction.error is not None:
                figures.quarantined += 1
            elif (label := first_label(prediction.output)) is not None:
                figures.labels[label] = figures.labels.get(label, 0) + 1
            yield prediction

    def _out_of_memory(self, part: Sequence[Chunk], message: str) -> None:
        padded = batch_cost(list(part))
        self.figures.memory_events.append(
            MemoryEvent(rows_done=self.figures.rows, chunks=len(part), padded_tokens=padded, message=message[:300])
        )
        if len(part) > 1:  # a row too large for the device says nothing about the others
            self._budget.too_large(padded)

    def _budget_changed(self, budget: int, reason: str) -> None:
        self.figures.budgets.append(BudgetChange(rows_done=self.figures.rows, max_batch_tokens=budget, reason=reason))
