"""What prefect.yaml deploys: every entry is of a flow, its parameters are that flow's, its schedules happen."""

import asyncio
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as ServerCronSchedule

import deployments

FILE = Path(deployments.__file__).parent / "prefect.yaml"
CONTENT = yaml.safe_load(FILE.read_text(encoding="utf-8").replace("{{ $PIPELINE_FLOWS_DATA }}", "/data"))
ENTRIES = {entry["name"]: entry for entry in CONTENT["deployments"]}


def flow_of(entry):
    module, _, name = entry["entrypoint"].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_parameters_of_a_deployment_are_its_flows(name):
    entry = ENTRIES[name]
    flow = flow_of(entry)
    accepted = flow.validate_parameters(entry["parameters"])
    assert entry["parameters"].keys() <= accepted.keys()
    with pytest.raises(Exception, match="no_such_parameter"):
        flow.validate_parameters({**entry["parameters"], "no_such_parameter": 1})


@pytest.mark.parametrize("name", ENTRIES)
def test_a_deployment_says_what_it_is_and_which_queue_and_limit_it_has(name):
    entry = ENTRIES[name]
    assert "**" in entry["description"]
    assert entry["tags"]
    assert entry["enforce_parameter_schema"] is True
    assert entry["concurrency_limit"]["limit"] >= 1
    assert entry["concurrency_limit"]["collision_strategy"] in ("CANCEL_NEW", "ENQUEUE")
    assert entry["work_pool"]["name"] == "inference"
    assert entry["work_pool"]["work_queue_name"]


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.get("schedules")])
def test_a_schedule_happens_at_its_own_clocks_time_in_summer_and_winter(name):
    for schedule in ENTRIES[name]["schedules"]:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        parsed = ServerCronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        starts = [datetime(2026, month, 5, tzinfo=UTC) for month in (1, 7)]
        dates = [date for start in starts for date in asyncio.run(parsed.get_dates(2, start=start))]
        assert len(dates) == 4
        minute, hour, *_ = schedule["cron"].split()
        for date in dates:
            local = date.astimezone(ZoneInfo(schedule["timezone"]))
            assert minute in ("*", str(local.minute))
            assert hour in ("*", str(local.hour))
