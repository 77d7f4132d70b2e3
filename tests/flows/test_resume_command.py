"""``status`` and ``resume`` for runs that no deployment made: they are listed, and go on in this process."""

import shutil

import pytest
from prefect import get_client
from prefect.client.schemas.sorting import FlowRunSort

from pipeline_core.sink import OutputFolder


@pytest.fixture
def last_run(prefect_server):
    def read():
        with get_client(sync_client=True) as client:
            return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]

    return read


def test_a_run_that_failed_is_listed_with_its_reason_and_goes_on_here(
    pipeline_flows, last_run, spec, reviews, tmp_path
):
    later, out = tmp_path / "later.csv", tmp_path / "out"
    later.write_text("key,label\n")
    words = ["run", "text-classification", "--model", spec.model, "--dataset", later, "--output", out]
    assert pipeline_flows(*words).code == 2
    failed = last_run()
    listed = pipeline_flows("status").out.splitlines()
    (place,) = [number for number, line in enumerate(listed) if line.endswith(str(failed.id))]
    assert listed[place].startswith("Failed  ")
    assert listed[place + 1].startswith("    ColumnNotFoundError: ")

    shutil.copy(reviews, later)
    code, text, _ = pipeline_flows("resume", failed.id)
    assert code == 0
    assert text.startswith("30 rows answered, 0 quarantined, ")
    assert OutputFolder(str(out)).table().num_rows == 30
    done = last_run()
    assert done.id != failed.id
    assert pipeline_flows("resume", done.id).out.startswith(f"{done.name} is completed: 30 of 30 rows committed")


def test_a_run_that_is_not_there_is_named(pipeline_flows, prefect_server):
    code, _, err = pipeline_flows("resume", "nothing")
    assert code == 2
    assert err == "error: the server has no run 'nothing'; pipeline-flows status lists the ones it has\n"
