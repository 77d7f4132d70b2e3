"""What travels through a run: records in, chunks through the model, predictions out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline_core.media import MediaRoot


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a dataset.

    Attributes:
        id: Names the row in outputs and in quarantine; stable from run to run.
        inputs: What the pipeline takes for one record: a string, a dict, an image, ...
        kept: Columns to carry from the source to the output, by name.
        error: Why the source could not read this row; such a record is quarantined unseen.
        media_root: The only folder whose files the strings of ``inputs`` may name; None for none.
    """

    id: str
    inputs: Any
    kept: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    media_root: MediaRoot | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One forward pass' worth of a record.

    Attributes:
        record: Number of the record in the run, from 0.
        index: Number of the chunk in its record, from 0.
        last: Whether it is its record's last one.
        inputs: The model's inputs by name, for a batch of one or not yet batched.
        length: Its cost in tokens; one token stands for 1,000 elements where there are no tokens.
        truncated: Whether text was cut off to make it fit.
        new_tokens: Tokens that the model may add, at most; a batch needs room for them too.
        seed: Where its random numbers start, if it needs some.
    """

    record: int
    index: int
    last: bool
    inputs: Any
    length: int
    truncated: bool = False
    new_tokens: int = 0
    seed: int | None = None

    @property
    def cost(self) -> int:
        """Tokens that it takes in a batch."""
        return self.length + self.new_tokens


class RowError(NamedTuple):
    """Why a record has no output."""

    stage: str
    """Where it failed: "read", "preprocess", "forward" or "postprocess"."""
    error_class: str
    message: str

    def __str__(self) -> str:
        return f"{self.error_class} in {self.stage}: {self.message}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one record.

    Attributes:
        record_id: The record's id; its number in the input where it has none.
        output: What the transformers pipeline returns for this input; None if it failed.
        error: None, or the stage, class and message of what went wrong.
        truncated: Whether text was cut off to fit the model.
        tokens: Tokens the model read for it, over all its chunks, without padding.
    """

    record_id: str
    output: Any
    error: RowError | None = None
    truncated: bool = False
    tokens: int = 0
