"""What a stretch of inference did: rows, tokens, time, budgets and memory events, addable."""

from collections import Counter
from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict


class BudgetChange(BaseModel):
    """The token budget from some moment on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_done: int
    max_batch_tokens: int
    reason: str
    """"start", "remembered", "settled" (measured to be the fastest) or "out of memory"."""


class MemoryEvent(BaseModel):
    """One batch that did not fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_done: int
    chunks: int
    padded_tokens: int
    message: str


class Figures(BaseModel):
    """What one shard or one run did.

    Attributes:
        rows: Records answered or quarantined.
        quarantined: Records without an answer.
        truncated: Records whose text was cut.
        empty: Records whose answer is a text without a word, for tasks that give texts.
        tokens: Tokens the model read, without padding.
        padded_tokens: Tokens of the batches, padding included.
        batches: Forward passes that gave an answer.
        seconds: Wall time from the first record asked for to the last answer.
        forward_seconds: Wall time inside the forward pass.
        budgets: Every change of the token budget, in order.
        memory_events: Every batch that did not fit, in order.
        labels: How often each label came first, for tasks that give labels.
    """

    model_config = ConfigDict(extra="forbid")

    rows: int = 0
    quarantined: int = 0
    truncated: int = 0
    empty: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0
    seconds: float = 0.0
    forward_seconds: float = 0.0
    budgets: list[BudgetChange] = []
    memory_events: list[MemoryEvent] = []
    labels: dict[str, int] = {}

    @property
    def padding_share(self) -> float:
        """Share of the batches' tokens that was padding, 0 to 1."""
        return 1 - self.tokens / self.padded_tokens if self.padded_tokens else 0.0

    @property
    def rows_per_second(self) -> float:
        """Records a second of wall time."""
        return self.rows / self.seconds if self.seconds else 0.0

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """The sum of ``parts``, run one after another; their row counts are made to run on."""
        whole = cls()
        labels: Counter[str] = Counter()
        for part in parts:
            before = whole.rows
            whole.budgets += [
                change.model_copy(update={"rows_done": before + change.rows_done}) for change in part.budgets
            ]
            whole.memory_events += [
                event.model_copy(update={"rows_done": before + event.rows_done}) for event in part.memory_events
            ]
            for name in ("rows", "quarantined", "truncated", "empty", "tokens", "padded_tokens", "batches"):
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
            whole.seconds += part.seconds
            whole.forward_seconds += part.forward_seconds
            labels.update(part.labels)
        whole.labels = dict(labels)
        return whole
