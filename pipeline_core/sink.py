"""The output folder of a run: every row of the dataset in it exactly once, however often the run was stopped.

    OUTPUT/
      _plan.json                     the plan; the folder takes no shard of another one
      part-00000-of-00040.parquet    id, kept columns, prediction columns
      _quarantine/part-00000.parquet rows without an answer, and why; only for shards that have some
      _media/part-00000/             images, arrays and speech, to which the rows have paths; only where there are some
      _manifests/00000.json          what a shard's files are, to the byte; written last
      _run.json                      the summary; there once every shard is
      _lease.json                    who writes now
      .huggingface.yaml              tells datasets.load_dataset which files are the data

``datasets.load_dataset(OUTPUT)``, ``pandas.read_parquet(OUTPUT)`` and DuckDB's ``FROM 'OUTPUT/*.parquet'`` read
the part files and nothing else. An empty dataset gives one part file without rows; datasets has no tables
without rows and says 'Instruction "train" corresponds to no data!' there.

Object stores: a file is put whole, but a rename is a copy and a deletion and nothing excludes other writers, so
a run that was taken over in the middle of a commit may still finish it. The manifest then does not fit the
files, and the shard is done again; it is never taken for done.
"""

import os
from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from pipeline_core.errors import OutputError, OutputMismatchError, OutputNotFoundError
from pipeline_core.lease import Lease, check_lease, claim_lease
from pipeline_core.manifest import OutputRef, RunSummary, ShardManifest
from pipeline_core.media_files import found_media, media_folder
from pipeline_core.run_files import DATASETS_FILE, is_run_file, refuse_foreign_files, some_of
from pipeline_core.shards import RunPlan, Shard
from pipeline_core.storage import TEMPORARY, Storage
from pipeline_core.writer import (
    MANIFESTS,
    PLAN_FILE,
    QUARANTINE_SCHEMA,
    RUN_FILE,
    ShardWriter,
    manifest_file,
    quarantine_file,
)

__all__ = ["OutputFolder", "OutputRef", "RunSummary", "ShardManifest", "ShardWriter"]

_DATASETS_CONFIG = b'configs:\n- config_name: default\n  data_files: "part-*.parquet"\n'


class OutputFolder:
    """A folder that one run writes.

    A run claims the folder, adopts its plan, writes the shards in whatever threads and processes, and commits::

        folder = OutputFolder("predictions")
        with folder.claim() as lease:
            folder.adopt(plan, lease.owner)
            for shard in plan.shards:
                if folder.committed(shard, plan) is None:
                    with folder.shard_writer(shard, plan, lease.owner) as writer:
                        ...
                        writer.commit(figures)
            folder.commit_run(plan, lease.owner)

    Whoever writes shards elsewhere makes an ``OutputFolder`` of the same ref and is handed ``lease.owner``.
    Without an owner anyone may write while nobody holds the folder.
    """

    def __init__(self, ref: OutputRef | str | os.PathLike[str]) -> None:
        self.ref = OutputRef.model_validate(ref)
        self._storage = Storage(self.ref.path)

    def claim(self, wait_s: float = 0.0, ttl_s: float = 60.0, heartbeat_s: float = 5.0) -> Lease:
        """Hold the folder for this run, as ``claim_lease`` does; it is made if it isn't there.

        Raises:
            OutputInUseError: Another run that is alive holds it.
        """
        self._storage.make()
        return claim_lease(self._storage, wait_s, ttl_s, heartbeat_s)

    def adopt(self, plan: RunPlan, owner: str | None = None) -> None:
        """Make this the folder of ``plan``, and delete what stopped attempts left.

        Raises:
            OutputMismatchError: It holds the output of another plan and ``replace`` is not set, or files that are
                not a run's. ``replace`` deletes a run's own files only, and refuses where foreign parquet
                files would be read together with the output.
            LeaseLostError: Another run took the folder over.
        """
        self._storage.make()
        with self._storage.exclusive():
            check_lease(self._storage, owner)
            names = self._storage.names()
            found = self._storage.read(PLAN_FILE)
            refuse_foreign_files(self.ref, names, planned=found is not None)
            old = _parse_plan(found)
            if old is None or old.fingerprint != plan.fingerprint:
                ours = [] if found is None else [name for name in names if is_run_file(name)]
                if not self.ref.replace:
                    self._refuse_other(old, plan, ours)
                # Manifests go first and the old plan stays to the end: stopped in between, the folder still
                # says whose the rest is.
                for name in sorted(ours, key=lambda name: (not name.startswith(("_run", MANIFESTS)), name)):
                    self._storage.remove(name)
                self._storage.write(PLAN_FILE, plan.model_dump_json(indent=2).encode() + b"\n")
            if self._storage.read(DATASETS_FILE) != _DATASETS_CONFIG:
                self._storage.write(DATASETS_FILE, _DATASETS_CONFIG)
            # Another name on a temporary file is that of a run that is over; one's own may be a shard being written.
            for name in names:
                if name.startswith(TEMPORARY) and (owner is None or not name.startswith(TEMPORARY + owner[:8])):
                    self._storage.remove(name)

    def read_plan(self) -> RunPlan | None:
        """The plan whose output this is; None if there is none that can be read."""
        return _parse_plan(self._storage.read(PLAN_FILE))

    def require_plan(self) -> RunPlan:
        """The plan whose output this is.

        Raises:
            OutputNotFoundError: There is none that can be read.
        """
        plan = self.read_plan()
        if plan is None:
            raise OutputNotFoundError(
                f"{self.ref.path!r} is not the output of a run: it has no {PLAN_FILE} that can be read"
            )
        return plan

    def committed(self, shard: Shard, plan: RunPlan) -> ShardManifest | None:
        """The shard's manifest if its files are there as it says, to the byte; else None: it must be done again."""
        manifest = self._manifest(shard, plan.fingerprint)
        if manifest is None or self._storage.digest(shard.file) != (manifest.sha256, manifest.size_bytes):
            return None
        if manifest.quarantine_sha256 is not None:
            quarantine = self._storage.digest(quarantine_file(shard))
            if quarantine is None or quarantine[0] != manifest.quarantine_sha256:
                return None
        if manifest.media_sha256 is not None and found_media(self._storage, shard).sha256 != manifest.media_sha256:
            return None
        return manifest

    def shard_writer(self, shard: Shard, plan: RunPlan, owner: str | None = None) -> ShardWriter:
        """A context in which the shard is written, and with ``commit`` made done.

        Args:
            shard: The shard; if it was done, its manifest counts until ``commit`` replaces it.
            plan: The plan that the folder adopted.
            owner: The lease under which it is written.
        """
        return ShardWriter(self._storage, shard, plan, owner)

    def read_shard(self, shard: Shard) -> tuple[pa.Table, pa.Table]:
        """The rows of a shard that is done, as its files have them: the answered ones, and those in quarantine.

        Raises:
            OutputError: The part file is not there.
        """
        part, quarantine = (self._storage.read(name) for name in (shard.file, quarantine_file(shard)))
        if part is None:
            raise OutputError(f"shard {shard.name} is not in {self.ref.path!r}; run the plan again to do it")
        bad = QUARANTINE_SCHEMA.empty_table() if quarantine is None else _read_table(quarantine)
        return _read_table(part), bad

    def manifests(self, plan: RunPlan) -> list[ShardManifest]:
        """Manifests of the shards that are done, in order; their files are taken at their word."""
        fingerprint = plan.fingerprint
        found = (self._manifest(shard, fingerprint) for shard in plan.shards)
        return [manifest for manifest in found if manifest is not None]

    def bad_rows(self, plan: RunPlan) -> int:
        """Rows without an answer in the shards that are done."""
        return sum(manifest.quarantined for manifest in self.manifests(plan))

    def commit_run(self, plan: RunPlan, owner: str | None = None, started_at: datetime | None = None) -> RunSummary:
        """Make sure that every shard is there to the byte, and say so in ``_run.json``.

        Raises:
            OutputError: Some are not; they are named.
            LeaseLostError: Another run took the folder over.
            OutputMismatchError: The folder is another plan's.
        """
        manifests = {shard: self.committed(shard, plan) for shard in plan.shards}
        missing = [shard.name for shard, manifest in manifests.items() if manifest is None]
        if missing:
            raise OutputError(
                f"{len(missing)} of {len(plan.shards)} shards are not in {self.ref.path!r}: {some_of(missing)}; "
                "run the same plan again to do them"
            )
        verified = [manifest for manifest in manifests.values() if manifest is not None]
        with self._storage.exclusive():
            check_lease(self._storage, owner)
            found = self.read_plan()
            if found is None or found.fingerprint != plan.fingerprint:
                raise OutputMismatchError(f"output {self.ref.path!r} does not hold this plan; adopt it first")
            if self.manifests(plan) != verified:
                raise OutputError(f"a shard of {self.ref.path!r} was written while the run was committed; commit again")
            self._sweep(plan, verified)
            summary = self.read_summary()
            if summary is not None and summary.plan_fingerprint == plan.fingerprint:
                return summary
            summary = RunSummary.of(self.ref.path, plan, verified, started_at)
            self._storage.write(RUN_FILE, summary.model_dump_json(indent=2).encode() + b"\n")
        return summary

    def read_summary(self) -> RunSummary | None:
        """What the run did; None unless it was committed and no shard was written since."""
        content = self._storage.read(RUN_FILE)
        try:
            return None if content is None else RunSummary.model_validate_json(content)
        except ValueError:
            return None

    def table(self) -> pa.Table:
        """All answered rows of the shards that are done, in the dataset's order.

        Raises:
            OutputNotFoundError: The folder has no plan.
        """
        return pa.Table.from_batches(self.batches(), self.require_plan().schema)

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The same rows some thousands at a time, of all columns or the ones named.

        Raises:
            OutputNotFoundError: The folder has no plan.
        """
        plan = self.require_plan()
        paths = [self._storage.path(manifest.file) for manifest in self.manifests(plan)]
        if paths:
            source = pyarrow.dataset.dataset(
                paths, schema=plan.schema, filesystem=self._storage.filesystem, format="parquet"
            )
            yield from source.to_batches(columns=columns)

    def quarantine(self) -> pa.Table:
        """All rows without an answer of the shards that are done: id, input_reference, stage, error_class, message.

        Raises:
            OutputNotFoundError: The folder has no plan.
        """
        plan = self.require_plan()
        tables = [QUARANTINE_SCHEMA.empty_table()]
        for manifest in self.manifests(plan):
            content = self._storage.read(quarantine_file(plan.shards[manifest.index])) if manifest.quarantined else None
            if content is not None:
                tables.append(_read_table(content))
        return pa.concat_tables(tables)

    def _manifest(self, shard: Shard, plan_fingerprint: str) -> ShardManifest | None:
        content = self._storage.read(manifest_file(shard))
        try:
            manifest = None if content is None else ShardManifest.model_validate_json(content)
        except ValueError:
            return None
        return manifest if manifest is not None and manifest.is_of(shard, plan_fingerprint) else None

    def _refuse_other(self, old: RunPlan | None, plan: RunPlan, ours: list[str]) -> None:
        if old is not None:
            raise OutputMismatchError(
                f"output {self.ref.path!r} holds the output of another plan: {'; '.join(plan.differences(old))}; "
                "name another folder, or set replace to delete what is there"
            )
        if any(name != DATASETS_FILE for name in ours):
            raise OutputMismatchError(
                f"the {PLAN_FILE} of output {self.ref.path!r} can't be read, though shards are there; "
                "set replace to delete them, or name another folder"
            )

    def _sweep(self, plan: RunPlan, verified: list[ShardManifest]) -> None:
        wanted = {DATASETS_FILE, RUN_FILE, *plan.parts, *map(manifest_file, plan.shards)}
        wanted |= {quarantine_file(plan.shards[manifest.index]) for manifest in verified if manifest.quarantined}
        # With a sha256, exactly these files were found there.
        media = tuple(media_folder(plan.shards[found.index]) for found in verified if found.media_sha256 is not None)
        for name in self._storage.names():
            is_wanted = name in wanted or (media and name.startswith(media))
            if name.startswith(TEMPORARY) or (is_run_file(name) and not is_wanted):
                self._storage.remove(name)
        if not plan.shards:
            empty = pa.BufferOutputStream()
            pq.ParquetWriter(empty, plan.schema, compression="zstd").close()
            self._storage.write(plan.parts[0], empty.getvalue().to_pybytes())


def _read_table(content: bytes) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(content)).read()


def _parse_plan(content: bytes | None) -> RunPlan | None:
    try:
        return None if content is None else RunPlan.model_validate_json(content)
    except ValueError:
        return None
