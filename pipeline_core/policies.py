"""How a run groups its rows, and how many of them may fail."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from pipeline_core.form_schema import form_schema


class BatchPolicy(BaseModel):
    """How records are grouped for the forward pass; no setting here changes a result.

    Attributes:
        batch_size: Chunks a batch, at most; None leaves it to ``max_batch_tokens``.
        max_batch_tokens: Padded tokens a batch, at most. "auto" measures which budget is fastest,
            then remembers it for this model, device and dtype; with a ``batch_size`` it is unlimited.
        lookahead_rows: Rows held to be sorted by length. "auto" holds as many as make 64 batches, at most
            8,192: enough for hardly any padding, and no more waiting for the first answers than that takes.
        lookahead_bytes: Bytes of model inputs held, at most; fewer rows are then sorted.
        preprocess_threads: Threads that prepare rows while the model runs; beside a CPU's, each computes on one core.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra=form_schema(
            inputs={name: {"type": "integer", "minimum": 1} for name in ("max_batch_tokens", "lookahead_rows")}
        ),
    )

    batch_size: PositiveInt | None = None
    max_batch_tokens: PositiveInt | Literal["auto"] = "auto"
    lookahead_rows: PositiveInt | Literal["auto"] = "auto"
    lookahead_bytes: PositiveInt = 256 * 2**20
    preprocess_threads: PositiveInt = 1

    def halved(self, times: int) -> Self:
        """The same policy with its limits and its number of rows held halved ``times`` times, never under one.

        What is "auto" or None stays so.
        """
        if times <= 0:
            return self
        names = ("batch_size", "max_batch_tokens", "lookahead_rows", "lookahead_bytes")
        limits = {name: getattr(self, name) for name in names}
        halved = {name: max(1, limit >> times) for name, limit in limits.items() if isinstance(limit, int)}
        return self.model_copy(update=halved)


class FailurePolicy(BaseModel):
    """How many records may end in quarantine before the run fails.

    Attributes:
        max_bad_rows: Bad records, at most; None for any number.
        max_bad_fraction: Their share of all records, at most; None for any share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, json_schema_extra=form_schema())

    max_bad_rows: Annotated[int, Field(ge=0)] | None = None
    max_bad_fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None

    def allows(self, bad_rows: int, rows: int) -> bool:
        """Whether ``bad_rows`` of ``rows`` are within the policy."""
        if self.max_bad_rows is not None and bad_rows > self.max_bad_rows:
            return False
        # A quotient is rounded as the literal was; 0.29 * 100 is less than 29.
        return self.max_bad_fraction is None or bad_rows / max(1, rows) <= self.max_bad_fraction

    def __str__(self) -> str:
        limits = [f"{name}={value}" for name, value in self.model_dump().items() if value is not None]
        return f"FailurePolicy({', '.join(limits)})"
