"""What an output folder says of itself: where it is, which shards are done, and what the whole run did."""

import hashlib
import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline_core.columns import ArrayType
from pipeline_core.figures import Figures
from pipeline_core.form_schema import form_schema
from pipeline_core.pinning import ModelRecord
from pipeline_core.shards import RunPlan, Shard

_VERSIONED = ("pipeline-flows", "torch", "transformers", "datasets", "pyarrow")


class OutputRef(BaseModel):
    """Where a run writes; a plain string or path will do wherever one is asked for.

    Attributes:
        path: A folder, or its URL on any file system that fsspec reaches.
        replace: Whether the output of another plan that is there may be deleted.
        arrays: In which type features and depths are written; float16 takes half the space.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=form_schema())

    path: str = Field(min_length=1)
    replace: bool = False
    arrays: ArrayType = "float32"

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, data: Any) -> Any:
        if isinstance(data, str | os.PathLike):
            return {"path": os.fspath(data)}
        if isinstance(data, dict) and isinstance(data.get("path"), os.PathLike):
            return {**data, "path": os.fspath(data["path"])}
        return data


class ShardManifest(BaseModel):
    """That one shard is done: what its files are, to the byte, and what it took.

    Attributes:
        index: The shard's number.
        file: The part file's name.
        rows: Answered rows, all of them in the part file.
        quarantined: Rows without an answer, all of them in the quarantine file.
        sha256: Of the part file.
        size_bytes: Of the part file.
        quarantine_sha256: Of the quarantine file; None if the shard has none.
        media_files: Number of images, arrays and sounds beside the part file.
        media_size_bytes: Of all of them.
        media_sha256: Of their names, sizes and hashes; None if the shard has none.
        shard_fingerprint: The shard's.
        spec_fingerprint: The plan's.
        plan_fingerprint: The plan's.
        figures: What the inference did.
        committed_at: ISO 8601, UTC.
        owner: The lease that it was written under, if any.
        checksum: Of all other fields, so that a manifest that was edited or damaged does not count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    file: str
    rows: int
    quarantined: int
    sha256: str
    size_bytes: int
    quarantine_sha256: str | None
    media_files: int = 0
    media_size_bytes: int = 0
    media_sha256: str | None = None
    shard_fingerprint: str
    spec_fingerprint: str
    plan_fingerprint: str
    figures: Figures
    committed_at: str
    owner: str | None = None
    checksum: str = ""

    @model_validator(mode="after")
    def _sealed(self) -> Self:
        found = hashlib.sha256(self.model_dump_json(exclude={"checksum"}).encode()).hexdigest()
        if not self.checksum:
            object.__setattr__(self, "checksum", found)
        elif self.checksum != found:
            raise ValueError("the manifest's checksum does not fit its content")
        return self

    def is_of(self, shard: Shard, plan_fingerprint: str) -> bool:
        """Whether it is about this shard of the plan with this fingerprint."""
        return (
            self.index == shard.index
            and self.file == shard.file
            and self.shard_fingerprint == shard.fingerprint
            and self.plan_fingerprint == plan_fingerprint
        )


class RunSummary(BaseModel):
    """What a finished run did.

    Attributes:
        output: The folder.
        plan_fingerprint: The plan's.
        rows: Answered rows.
        quarantined: Rows without an answer.
        shards: Number of shards.
        figures: The sum of the shards'.
        model: The model, if the plan pinned it.
        dataset_fingerprint: The plan's.
        spec_fingerprint: The plan's.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
        versions: Versions of the packages that decide results.
        state: "complete": every shard was there and whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    output: str
    plan_fingerprint: str
    rows: int
    quarantined: int
    shards: int
    figures: Figures
    model: ModelRecord | None
    dataset_fingerprint: str
    spec_fingerprint: str
    started_at: str
    finished_at: str
    versions: dict[str, str] = Field(default_factory=lambda: package_versions())
    state: Literal["complete"] = "complete"

    @classmethod
    def of(cls, output: str, plan: RunPlan, manifests: list[ShardManifest], started_at: datetime | None) -> Self:
        """The summary of a run that has just ended; it began with its first commit if nothing else is known."""
        now = datetime.now(UTC).isoformat()
        first = min((manifest.committed_at for manifest in manifests), default=now)
        return cls(
            output=output,
            plan_fingerprint=plan.fingerprint,
            rows=sum(manifest.rows for manifest in manifests),
            quarantined=sum(manifest.quarantined for manifest in manifests),
            shards=len(manifests),
            figures=Figures.total(manifest.figures for manifest in manifests),
            model=plan.model,
            dataset_fingerprint=plan.dataset_fingerprint,
            spec_fingerprint=plan.spec_fingerprint,
            started_at=first if started_at is None else started_at.astimezone(UTC).isoformat(),
            finished_at=now,
        )


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide results, without importing them."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
