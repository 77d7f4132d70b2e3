"""Put chunks' outputs together record by record, have them postprocessed, give the answers out in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipeline_core.errors import InputTooLargeError
from pipeline_core.memory import Failure
from pipeline_core.records import Chunk, Prediction, RowError
from pipeline_core.stages import Stages, row_error


class Entry:
    """A record on its way: its chunks' outputs so far, and what is known of its answer."""

    __slots__ = (
        "chunks",
        "error",
        "input_bytes",
        "number",
        "outputs",
        "prediction",
        "record_id",
        "tokens",
        "truncated",
        "waiting",
    )

    def __init__(self, number: int, record_id: str, prepared: list[Chunk] | RowError, input_bytes: int = 0) -> None:
        self.number = number
        self.record_id = record_id
        self.input_bytes = input_bytes
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


class Answers:
    """Puts chunks' outputs together record by record, has them postprocessed, and gives them out in order.

    Attributes:
        rows: Records that the model is done with, given out or not.
        failed: Those among them that have no answer.
    """

    def __init__(self, stages: Stages, executor: ThreadPoolExecutor | None) -> None:
        self._stages = stages
        self._executor = executor
        self._entries: deque[Entry] = deque()
        self._by_number: dict[int, Entry] = {}
        self._behind: deque[Future[None]] = deque()
        self.rows = 0
        self.failed = 0

    def expect(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._entries.append(entry)
            if entry.error is not None:
                self._fail(entry, entry.error)
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
                    self._fail(entry, entry.error)
                else:
                    self.rows += 1
                    complete.append(entry)
        if complete:
            self._behind.append(submit(self._executor, _finish, self._stages, complete))

    def _fail(self, entry: Entry, error: RowError) -> None:
        self.rows += 1
        self.failed += 1
        entry.finish(error)

    def ready(self, batches_behind: int) -> Iterator[Prediction]:
        """The answers next in order; waits until at most ``batches_behind`` batches are unfinished."""
        while self._behind and (len(self._behind) > batches_behind or self._behind[0].done()):
            self._behind.popleft().result()
        while self._entries and (prediction := self._entries[0].prediction) is not None:
            self._entries.popleft()
            yield prediction


def started(executor: ThreadPoolExecutor) -> ThreadPoolExecutor | None:
    """The executor with its first thread running, or None where memory is too short for one."""
    try:
        executor.submit(int).result()
    except RuntimeError:
        executor.shutdown(cancel_futures=True)
        return None
    return executor


def submit(executor: ThreadPoolExecutor | None, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Have ``work`` done by a thread of the executor, or here without one.

    An executor that is short of memory for one more thread has already queued the work for those that it has:
    it is then done twice, and its first result is dropped. One with a single thread never comes to that.
    """
    if executor is not None:
        try:
            return executor.submit(work, *arguments)
        except RuntimeError:
            pass
    future: Future[Any] = Future()
    future.set_result(work(*arguments))
    return future


def _finish(stages: Stages, entries: list[Entry]) -> None:
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
