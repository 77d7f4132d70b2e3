"""Runs killed in the middle of whatever they do: the same command again ends with every row once."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline_core.lease import read_lease
from pipeline_core.sink import OutputFolder
from pipeline_core.storage import Storage

KILLS, SHARDS = 10, 50


@pytest.fixture
def words(many_rows, spec) -> Callable[[object], list[object]]:
    """The command's words for an output folder."""
    return lambda output: [
        *("run", "text-classification", "--model", spec.model, "--dataset", many_rows, "--id-column", "key"),
        *("--rows-per-shard", 300 // SHARDS, "--output", output),
    ]


def commits(folder: OutputFolder) -> dict[int, str]:
    """When each shard that is there to the byte was committed."""
    plan = folder.read_plan()
    found = [] if plan is None else [folder.committed(shard, plan) for shard in plan.shards]
    return {manifest.index: manifest.committed_at for manifest in found if manifest is not None}


def wait_for_shards(command: Any, out: Path, shards: int) -> None:
    """Wait until the command holds the folder, which has so many shards."""

    def are_there() -> bool:
        holder = read_lease(Storage(str(out)))
        return holder is not None and holder.pid == command.pid and len(list(out.glob("_manifests/*.json"))) >= shards

    command.wait_for(are_there)


def assert_all_rows_once(folder: OutputFolder, undisturbed: OutputFolder) -> None:
    found, wanted = folder.table().to_pydict(), undisturbed.table().to_pydict()
    assert found["id"] == wanted["id"] == [f"m{row:03d}" for row in range(300)]
    assert found["predicted_label"] == wanted["predicted_label"]
    assert found["predicted_score"] == pytest.approx(wanted["predicted_score"], abs=1e-6)
    assert folder.quarantine().num_rows == 0


@pytest.mark.real
def test_a_run_killed_ten_times_ends_like_one_that_was_not(
    start_command, pipeline_flows, words, prefect_server, tmp_path
):
    out = tmp_path / "out"
    assert pipeline_flows(*words(tmp_path / "undisturbed")).code == 0
    folder, kept, stopped_at = OutputFolder(str(out)), {}, []
    for kill in range(KILLS):
        # One moment in each tenth of the run's shards; the first one while it plans or begins.
        shards = int(random.uniform(kill, kill + 1) / KILLS * SHARDS) if kill else 0
        command = start_command(*words(out))
        wait_for_shards(command, out, shards)
        time.sleep(random.uniform(0, 0.05))
        command.kill()
        assert command.processes_left() == []
        now = commits(folder)
        assert kept.items() <= now.items()
        kept = now
        stopped_at.append(len(now))
        print(f"killed at {shards} shards or a little later, {len(now)} were there")
    assert len(set(stopped_at)) >= KILLS // 2
    assert not (out / "_run.json").exists()

    command = start_command(*words(out))
    assert command.end() == 0
    assert command.processes_left() == []
    assert kept.items() <= commits(folder).items()
    assert len(commits(folder)) == SHARDS
    assert_all_rows_once(folder, OutputFolder(str(tmp_path / "undisturbed")))
    names = {path.name for path in out.rglob("*") if path.is_file() and not path.name.endswith((".parquet", ".json"))}
    assert names == {".huggingface.yaml"}
    assert len(list(out.rglob("*.parquet"))) == len(list(out.glob("_manifests/*"))) == SHARDS
    assert not (out / "_lease.json").exists()


@pytest.mark.real
def test_with_no_server_at_hand_a_run_goes_on_after_a_kill_and_after_sigterm(
    start_command, pipeline_flows, words, prefect_server, tmp_path
):
    out = tmp_path / "out"
    assert pipeline_flows(*words(tmp_path / "undisturbed")).code == 0
    folder = OutputFolder(str(out))

    killed = start_command(*words(out), server=None)
    wait_for_shards(killed, out, 10)
    killed.kill()
    assert killed.processes_left() == []
    after_kill = commits(folder)
    assert 9 <= len(after_kill) < SHARDS

    terminated = start_command(*words(out), server=None)
    wait_for_shards(terminated, out, len(after_kill) + 5)
    terminated.send(signal.SIGTERM)
    assert terminated.end(within_s=30) == 128 + signal.SIGTERM
    assert terminated.processes_left() == []
    after_sigterm = commits(folder)
    assert after_kill.items() <= after_sigterm.items()
    assert len(after_sigterm) < SHARDS

    last = start_command(*words(out), server=None)
    assert last.end() == 0
    assert last.processes_left() == []
    assert after_sigterm.items() <= commits(folder).items()
    assert_all_rows_once(folder, OutputFolder(str(tmp_path / "undisturbed")))
