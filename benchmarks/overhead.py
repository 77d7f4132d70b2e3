"""What Prefect adds to a run: the same shards inferred and committed as a flow and without one, in turn.

    python -m benchmarks.overhead [--imdb FILE] [--rows N] [--rounds N]

The bundled model classifies IMDB reviews. Both ways write and commit the same output folder; the flow
adds its server, task runs, progress and artifacts. Starting Prefect's embedded server, which a run
without a server of its own pays once, is printed apart.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch

from benchmarks.interleaved import interleave, print_table, ratio
from pipeline_core import DatasetRef, PipelineSpec
from pipeline_core.loading import load_pipeline
from pipeline_core.pinning import pin
from pipeline_core.shard_run import run_shard
from pipeline_core.shards import plan_shards
from pipeline_core.sink import OutputFolder
from pipeline_core.sources import open_dataset

SPEC = PipelineSpec(task="text-classification", model="demo:sentiment", device="cpu")


def without_prefect(dataset: DatasetRef, folder: Path) -> Callable[[], int]:
    """Plan, infer and commit by plain calls."""

    def run() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            pinned = pin(SPEC)
            plan = plan_shards(open_dataset(dataset, SPEC.task, SPEC.parameters), pinned.spec, None, pinned.model)
            output = OutputFolder(Path(scratch) / "out")
            with output.claim() as lease:
                output.adopt(plan, lease.owner)
                for shard in plan.shards:
                    run_shard(shard, plan, plan.spec, output, lease.owner)
                return output.commit_run(plan, lease.owner).rows

    return run


def as_a_flow(dataset: DatasetRef, folder: Path) -> Callable[[], int]:
    """The same through Prefect, as the command ``pipeline-flows run`` does it."""
    from flows.running import run_flow

    def run() -> int:
        with tempfile.TemporaryDirectory(dir=folder) as scratch, redirect_stdout(io.StringIO()):
            return run_flow("batch-inference", dataset=dataset, output=f"{scratch}/out", spec=SPEC).rows

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("PIPELINE_FLOWS_DATA")
    parser.add_argument("--imdb", type=Path, default=data and Path(data) / "imdb" / "train.parquet")
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.imdb is None:
        parser.error("name --imdb, or set PIPELINE_FLOWS_DATA")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    torch.set_num_threads(2)
    load_pipeline(SPEC)
    dataset = DatasetRef(path=str(args.imdb), column="text", limit=args.rows)
    with tempfile.TemporaryDirectory() as folder:
        first = dataset.model_copy(update={"limit": 1})
        start = time.perf_counter()
        as_a_flow(first, Path(folder))()
        print(f"first flow run, of one row, with the start of the embedded server: {time.perf_counter() - start:.1f} s")
        systems = {
            "without Prefect": without_prefect(dataset, Path(folder)),
            "as a flow": as_a_flow(dataset, Path(folder)),
        }
        timed = interleave(systems, args.rounds)
    print(f"\n{args.rows} reviews, {args.rounds} rounds")
    print_table(timed, args.rows, "without Prefect")
    overhead = ratio(timed, "as a flow", "without Prefect") - 1
    print(f"Prefect adds {overhead:.1%} (under 5% is wanted)")


if __name__ == "__main__":
    main()
