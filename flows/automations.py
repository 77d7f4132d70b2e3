"""What a Prefect server does by itself: crash runs that went silent, resume crashed ones, tell people.

Each automation has a name of its own, by which setting it up again changes it instead of adding another.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.outcome import TOO_MANY_BAD_ROWS

PREFIX = "pipeline-flows: "

_SUBJECTS = {
    "failed": ("prefect.flow-run.Failed", "failed"),
    "too many bad rows": (f"prefect.flow-run.{TOO_MANY_BAD_ROWS}", "has more bad rows than allowed"),
    "crashed": ("prefect.flow-run.Crashed", "crashed"),
    "late": ("prefect.flow-run.Late", "is late: no worker has taken it"),
}
_BODY = """{{ flow.name }}: {{ flow_run.name }}
{{ flow_run.state.name }}: {{ flow_run.state.message }}
{{ flow_run|ui_url }}
"""


def recovery(flows: Sequence[str], attempts: int, silence_s: int) -> list[AutomationCore]:
    """The automations that take up runs whose machine, container or process is gone.

    Args:
        flows: Names of the flows whose runs they may touch.
        attempts: Times that a run is started, at most; then it stays Crashed.
        silence_s: Seconds without a sign of life after which a run counts as crashed.
    """
    silent = EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.*"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=_of_flows(flows),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=timedelta(seconds=silence_s),
    )
    crash = ChangeFlowRunState(
        state=StateType.CRASHED, message=f"no sign of life for {silence_s} s: its machine, container or process is gone"
    )
    # Whoever runs a flow from a shell resumes it there: no worker would take its run.
    crashed = EventTrigger(
        posture=Posture.Reactive,
        expect={"prefect.flow-run.Crashed"},
        match={
            "prefect.resource.id": "prefect.flow-run.*",
            "prefect.run-count": [str(count) for count in range(1, attempts)],
        },
        match_related=[*_of_flows(flows), {"prefect.resource.role": "deployment"}],
        threshold=1,
        within=timedelta(seconds=0),
    )
    resume = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="crashed; a worker goes on with what is not committed"
    )
    return [
        AutomationCore(name=f"{PREFIX}a silent run has crashed", trigger=silent, actions=[crash]),
        AutomationCore(name=f"{PREFIX}a crashed run goes on", trigger=crashed, actions=[resume], enabled=attempts > 1),
    ]


def notifications(flows: Sequence[str], block_id: Any) -> list[AutomationCore]:
    """The automations that send a message for runs that failed, crashed or are late.

    Args:
        flows: Names of the flows whose runs they watch.
        block_id: The notification block that knows where to.
    """
    made = []
    for name, (event, says) in _SUBJECTS.items():
        trigger = EventTrigger(
            posture=Posture.Reactive,
            expect={event},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_of_flows(flows),
            threshold=1,
            within=timedelta(seconds=0),
        )
        send = SendNotification(block_document_id=block_id, subject="{{ flow_run.name }} " + says, body=_BODY)
        made.append(AutomationCore(name=f"{PREFIX}tell of runs: {name}", trigger=trigger, actions=[send]))
    return made


def apply(client: Any, automations: Iterable[AutomationCore]) -> None:
    """Create the automations, or bring those of the same names up to date."""
    for automation in automations:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
        for same in found[:1]:
            client.update_automation(same.id, automation)
        for more in found[1:]:
            client.delete_automation(more.id)


def _of_flows(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"prefect.resource.role": "flow", "prefect.resource.name": list(names)}]
