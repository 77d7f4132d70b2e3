"""The command ``pipeline-flows alerts``: who is told when a run fails, and what the server does about it."""

from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

BLOCK = "pipeline-flows-alerts"

app = App(name="alerts", help="Tell people of runs that fail, and resume those that crash.")


@app.command
def setup(
    *,
    notify: Annotated[
        list[str] | None,
        Parameter(
            help="Where to: an Apprise URL, such as slack://..., mailto://... or json://host; several times.",
            negative=(),
        ),
    ] = None,
    attempts: Annotated[
        int, Parameter(help="Times that a run is started, at most; 1 resumes none.", validator=Number(gte=1))
    ] = 4,
    silence_s: Annotated[
        int,
        Parameter(help="Seconds without a sign of life after which a run has crashed.", validator=Number(gte=60)),
    ] = 90,
) -> None:
    """Have the server resume crashed runs, and send a message for each that failed, crashed or is late.

    It changes what an earlier call set up; without --notify, addresses stay as they are. The server keeps
    addresses encrypted, and nothing prints them.
    """
    from prefect import get_client

    from flows import flows_by_name
    from flows.automations import apply, notifications, recovery

    flows = sorted(flows_by_name())
    with get_client(sync_client=True) as client:
        automations = recovery(flows, attempts, silence_s)
        if notify:
            automations += notifications(flows, _save(notify))
        apply(client, automations)
    for automation in automations:
        print(automation.name)


def _save(addresses: list[str]) -> object:
    """Keep the addresses in a block of the server, and give its id.

    Of Prefect's notification blocks, the one for Slack hands any address on to Apprise as it is.

    Raises:
        SpecError: Apprise does not know what to do with an address.
    """
    from apprise import Apprise
    from prefect.blocks.notifications import SlackWebhook
    from pydantic import SecretStr

    from pipeline_core.errors import SpecError

    for address in addresses:
        if not Apprise().add(address):
            scheme = address.partition(":")[0]
            raise SpecError(
                f"--notify must be an Apprise URL, such as slack://..., mailto://... or json://host, "
                f"but is none that begins with {scheme!r}"
            )
    SlackWebhook.register_type_and_schema()
    return SlackWebhook(url=SecretStr(", ".join(addresses)), notify_type="failure").save(BLOCK, overwrite=True)
