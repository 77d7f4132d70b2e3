"""The command ``pipeline-flows replay``: the rows in quarantine once more, and no others."""

from typing import Annotated

from cyclopts import Parameter

from flows.options import BatchOptions


def replay(
    output: Annotated[str, Parameter(help="The folder that the run wrote to, or its URL.")],
    /,
    *,
    device: Annotated[str | None, Parameter(help="Where to, other than where the run was.")] = None,
    batch: BatchOptions | None = None,
) -> None:
    """Infer the rows in quarantine again, after what kept them there is mended; all other rows stay as they are."""
    from pipeline_core.replay import replay_quarantine
    from pipeline_core.sink import OutputFolder

    policy = batch.policy() if batch is not None else None
    done = replay_quarantine(OutputFolder(output), device, policy)
    print(
        f"{done.rows:,} rows were in quarantine: {done.answered:,} are answered now, {done.rows - done.answered:,} stay"
    )
    if not done.is_complete:
        print("the run itself is not complete; the command that pipeline-flows report names goes on with it")
