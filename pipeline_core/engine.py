"""Stream records through a pipeline: preprocess, batch, forward, postprocess, answer in input order.

The caller's thread reads the records and runs the model; rows are preprocessed ahead of it and
answers postprocessed behind it in threads of their own. What is held is bounded by the look-ahead,
whatever the number of records.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from pipeline_core.batching import Window, padded_tokens
from pipeline_core.columns import first_label
from pipeline_core.errors import InputTooLargeError
from pipeline_core.figures import BudgetChange, Figures, MemoryEvent
from pipeline_core.memory import Failure, forward_splitting
from pipeline_core.records import Chunk, Prediction, Record, RowError
from pipeline_core.spec import BatchPolicy
from pipeline_core.stages import Stages, row_error, stages_group, tensors
from pipeline_core.tuning import Budget, BudgetMemory

_BATCHES_BEHIND = 4
_BATCHES_AHEAD = 64
_LEAST_ROWS_AHEAD, _MOST_ROWS_AHEAD = 512, 8_192


class Engine:
    """One stretch of inference.

    Args:
        stages: What to do with rows and batches.
        policy: How much to hold and to batch.
        memory: Where the token budget of this model on this device is remembered.
        start_tokens: The budget that the search for the fastest starts from.

    Attributes:
        figures: What has been done so far.
    """

    def __init__(self, stages: Stages, policy: BatchPolicy, memory: BudgetMemory, start_tokens: int) -> None:
        self._stages = stages
        self._policy = policy
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
        """
        started = time.perf_counter()
        before = ThreadPoolExecutor(self._policy.preprocess_threads, "preprocess")
        behind = ThreadPoolExecutor(1, "postprocess")
        ahead = _LookAhead(records, self._stages, self._policy, before, lambda: self._budget.limit)
        answers = _Answers(self._stages, behind)
        try:
            while (window := ahead.window()) is not None:
                answers.expect(window.entries)
                chunks = Window(window.chunks, stages_group(self._stages.batching))
                while chunks:
                    ahead.read_on(2 * self._run_batch(chunks, answers))
                    yield from self._counted(answers.ready(_BATCHES_BEHIND), started)
                yield from self._counted(answers.ready(_BATCHES_BEHIND), started)
            yield from self._counted(answers.ready(0), started)
        finally:
            self.figures.seconds = time.perf_counter() - started
            before.shutdown(cancel_futures=True)
            behind.shutdown(cancel_futures=True)

    def _run_batch(self, chunks: Window, answers: "_Answers") -> int:
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
            self._budget.measured(tokens, padded, seconds)
        answers.take_in(batch, outputs)
        return len(batch)

    def _counted(self, predictions: Iterable[Prediction], started: float) -> Iterator[Prediction]:
        figures = self.figures
        for prediction in predictions:
            figures.rows += 1
            figures.truncated += prediction.truncated
            figures.seconds = time.perf_counter() - started
            if prediction.error is not None:
                figures.quarantined += 1
            elif (label := first_label(prediction.output)) is not None:
                figures.labels[label] = figures.labels.get(label, 0) + 1
            yield prediction

    def _out_of_memory(self, part: Sequence[Chunk], message: str) -> None:
        padded = padded_tokens(list(part))
        self.figures.memory_events.append(
            MemoryEvent(rows_done=self.figures.rows, chunks=len(part), padded_tokens=padded, message=message[:300])
        )
        if len(part) > 1:  # a row too large for the device says nothing about the others
            self._budget.too_large(padded)

    def _budget_changed(self, budget: int, reason: str) -> None:
        self.figures.budgets.append(BudgetChange(rows_done=self.figures.rows, max_batch_tokens=budget, reason=reason))


class _Entry:
    """A record on its way: its chunks' outputs so far, and what is known of its answer."""

    __slots__ = ("chunks", "error", "number", "outputs", "prediction", "record_id", "tokens", "truncated", "waiting")

    def __init__(self, number: int, record_id: str, prepared: list[Chunk] | RowError) -> None:
        self.number = number
        self.record_id = record_id
        if not prepared:
            prepared = RowError("preprocess", "InvalidInputError", "the pipeline made nothing of this input")
        self.error = prepared if isinstance(prepared, RowError) else None
        self.chunks = [] if isinstance(prepared, RowError) else prepared
        self.waiting = len(self.chunks)
        self.outputs: list[Any] = [None] * self.waiting
        self.tokens = sum(chunk.length for chunk in self.chunks)
        self.truncated = any(chunk.truncated for chunk in self.chunks)
        self.prediction: Prediction | None = None

    def finish(self, answer: Any) -> None:
        """Make the prediction of an answer, or of the error in its place."""
        if isinstance(answer, Exception):
            answer = row_error("postprocess", answer)
        failed = isinstance(answer, RowError)
        self.prediction = Prediction(
            self.record_id,
            None if failed else answer,
            answer if failed else None,
            self.truncated,
            self.tokens,
        )
        self.outputs = []


class _Filled:
    """A look-ahead's worth of records and the chunks to run for them."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.chunks: list[Chunk] = []
        self.size = _Size()

    def add(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.chunks += entry.chunks
        self.size = _Size(
            self.size.rows + 1,
            self.size.tokens + entry.tokens,
            self.size.bytes + sum(chunk_bytes(chunk) for chunk in entry.chunks),
        )
        entry.chunks = []


class _Size(NamedTuple):
    """How much is held, or may be."""

    rows: int = 0
    tokens: float = 0
    bytes: float = 0

    def within(self, limit: "_Size") -> bool:
        return self.rows < limit.rows and self.tokens < limit.tokens and self.bytes < limit.bytes


class _LookAhead:
    """Reads records in slices and has them preprocessed, no further ahead than the policy allows."""

    def __init__(
        self,
        records: Iterable[Record],
        stages: Stages,
        policy: BatchPolicy,
        executor: ThreadPoolExecutor,
        max_batch_tokens: Callable[[], int | None],
    ) -> None:
        self._records = enumerate(records)
        self._stages = stages
        self._policy = policy
        self._executor = executor
        self._max_batch_tokens = max_batch_tokens
        self._slices: deque[Future[list[_Entry]]] = deque()
        self._rows_ahead = 0
        self._left: deque[_Entry] = deque()
        self._slice_rows = max(1, min(stages.slice_rows, self._limit.rows))
        self._last = _Size()
        self._ended = False

    def read_on(self, rows: int = 1) -> None:
        """Read ``rows`` more rows, in whole slices, as far as there is room for them."""
        wanted = self._rows_ahead + rows
        while not self._ended and self._rows_ahead < wanted and self._has_room():
            records = list(islice(self._records, self._slice_rows))
            self._ended = len(records) < self._slice_rows
            if records:
                self._rows_ahead += len(records)
                self._slices.append(_submit(self._executor, _prepare, self._stages, records))

    def window(self) -> _Filled | None:
        """The next records, preprocessed: as many as the look-ahead holds; None when there are no more."""
        window, limit = _Filled(), self._limit
        while window.size.within(limit):
            if not self._left:
                if not self._slices:
                    self.read_on()
                if not self._slices:
                    break
                self._left.extend(self._slices.popleft().result())
                self.read_on()
            self._rows_ahead -= 1
            window.add(self._left.popleft())
        if not window.entries:
            return None
        self._last = window.size
        return window

    def _has_room(self) -> bool:
        """Whether what is read ahead is within the look-ahead, a row taking what the last window's did."""
        share = self._rows_ahead / max(1, self._last.rows)
        return _Size(self._rows_ahead, self._last.tokens * share, self._last.bytes * share).within(self._limit)

    @property
    def _limit(self) -> _Size:
        policy = self._policy
        if policy.lookahead_rows != "auto":
            return _Size(policy.lookahead_rows, math.inf, policy.lookahead_bytes)
        if policy.batch_size is not None:
            rows = min(_MOST_ROWS_AHEAD, max(_LEAST_ROWS_AHEAD, policy.batch_size * _BATCHES_AHEAD))
            return _Size(rows, math.inf, policy.lookahead_bytes)
        tokens = self._max_batch_tokens()
        return _Size(_MOST_ROWS_AHEAD, math.inf if tokens is None else tokens * _BATCHES_AHEAD, policy.lookahead_bytes)


class _Answers:
    """Puts chunks' outputs together record by record, has them postprocessed, and gives them out in order."""

    def __init__(self, stages: Stages, executor: ThreadPoolExecutor) -> None:
        self._stages = stages
        self._executor = executor
        self._entries: deque[_Entry] = deque()
        self._by_number: dict[int, _Entry] = {}
        self._behind: deque[Future[None]] = deque()

    def expect(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            self._entries.append(entry)
            if entry.error is not None:
                entry.finish(entry.error)
            else:
                self._by_number[entry.number] = entry

    def take_in(self, batch: Sequence[Chunk], outputs: Sequence[Any]) -> None:
        """File a batch's outputs; records that have all of theirs go to be postprocessed."""
        complete = []
        for chunk, output in zip(batch, outputs, strict=True):
            entry = self._by_number[chunk.record]
            entry.waiting -= 1
            if isinstance(output, Failure):
                entry.error = _forward_error(output, chunk)
            else:
                entry.outputs[chunk.index] = output
            if entry.waiting == 0:
                del self._by_number[chunk.record]
                if entry.error is not None:
                    entry.finish(entry.error)
                else:
                    complete.append(entry)
        if complete:
            self._behind.append(_submit(self._executor, _finish, self._stages, complete))

    def ready(self, batches_behind: int) -> Iterator[Prediction]:
        """The answers next in order; waits until at most ``batches_behind`` batches are unfinished."""
        while self._behind and (len(self._behind) > batches_behind or self._behind[0].done()):
            self._behind.popleft().result()
        while self._entries and (prediction := self._entries[0].prediction) is not None:
            self._entries.popleft()
            yield prediction


def chunk_bytes(chunk: Chunk) -> int:
    """Bytes of a chunk's arrays and tensors."""
    if isinstance(chunk.inputs, tuple):
        return sum(array.nbytes for array in chunk.inputs if isinstance(array, np.ndarray))
    return sum(tensor.nbytes for _, tensor in tensors(chunk.inputs))


def _submit(executor: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Have ``work`` done by a thread, or here where memory is too short to start one."""
    try:
        return executor.submit(work, *arguments)
    except RuntimeError:
        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future


def _prepare(stages: Stages, records: list[tuple[int, Record]]) -> list[_Entry]:
    readable = [(number, record) for number, record in records if record.error is None]
    try:
        prepared = stages.preprocess(readable)
    except MemoryError:  # row by row takes less
        prepared = [_prepare_alone(stages, entry) for entry in readable]
    outcomes = iter(prepared)
    return [
        _Entry(number, record.id, next(outcomes) if record.error is None else row_error("read", record.error))
        for number, record in records
    ]


def _prepare_alone(stages: Stages, entry: tuple[int, Record]) -> list[Chunk] | RowError:
    try:
        return stages.preprocess([entry])[0]
    except MemoryError as error:
        return row_error("preprocess", error)


def _finish(stages: Stages, entries: list[_Entry]) -> None:
    answers = stages.postprocess([entry.outputs for entry in entries])
    for entry, answer in zip(entries, answers, strict=True):
        entry.finish(answer)


def _forward_error(failure: Failure, chunk: Chunk) -> RowError:
    if failure.out_of_memory:
        error = InputTooLargeError(
            f"{chunk.length} tokens alone do not fit into the device's memory: {failure.message[:300]}"
        )
        return row_error("forward", error)
    return RowError("forward", failure.error_class, failure.message)
