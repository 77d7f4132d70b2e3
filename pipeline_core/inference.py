"""Predictions for anything that can be iterated over: what notebooks and scripts call."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline_core.catalog import find_task
from pipeline_core.devices import device_name, memory_bytes
from pipeline_core.engine import Engine, Progress
from pipeline_core.errors import FailureBudgetExceededError
from pipeline_core.figures import Figures
from pipeline_core.inputs import count_inputs, iterate_inputs
from pipeline_core.loading import load_pipeline
from pipeline_core.pinning import model_name
from pipeline_core.pipeline_stages import PipelineStages
from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.records import Prediction, Record
from pipeline_core.spec import PipelineSpec
from pipeline_core.stages import Stages
from pipeline_core.text_stages import TextStages, suits_text_stages
from pipeline_core.tuning import BudgetMemory

_START_TOKENS_CPU = 2_048
_START_TOKENS_ACCELERATOR = 16_384
_EXAMPLES = 3


def infer(
    spec: PipelineSpec,
    inputs: Any,
    *,
    batch: BatchPolicy | None = None,
    failures: FailurePolicy | None = None,
    column: str | dict[str, str] | None = None,
    id_column: str | None = None,
    media_root: str | os.PathLike[str] | None = None,
) -> Iterator[Prediction]:
    """Run ``spec`` over ``inputs``: one prediction each, in order, lazily.

    Args:
        spec: The pipeline.
        inputs: Any iterable of what the pipeline takes: a list, a generator, a ``datasets`` dataset
            or one of its columns, a pandas or Arrow table or column, a ``DatasetRef``.
        batch: How to group the records; it changes no result.
        failures: How many records may fail; any number without one. A share is judged at the end
            where the number of inputs is not known before.
        column: The input's column in a table, or a map of the pipeline's inputs to columns.
        id_column: A table's column of record ids; row numbers otherwise.
        media_root: The folder whose files strings may name where the task takes images, audio or video. Without
            one a string is never opened; a ``pathlib.Path`` always is.

    Yields:
        A ``Prediction`` for each input. Its ``output`` is what the transformers pipeline returns for
        this input in a list; where that is not possible, it is None and ``error`` says why.

    Raises:
        LoadError: The pipeline can't be loaded here.
        SpecError: ``inputs`` is no iterable of inputs.
        ColumnNotFoundError: A table lacks the column, or has several and none is named.
        FailureBudgetExceededError: More records failed than ``failures`` allows.
    """
    policy = failures or FailurePolicy()
    records = iterate_inputs(inputs, column, id_column, spec.task, spec.parameters, media_root)
    budget = FailureBudget(policy, count_inputs(inputs, spec.task, spec.parameters))
    return _predictions(spec, records, batch or BatchPolicy(), budget)


class Inference:
    """Records with their predictions, in order; iterate once.

    Args:
        spec: The pipeline; it is loaded when the iteration starts.
        records: What to run it over.
        batch: How to group them.
        on_progress: Told after each batch how far it is.

    Attributes:
        figures: What has been done so far.

    Raises:
        LoadError: The pipeline can't be loaded here.
        DeviceFailedError: The accelerator is lost to this process.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        records: Iterable[Record],
        batch: BatchPolicy,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.figures = Figures()
        self._spec = spec
        self._records = records
        self._batch = batch
        self._on_progress = on_progress
        self._held: deque[Record] = deque()

    def __iter__(self) -> Iterator[tuple[Record, Prediction]]:
        engine = make_engine(load_pipeline(self._spec), self._spec, self._batch, self._on_progress)
        self.figures = engine.figures
        for prediction in engine.run(self._holding()):
            yield self._held.popleft(), prediction

    def _holding(self) -> Iterator[Record]:
        for record in self._records:
            self._held.append(record)
            yield record


def make_engine(
    pipeline: Any,
    spec: PipelineSpec,
    batch: BatchPolicy,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Engine:
    """An engine around a loaded pipeline."""
    device = pipeline.device
    key = (
        find_task(spec.task).name,
        model_name(spec),
        str(pipeline.commit),
        device_name(device),
        str(pipeline.dtype),
        str(spec.quantization),
        str(spec.attn_implementation),
    )
    start = _START_TOKENS_CPU if device.type == "cpu" else _START_TOKENS_ACCELERATOR
    memory = BudgetMemory(key, memory_bytes=memory_bytes(device)[1])
    return Engine(make_stages(pipeline, spec), batch, memory, start, device, on_progress)


def make_stages(pipeline: Any, spec: PipelineSpec) -> Stages:
    """The quickest stages that give what the pipeline gives."""
    if suits_text_stages(pipeline):
        return TextStages(pipeline, spec)
    return PipelineStages(pipeline, spec)


class FailureBudget:
    """Counts bad records against a policy.

    Args:
        policy: What is allowed.
        rows: Records in all, if known; a share of them is then exceeded as soon as it is certain.
        before: Bad records of the same run that others counted.
    """

    def __init__(self, policy: FailurePolicy, rows: int | None, before: int = 0) -> None:
        self._policy = policy
        self._rows = rows
        self._bad = before
        self._seen = 0
        self._examples: list[str] = []

    def count(self, prediction: Prediction) -> None:
        """Take in one prediction.

        Raises:
            FailureBudgetExceededError: It is one bad record too many.
        """
        self._seen += 1
        if prediction.error is None:
            return
        self._bad += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(f"record {prediction.record_id!r}: {prediction.error}")
        unknown = FailurePolicy(max_bad_rows=self._policy.max_bad_rows)
        self._check(self._policy if self._rows is not None else unknown, self._rows or self._seen)

    def close(self) -> None:
        """Judge the whole, now that every record was seen.

        Raises:
            FailureBudgetExceededError: More records failed than the policy allows.
        """
        self._check(self._policy, self._rows if self._rows is not None else self._seen)

    def _check(self, policy: FailurePolicy, rows: int) -> None:
        if not policy.allows(self._bad, rows):
            raise FailureBudgetExceededError(self._bad, rows, str(self._policy), self._examples)


def _predictions(
    spec: PipelineSpec, records: Iterator[Record], batch: BatchPolicy, budget: FailureBudget
) -> Iterator[Prediction]:
    engine = make_engine(load_pipeline(spec), spec, batch)
    for prediction in engine.run(records):
        yield prediction
        budget.count(prediction)
    budget.close()
