"""What flows are called with, under the titles and with the defaults that their forms in Prefect's UI have."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from pipeline_core.policies import BatchPolicy, FailurePolicy
from pipeline_core.sink import OutputRef
from pipeline_core.sources import DatasetRef
from pipeline_core.spec import PipelineSpec

DEFAULT_FAILURES = FailurePolicy(max_bad_fraction=0.1)


def shown(title: str, default: BaseModel | None = None) -> Any:
    """A parameter's title in the form, and its default without the fields that it leaves as they are."""
    filled_in = {} if default is None else {"default": default.model_dump(mode="json", exclude_defaults=True)}
    return Field(json_schema_extra={"title": title, **filled_in})


Dataset = Annotated[DatasetRef, shown("Dataset")]
Output = Annotated[OutputRef, shown("Output")]
Pipeline = Annotated[PipelineSpec, shown("Pipeline")]

# A form has these folded until somebody wants them: they may be None.
Failures = Annotated[FailurePolicy | None, shown("Failures")]
Batches = Annotated[BatchPolicy | None, shown("Batches")]
RowsPerShard = Annotated[Annotated[int, Field(ge=1)] | None, shown("Rows per shard")]

ShardsAtOnce = Annotated[int, Field(ge=1, json_schema_extra={"title": "Shards at once"})]
