"""Which failed task runs Prefect tries again, and with how much smaller batches."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.tasks import Task

from pipeline_core.device_threads import run_on
from pipeline_core.devices import resolve_device
from pipeline_core.errors import is_retryable
from pipeline_core.inference import make_engine
from pipeline_core.loading import load_pipeline
from pipeline_core.memory import is_out_of_memory
from pipeline_core.policies import BatchPolicy
from pipeline_core.spec import PipelineSpec

RETRIES = 3
RETRY_DELAYS_S: list[float] = [2, 10, 30]


def can_end_differently(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    """Whether to run a failed task again: the error itself says so."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and (is_retryable(error) or is_out_of_memory(error))


def smaller_each_attempt(batch: BatchPolicy, spec: PipelineSpec) -> BatchPolicy:
    """The batches of this attempt: half of the one before's, from the second one on.

    A budget that is left to be measured is halved from where its first batch would start.
    """
    failed = (task_run.run_count or 1) - 1
    if failed and batch.max_batch_tokens == "auto":
        pipeline = run_on(resolve_device(spec.device), load_pipeline, spec)
        first = make_engine(pipeline, spec, batch).max_batch_tokens
        batch = batch.model_copy(update={"max_batch_tokens": first or "auto"})
    return batch.halved(failed)
