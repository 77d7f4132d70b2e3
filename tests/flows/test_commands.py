"""The command as a process of its own: quiet, alone, stopped by Ctrl-C, and leaving nothing behind."""

import re
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.running import heartbeats_where_watched
from pipeline_core.sink import OutputFolder


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_with_no_server_at_hand_a_run_is_quiet_and_leaves_only_its_output(start_command, reviews, spec, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    command = start_command("classify", reviews, "--model", spec.model, "--output", "out", cwd=work, server=None)
    assert command.end() == 0
    assert command.out.splitlines()[1:] == ["report: pipeline-flows report out"]
    assert command.out.startswith("30 rows answered, 0 quarantined, ")
    assert all(re.match(r"[\d,]+ of 30 rows", line) for line in command.err.splitlines())
    assert command.processes_left() == []
    assert files_in(work) == files_in(work / "out")
    assert OutputFolder(str(work / "out")).table().num_rows == 30


def test_ctrl_c_on_a_terminal_stops_a_run_at_once_and_a_rerun_goes_on(
    start_command, spec, tmp_path, pipeline_flows, prefect_server, read_run
):
    """The embedded server is in the terminal's foreground too, and must outlive the run that Ctrl-C ends."""
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "a fine film\n" * 400)  # far more than are done when the bar first moves
    words = ["run", "text-classification", "--model", spec.model, "--dataset", rows, "--rows-per-shard", 1]
    words += ["--output", tmp_path / "out"]
    command = start_command(*words, server=None, terminal=True)
    command.wait_for_output(r"\d+ of 400 rows.*━.*\s\d+%")
    command.type("\x03")
    assert command.end(within_s=20) == 130
    assert command.processes_left() == []
    assert "starting Prefect" in command.out
    assert command.out.rstrip().endswith("stopped; the same command goes on where this one was")
    assert "Traceback" not in command.out

    folder = OutputFolder(str(tmp_path / "out"))
    done = len(folder.manifests(folder.require_plan()))
    assert 0 < done < 400
    assert pipeline_flows(*words).code == 0
    assert list(read_run().states.values()).count("Cached") == done
    assert folder.table().num_rows == 400


def test_an_error_is_one_line_and_nothing_else(start_command, reviews, spec, tmp_path):
    words = ["classify", reviews, "--model", spec.model, "--output", tmp_path / "out", "--label-column", "stars"]
    command = start_command(*words)
    assert command.end() == 2
    assert command.out == ""
    assert re.fullmatch("error: dataset .* has no column 'stars'; its columns are key, text, label\n", command.err)


@pytest.mark.parametrize(("server", "frequency"), [(None, None), ("http://127.0.0.1:4200/api", 30)])
def test_heartbeats_go_to_a_server_that_outlives_the_run(server, frequency):
    given = {PREFECT_API_URL: server, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}
    with temporary_settings(given), heartbeats_where_watched():
        assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() == frequency
