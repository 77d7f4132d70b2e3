"""Read records ahead of the model and have them preprocessed, a bounded window at a time."""

import math
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from pipeline_core.answers import Entry, submit
from pipeline_core.batch_inputs import tensors
from pipeline_core.images import is_image
from pipeline_core.policies import BatchPolicy
from pipeline_core.records import Chunk, Record, RowError
from pipeline_core.stages import Stages, row_error

_BATCHES_AHEAD = 64


class LookAhead:
    """Reads records in slices and has them preprocessed, no further ahead than the policy allows."""

    def __init__(
        self,
        records: Iterable[Record],
        stages: Stages,
        policy: BatchPolicy,
        executor: ThreadPoolExecutor | None,
        max_batch_tokens: Callable[[], int | None],
    ) -> None:
        self._records = enumerate(records)
        self._stages = stages
        self._policy = policy
        self._executor = executor
        self._max_batch_tokens = max_batch_tokens
        self._slices: deque[Future[list[Entry]]] = deque()
        self._rows_ahead = 0
        self._bytes_ahead = 0
        self._left: deque[Entry] = deque()
        self._slice_rows = max(1, min(stages.slice_rows, self._limit.rows))
        self._last = _Size(0, 0, 0)
        self._ended = False
        self._failure: Exception | None = None

    def read_on(self, rows: int = 1) -> None:
        """Read ``rows`` more rows, in whole slices, as far as there is room for them."""
        wanted = self._rows_ahead + rows
        while not self._ended and self._rows_ahead < wanted and self._has_room():
            records = self._read_slice()
            if records:
                self._rows_ahead += len(records)
                self._bytes_ahead += sum(input_bytes(record.inputs) for _, record in records)
                self._slices.append(submit(self._executor, _prepare, self._stages, records))

    def window(self) -> "Filled | None":
        """The next records, preprocessed: as many as the look-ahead holds; None when there are no more.

        Raises:
            Exception: What the source raised, once all that it gave before has been handed out.
        """
        window, limit = Filled(), self._limit
        while window.size.within(limit):
            if not self._left:
                if not self._slices:
                    self.read_on()
                if not self._slices:
                    break
                self._left.extend(self._slices.popleft().result())
                self.read_on()
            entry = self._left.popleft()
            self._rows_ahead -= 1
            self._bytes_ahead -= entry.input_bytes
            window.add(entry)
        if not window.entries:
            if self._failure is not None:
                raise self._failure
            return None
        self._last = window.size
        return window

    def _read_slice(self) -> list[tuple[int, Record]]:
        records = []
        try:
            for record in islice(self._records, self._slice_rows):
                records.append(record)  # noqa: PERF402  # what came before an error is answered too
        except Exception as error:
            self._failure = error
            self._ended = True
            return records
        self._ended = len(records) < self._slice_rows
        return records

    def _has_room(self) -> bool:
        """Whether what is read ahead is within the look-ahead, a row taking what the last window's did or more."""
        share = self._rows_ahead / max(1, self._last.rows)
        held = max(self._last.bytes * share, self._bytes_ahead)
        return _Size(self._rows_ahead, self._last.tokens * share, held).within(self._limit)

    @property
    def _limit(self) -> "_Size":
        policy, most = self._policy, self._stages.most_rows_ahead
        if policy.lookahead_rows != "auto":
            return _Size(policy.lookahead_rows, math.inf, policy.lookahead_bytes)
        if policy.batch_size is not None:
            rows = max(policy.batch_size, min(most, policy.batch_size * _BATCHES_AHEAD))
            return _Size(rows, math.inf, policy.lookahead_bytes)
        tokens = self._max_batch_tokens()
        return _Size(most, math.inf if tokens is None else tokens * _BATCHES_AHEAD, policy.lookahead_bytes)


class Filled:
    """A look-ahead's worth of records and the chunks to run for them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.chunks: list[Chunk] = []
        self.size = _Size(0, 0, 0)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.chunks += entry.chunks
        self.size = _Size(
            self.size.rows + 1,
            self.size.tokens + entry.tokens,
            self.size.bytes + entry.input_bytes + sum(chunk_bytes(chunk) for chunk in entry.chunks),
        )
        entry.chunks = []


class _Size(NamedTuple):
    """How much is held, or may be."""

    rows: int = 0
    tokens: float = math.inf
    bytes: float = math.inf

    def within(self, limit: "_Size") -> bool:
        return self.rows < limit.rows and self.tokens < limit.tokens and self.bytes < limit.bytes


def chunk_bytes(chunk: Chunk) -> int:
    """Bytes of a chunk's arrays and tensors."""
    if isinstance(chunk.inputs, tuple):
        return sum(array.nbytes for array in chunk.inputs if isinstance(array, np.ndarray))
    return sum(tensor.nbytes for _, tensor in tensors(chunk.inputs))


def input_bytes(inputs: Any) -> int:
    """About the bytes of a raw input: its text's, its file's, its array's, or its parts' together."""
    if isinstance(inputs, str | bytes | bytearray):
        return len(inputs)
    if isinstance(inputs, dict):
        return sum(map(input_bytes, inputs.values()))
    if isinstance(inputs, list | tuple):
        return sum(map(input_bytes, inputs))
    if hasattr(inputs, "nbytes"):
        return int(inputs.nbytes)
    return int(inputs.width * inputs.height * 4) if is_image(inputs) else 0


def _prepare(stages: Stages, records: list[tuple[int, Record]]) -> list[Entry]:
    readable = [(number, record) for number, record in records if record.error is None]
    try:
        prepared = stages.preprocess(readable)
    except MemoryError:  # row by row takes less
        prepared = [_prepare_alone(stages, entry) for entry in readable]
    outcomes = iter(prepared)
    return [
        Entry(
            number,
            record.id,
            next(outcomes) if record.error is None else row_error("read", record.error),
            input_bytes(record.inputs),
        )
        for number, record in records
    ]


def _prepare_alone(stages: Stages, entry: tuple[int, Record]) -> list[Chunk] | RowError:
    try:
        return stages.preprocess([entry])[0]
    except MemoryError as error:
        return row_error("preprocess", error)
