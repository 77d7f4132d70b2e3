"""The commands ``pipeline-flows status`` and ``pipeline-flows resume``: what runs on the server, and a run taken up."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline_core.errors import PipelineFlowsError, SpecError


def status(
    *,
    hours: Annotated[float, Parameter(help="How far back to look.", validator=Number(gt=0))] = 24,
) -> None:
    """List the server's runs: what is running and how far it is, what has ended and how, what is late."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    from flows import flows_by_name

    now = datetime.now(UTC)
    since = {"after_": now - timedelta(hours=hours), "before_": now}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": sorted(flows_by_name())}}),
            flow_run_filter=FlowRunFilter.model_validate({"expected_start_time": since}),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=100,
        )
        for run in runs:
            says = (run.state.message if run.state is not None else None) or ""
            if run.state is not None and run.state.is_running():
                says = _progress(client, run.id) or says
            due = f"{run.expected_start_time:%Y-%m-%d %H:%M} UTC" if run.expected_start_time else ""
            times = f"started {run.run_count} times, " if run.run_count > 1 else ""
            print(_printable(f"{run.state_name}  {due}  {times}{run.name}  {run.id}"))
            if says:
                print(_printable(f"    {says}"))
    if not runs:
        print(f"no run in the last {hours:g} hours")


def resume(
    run: Annotated[str, Parameter(help="The run's name or id, as pipeline-flows status or the UI shows it.")],
    /,
) -> None:
    """Go on with a run that failed, crashed or was cancelled: with what it has not committed.

    A worker takes up the run of a deployment. Any other run goes on here.
    """
    from prefect import get_client
    from prefect.client.schemas.objects import State
    from prefect.states import AwaitingRetry

    with get_client(sync_client=True) as client:
        found = _find(client, run)
        state = found.state
        if state is None or not state.is_final():
            raise SpecError(f"run {found.name!r} is {found.state_name}: only a run that has ended can be resumed")
        if state.is_completed():
            print(f"{found.name} is completed: {state.message}")
            return
        flow = client.read_flow(found.flow_id).name
        if found.deployment_id is not None:
            asked: State[Any] = AwaitingRetry(message="resumed; a worker goes on with what is not committed")
            set_to = client.set_flow_run_state(found.id, asked, force=True).state
            if set_to is None or not set_to.is_scheduled():
                raise PipelineFlowsError(f"the server did not take up run {found.name!r}")
            print(f"{found.name}: a worker goes on with it")
            return
    from flows.running import run_flow

    run_flow(flow, **found.parameters)


def _find(client: Any, name: str) -> Any:
    from uuid import UUID

    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    chosen: dict[str, Any]
    try:
        chosen = {"id": {"any_": [UUID(name)]}}
    except ValueError:
        chosen = {"name": {"any_": [name]}}
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(chosen), sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=2
    )
    if not found:
        raise SpecError(f"the server has no run {name!r}; pipeline-flows status lists the ones it has")
    if len(found) > 1:
        raise SpecError(f"several runs are called {name!r}; give the id of one, as pipeline-flows status lists them")
    return found[0]


def _progress(client: Any, run_id: Any) -> str | None:
    from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter

    found = client.read_artifacts(
        artifact_filter=ArtifactFilter.model_validate({"type": {"any_": ["progress"]}}),
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}}),
        limit=1,
    )
    return None if not found else (found[0].description or "").replace("**", "").replace("\\", "")


def _printable(line: str) -> str:
    """The line without what the name of a file or the text of a row could do to a terminal."""
    return "".join(character if character.isprintable() else " " for character in line)
