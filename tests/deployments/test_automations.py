"""What the server does by itself: it resumes crashed runs a bounded number of times, and tells people.

The runs are states that are set here, as workers and engines set them; nothing is inferred.
"""

import json

import pytest

from .conftest import Installation

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def watched(installation_on_postgresql: Installation) -> Installation:
    installation = installation_on_postgresql
    address = installation.listen()
    installation.command("pipeline-flows", "alerts", "setup", "--attempts", 3)
    installation.command("pipeline-flows", "alerts", "setup", "--attempts", 3, "--notify", address)
    return installation


def set_state(installation: Installation, run: str, kind: str, name: str | None = None, message: str = "") -> None:
    state = {"type": kind, "name": name or kind.title(), "message": message}
    installation.api("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})


def test_setting_up_twice_leaves_each_automation_once(watched):
    names = [automation["name"] for automation in watched.api("POST", "/automations/filter", {})]
    ours = [name for name in names if name.startswith("pipeline-flows: ")]
    assert len(ours) == len(set(ours)) == 6


def test_a_run_that_crashes_is_started_again_until_it_has_had_its_attempts(watched):
    run = watched.run("batch-inference/ad-hoc")
    for attempt in (1, 2, 3):
        set_state(watched, run, "RUNNING")
        set_state(watched, run, "CRASHED", message=f"crash {attempt}")
        if attempt < 3:
            watched.wait_for_state(run, "AwaitingRetry")
    watched.wait_for(lambda: any("crash 3" in told["message"] for told in watched.told), "the last crash to be told")
    assert watched.states(run)[-1] == ("Crashed", "crash 3")
    assert watched.api("GET", f"/flow_runs/{run}")["run_count"] == 3


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("FAILED", "Failed", "failed"),
        ("FAILED", "TooManyBadRows", "has more bad rows than allowed"),
        ("SCHEDULED", "Late", "is late"),
    ],
)
def test_people_are_told_of_a_run_that_failed_or_is_late_and_why(watched, kind, name, says):
    run = watched.run("batch-inference/ad-hoc")
    reason = f"912 of 1,000 rows committed, 37 quarantined; rerun to resume; {name} because"
    set_state(watched, run, kind, name, reason)
    watched.wait_for(lambda: any(reason in told["message"] for told in watched.told), f"news of {name}")
    (told,) = [told for told in watched.told if reason in told["message"]]
    assert says in told["title"]
    assert told["message"].startswith("batch-inference: ")
    assert f"/runs/flow-run/{run}" in told["message"]


def test_status_lists_a_run_that_failed_and_why_and_resume_has_a_worker_take_it_up(watched):
    run = watched.run("batch-inference/ad-hoc")
    set_state(watched, run, "RUNNING")
    with pytest.raises(AssertionError, match="only a run that has ended can be resumed"):
        watched.command("pipeline-flows", "resume", run)
    set_state(watched, run, "FAILED", message="5 of 9 rows committed, 0 quarantined; rerun to resume; OSError: full")
    first, second, *_ = watched.command("pipeline-flows", "status").split(run)[1].splitlines()
    assert first == ""
    assert second == "    5 of 9 rows committed, 0 quarantined; rerun to resume; OSError: full"
    said = watched.command("pipeline-flows", "resume", run)
    assert said.endswith("a worker goes on with it\n")
    assert watched.states(run)[-1][0] == "AwaitingRetry"
    with pytest.raises(AssertionError, match="the server has no run 'nothing'"):
        watched.command("pipeline-flows", "resume", "nothing")


def test_a_run_of_somebody_elses_flow_is_left_alone(watched):
    flow = watched.api("POST", "/flows/", {"name": "somebody-elses"})
    run = watched.api("POST", "/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})["id"]
    set_state(watched, run, "CRASHED", message="not ours")
    ours = watched.run("batch-inference/ad-hoc")
    set_state(watched, ours, "FAILED", message="ours, and later")
    watched.wait_for(lambda: any("ours, and later" in told["message"] for told in watched.told), "our own")
    assert not any("not ours" in told["message"] for told in watched.told)
    assert watched.states(run)[-1][0] == "Crashed"


def test_an_address_is_nowhere_to_be_read(watched):
    blocks = json.dumps(watched.api("POST", "/block_documents/filter", {}))
    automations = json.dumps(watched.api("POST", "/automations/filter", {}))
    assert watched.address.removeprefix("json://") not in blocks + automations
