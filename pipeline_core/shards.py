"""A run's dataset cut into shards, each of which is done or not: the plan two runs must share to share a folder."""

import base64
import hashlib
import json
import math
import reprlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline_core.columns import ArrayType, TaskColumns, output_schema, task_columns
from pipeline_core.errors import SpecError
from pipeline_core.pinning import ModelRecord, PinnedSpec
from pipeline_core.sources import DatasetRef, OpenDataset
from pipeline_core.spec import PipelineSpec

# Changes when the same predictions would be written differently.
_LAYOUT = 2
# Where a run takes place makes no other plan of it.
_ELSEWHERE = {"device", "device_map"}
_AIMED_SHARDS = 16
_MIN_ROWS, _MAX_ROWS = 500, 20_000


class Shard(BaseModel):
    """A stretch of the dataset, and the part file it becomes.

    Attributes:
        index: Its number, from 0.
        count: Shards of the plan.
        start: Its first position in the dataset.
        stop: The position after its last.
        fingerprint: Changes when the content at these positions does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    count: int
    start: int
    stop: int
    fingerprint: str

    @property
    def name(self) -> str:
        """Such as "part-00000-of-00040"."""
        return f"part-{self.index:05d}-of-{self.count:05d}"

    @property
    def file(self) -> str:
        """The part file's name."""
        return f"{self.name}.parquet"


class RunPlan(BaseModel):
    """What a run will do: the dataset, the pipeline, the shards and the output's columns.

    Attributes:
        dataset: Where the rows come from.
        spec: What they go through.
        rows: Positions of the dataset.
        rows_per_shard: Positions a shard, at most.
        kept_schema: The kept columns as an Arrow IPC schema in base64; ``kept`` reads it.
        shards: All shards, in order; none for an empty dataset.
        dataset_fingerprint: Changes when any row does.
        spec_fingerprint: Changes when results could.
        model: The model that ``spec`` names, if it was pinned.
        arrays: In which type features and depths are written.
        code_version: The version of this package that made the plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    dataset: DatasetRef
    spec: PipelineSpec
    rows: int
    rows_per_shard: int
    kept_schema: str
    shards: tuple[Shard, ...]
    dataset_fingerprint: str
    spec_fingerprint: str
    model: ModelRecord | None = None
    arrays: ArrayType = "float32"
    code_version: str = "unknown"

    @property
    def kept(self) -> pa.Schema:
        """The kept columns."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.kept_schema)))

    @property
    def columns(self) -> TaskColumns:
        """The columns of the predictions."""
        return _columns(self.spec, self.arrays)

    @property
    def schema(self) -> pa.Schema:
        """The columns of every part file."""
        return output_schema(self.kept, self.columns)

    @property
    def fingerprint(self) -> str:
        """32 hex digits that two runs share exactly when their shards can lie in one folder."""
        content = [
            _LAYOUT,
            self.spec_fingerprint,
            [(shard.start, shard.stop, shard.fingerprint) for shard in self.shards],
            [(field.name, str(field.type)) for field in self.schema],
            self.columns.arrays,
        ]
        return _digest(content)

    def differences(self, old: "RunPlan") -> list[str]:
        """In words, what makes this another plan than ``old``."""
        found = []
        for kind, before, after in (("spec", old.spec, self.spec), ("dataset", old.dataset, self.dataset)):
            was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
            found += [
                f"{kind}.{name} was {reprlib.repr(was.get(name))}, now {reprlib.repr(now.get(name))}"
                for name in now
                if was.get(name) != now.get(name) and name not in _ELSEWHERE
            ]
        if old.spec_fingerprint != self.spec_fingerprint and old.spec.fingerprint == self.spec.fingerprint:
            found.append(f"the model was {_content(old.model)}, now {_content(self.model)}")
        if old.rows_per_shard != self.rows_per_shard:
            found.append(f"rows_per_shard was {old.rows_per_shard}, now {self.rows_per_shard}")
        if old.rows != self.rows:
            found.append(f"the dataset had {old.rows} rows, now {self.rows}")
        elif old.rows_per_shard == self.rows_per_shard and old.dataset_fingerprint != self.dataset_fingerprint:
            found.append("the dataset's content has changed")
        if old.columns.arrays != self.columns.arrays:
            found.append(f"arrays was {old.columns.arrays!r}, now {self.columns.arrays!r}")
        elif old.schema != self.schema:
            found.append(f"the columns were {', '.join(old.schema.names)}, now {', '.join(self.schema.names)}")
        return found or ["it was written by another version of this package"]

    @property
    def parts(self) -> list[str]:
        """Names of all part files; one empty file for an empty dataset, so that it can be read as a table."""
        return [shard.file for shard in self.shards] or ["part-00000-of-00000.parquet"]


def plan_shards(
    dataset: OpenDataset,
    spec: PipelineSpec,
    rows_per_shard: int | None = None,
    model: ModelRecord | None = None,
    arrays: ArrayType = "float32",
) -> RunPlan:
    """Cut a dataset into shards of equal size.

    Args:
        dataset: The rows.
        spec: What they will go through.
        rows_per_shard: Positions a shard; None for about 16 shards of 500 to 20,000.
        model: The model that ``spec`` names, as ``pin`` found it; another content of it is another plan.
        arrays: In which type features and depths are to be written.

    Raises:
        SpecError: ``rows_per_shard`` is not a whole number from 1 up, or a kept column has the name of one of
            the output's.
    """
    if rows_per_shard is None:
        rows_per_shard = min(max(math.ceil(dataset.rows / _AIMED_SHARDS), _MIN_ROWS), _MAX_ROWS)
    if isinstance(rows_per_shard, bool) or not isinstance(rows_per_shard, int) or rows_per_shard < 1:
        raise SpecError(f"rows_per_shard must be a whole number from 1 up, but is {rows_per_shard!r} instead")
    output_schema(dataset.kept_schema, _columns(spec, arrays))
    starts = range(0, dataset.rows, rows_per_shard)
    stops = [min(start + rows_per_shard, dataset.rows) for start in starts]
    shards = tuple(
        Shard(index=index, count=len(starts), start=start, stop=stop, fingerprint=dataset.fingerprint(start, stop))
        for index, (start, stop) in enumerate(zip(starts, stops, strict=True))
    )
    return RunPlan(
        dataset=dataset.ref,
        spec=spec,
        rows=dataset.rows,
        rows_per_shard=rows_per_shard,
        kept_schema=base64.b64encode(dataset.kept_schema.serialize().to_pybytes()).decode(),
        shards=shards,
        dataset_fingerprint=_digest([shard.fingerprint for shard in shards]),
        spec_fingerprint=spec.fingerprint if model is None else PinnedSpec(spec=spec, model=model).fingerprint,
        model=model,
        arrays=arrays,
        code_version=_code_version(),
    )


def _columns(spec: PipelineSpec, arrays: ArrayType) -> TaskColumns:
    return task_columns(spec.task, spec.parameters, arrays, spec.trust_remote_code)


def _content(model: ModelRecord | None) -> str:
    return "not pinned" if model is None else model.content or model.revision or "not pinned"


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _code_version() -> str:
    try:
        return version("pipeline-flows")
    except PackageNotFoundError:
        return "unknown"
